/* SPDX-License-Identifier: MIT */
/* What the subcommands that read the store share: finding it, words, times, output. */
#ifndef HOLDFAST_TOOL_STATE_H
#define HOLDFAST_TOOL_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "shim/store/directory.h"
#include "shim/store/endpoint.h"
#include "shim/store/reader.h"

/* ---- the directory ------------------------------------------------------ */

struct state_directory {
	char path[STORE_PATH_SIZE];
	int fd;     /* -1: there is none yet */
	int failed; /* sysexits code when it cannot be used, else EX_OK */
};

/*
 * Opens the state directory; state_dir is the option's argument, or NULL for
 * where the environment says. One that does not exist is no failure: fd is -1.
 * Anything else is reported on standard error.
 */
void state_open(struct state_directory *state, const char *state_dir);
/* Says on standard error that nothing has been recorded yet. */
void state_note_empty(const struct state_directory *state);
/* Reports errno for a file of the directory, returns the sysexits code that fits it. */
int state_error(const struct state_directory *state, const char *file);

/* ---- words -------------------------------------------------------------- */

#define ERROR_NAME_SIZE 32
#define TIME_TEXT_SIZE 32
#define SECONDS_TEXT_SIZE 32
#define SPAN_TEXT_SIZE 24
#define BYTES_TEXT_SIZE 48
#define PROCESS_ID_SIZE 24
#define CONNECTION_ID_SIZE 48

/* "ECONNREFUSED", "EAI_AGAIN", or a number that has no name; NULL for 0. */
const char *error_name(int64_t error, char text[ERROR_NAME_SIZE]);
/* RFC 3339 UTC with milliseconds. NULL for 0 (never). */
const char *time_format(int64_t realtime_ns, char text[TIME_TEXT_SIZE]);
/* Exact seconds as a JSON number: "0.0015". */
const char *seconds_format(uint64_t ns, char text[SECONDS_TEXT_SIZE]);
/* For people: "12ms", "1.2s", "3m05s", "2h10m", "3d04h". */
const char *span_format(uint64_t ns, char text[SPAN_TEXT_SIZE]);
/* For people: "812 B", "1.2 KiB". */
const char *bytes_format(uint64_t bytes, char text[BYTES_TEXT_SIZE]);
/* PID-NONCE. */
const char *process_id_format(int32_t pid, uint32_t nonce, char text[PROCESS_ID_SIZE]);
/* PID-NONCE.SLOT.GENERATION. */
const char *connection_id_format(int32_t pid, uint32_t nonce, uint32_t slot, uint32_t generation,
				 char text[CONNECTION_ID_SIZE]);
/* Takes an ID exactly as connection_id_format() writes it; false for any other text. */
bool connection_id_parse(const char *text, struct connection_id *id);
/* "connected" and the like; state is at most SLOT_FAILED. */
const char *slot_state_name(uint32_t state);

/* ---- output --------------------------------------------------------------- */

/* True if stream is a terminal whose user has not asked for plain text (NO_COLOR, TERM=dumb). */
bool output_is_coloured(FILE *stream);
/* Columns that output may take: the terminal's, else 80. */
unsigned int output_width(FILE *stream);
/*
 * Flushes standard output. False if it can take no more: *code is EX_OK when the
 * reader of a pipe has gone, else EX_IOERR after a message.
 */
bool output_flush(int *code);
/* Makes SIGINT and SIGTERM end a loop (output_stopped()) and SIGPIPE an ordinary error. */
void output_catch_signals(void);
bool output_stopped(void);
/* True if standard output is a pipe that nobody reads any more. */
bool output_reader_gone(void);
/* Sleeps, or less if a signal arrives. */
void output_pause(unsigned int ms);

#endif
