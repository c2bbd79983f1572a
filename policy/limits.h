/* SPDX-License-Identifier: MIT */
/*
 * Ranges of values, in one place for the files (compile/keys.c), for the
 * environment (override.c) and for the validation of compiled copies (access.c).
 */
#ifndef HOLDFAST_POLICY_LIMITS_H
#define HOLDFAST_POLICY_LIMITS_H

#define MS_NS UINT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)
#define HOUR_NS (3600 * SECOND_NS)

/* A year: far beyond use, and small enough that sums of a few never overflow. */
#define DURATION_MAX_NS (8760 * HOUR_NS)
#define BACKOFF_FACTOR_MAX 1000.0
#define MAX_RETRIES_MAX (RETRIES_UNLIMITED - 1)

/* DECISION_IMMEDIATE starts its schedule here, whatever base_delay is. */
#define IMMEDIATE_BASE_NS (100 * MS_NS)
/* An attempt that is made at the deadline still gets one round trip. */
#define LAST_ATTEMPT_NS (250 * MS_NS)

#endif
