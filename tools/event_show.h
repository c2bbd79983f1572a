/* SPDX-License-Identifier: MIT */
/* One event, for people or for programs. */
#ifndef HOLDFAST_TOOL_EVENT_SHOW_H
#define HOLDFAST_TOOL_EVENT_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "shim/store/layout.h"

/* connect_retry and so on; "unknown" for a number without a name. */
const char *event_kind_name(unsigned int kind);
const char *event_level_name(unsigned int level);

/* One line within 80 columns unless its endpoint is longer than usual. */
void event_print(FILE *to, const struct store_event *event, bool colour);
/* One JSON object on one line. */
void event_print_json(FILE *to, const struct store_event *event);

#endif
