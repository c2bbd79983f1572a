/* SPDX-License-Identifier: MIT */
/*
 * Lines on standard error.  No stdio, no
 * heap, no locale; async-signal-safe; errno is kept.
 */
#ifndef HOLDFAST_LOG_H
#define HOLDFAST_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "policy/text.h"
#include "store/endpoint.h"

#define LINE_SIZE 512

/* A line being built. */
struct line {
	struct text text;
	char bytes[LINE_SIZE];
};

void line_begin(struct line *line);
void line_add(struct line *line, const char *words);
void line_add_number(struct line *line, uint64_t number);
void line_add_endpoint(struct line *line, const struct endpoint *endpoint);
void line_add_wait(struct line *line, uint64_t ns); /* "250 ms", "1.5 s", "2 min" */
void line_add_error(struct line *line, int error);  /* "ECONNREFUSED", else the number */

/* Whether a line of this level would be written. */
bool log_wanted(enum config_log level);

/*
 * Writes "holdfast: " and the line, with one write(); nothing if fd 2 is no
 * longer the file that it was at load.  Never raises SIGPIPE.
 */
void log_write(enum config_log level, const struct line *line);

/* The same for standard error that is a terminal, whatever the level but off. */
void log_notice(const struct line *line);
bool log_on_terminal(void);

#endif
