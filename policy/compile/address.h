/* SPDX-License-Identifier: MIT */
#ifndef HOLDFAST_COMPILE_ADDRESS_H
#define HOLDFAST_COMPILE_ADDRESS_H

#include "policy/policy.h"

#define ADDRESS_MESSAGE_SIZE 160

/*
 * Parsers of the address forms of a policy. On failure they write what was
 * expected, and why if that is not plain, to expected.
 */

/* "10.0.0.0/8", "::1", "fe80::%2/64". */
bool prefix_parse(const char *text, struct policy_prefix *prefix,
		  char expected[ADDRESS_MESSAGE_SIZE]);
/* "10.0.0.5:8080", "[::1]:80", "[fe80::1%2]:22". */
bool pool_endpoint_parse(const char *text, struct policy_pool_endpoint *endpoint,
			 char expected[ADDRESS_MESSAGE_SIZE]);
/* "6000" or "6000-6010". */
bool ports_parse(const char *text, struct policy_ports *ports, char expected[ADDRESS_MESSAGE_SIZE]);

#endif
