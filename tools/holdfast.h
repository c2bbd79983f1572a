/* SPDX-License-Identifier: MIT */
/*
 * The subcommands of holdfast.  Each is called with "holdfast NAME" as argv[0] and
 * returns an exit code of sysexits.h; `--help` is answered before it is called.
 */
#ifndef HOLDFAST_TOOL_H
#define HOLDFAST_TOOL_H

int run_main(int argc, char *argv[]);
int check_main(int argc, char *argv[]);
int explain_main(int argc, char *argv[]);
int doctor_main(int argc, char *argv[]);
int stats_main(int argc, char *argv[]);
int connections_main(int argc, char *argv[]);
int reconnect_main(int argc, char *argv[]);
int events_main(int argc, char *argv[]);

/*
 * For an option that getopt_long() has already complained about, or for wrong
 * operands: points at the help on standard error and returns EX_USAGE.
 */
int usage_error(const char *subcommand);

#endif
