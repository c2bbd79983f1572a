/* SPDX-License-Identifier: MIT */
/*
 * What the environment said when the object was loaded.  Copied then, since
 * programs overwrite their environment block (nginx, redis) and change it.
 */
#ifndef HOLDFAST_CONFIG_H
#define HOLDFAST_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "store/directory.h"

enum config_log { LOG_OFF, LOG_ERROR, LOG_INFO, LOG_DEBUG };

#define CONFIG_OVERRIDES 48

struct config {
	bool enabled; /* HOLDFAST_ENABLED, and not AT_SECURE */
	bool notice;  /* started by `holdfast run`: a wait may be told to a terminal */
	enum config_log log;
	const char *policy;    /* HOLDFAST_POLICY, made absolute; NULL: none */
	const char *state_dir; /* HOLDFAST_STATE_DIR, made absolute; NULL: none */
	const char *xdg_state_home;
	const char *home;
	const char *exec_path; /* AT_EXECFN */
	const char *override_names[CONFIG_OVERRIDES];
	const char *override_values[CONFIG_OVERRIDES];
	unsigned int override_count;
	uint64_t stderr_device; /* of fd 2 at load; both 0: it was closed */
	uint64_t stderr_inode;
};

/*
 * The configuration, loaded by the constructor or by whoever calls first.
 * Async-signal-safe.  Never NULL; while another thread is loading it, a
 * disabled one is returned.
 */
const struct config *config_get(void);

#endif
