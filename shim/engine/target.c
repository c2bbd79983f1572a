/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "connection.h"
#include "engine.h"
#include "names.h"
#include "shim/config.h"
#include "tcp.h"

/* Only a rule with `paths` manages AF_UNIX, and no shipped profile has one. */
static bool unix_is_wanted(void)
{
	const struct config *config = config_get();

	return config->policy && !policy_profile(config->policy);
}

bool target_is_ours(const struct sockaddr *peer, socklen_t length)
{
	if (peer->sa_family == AF_INET)
		return length >= sizeof(struct sockaddr_in);
	if (peer->sa_family == AF_INET6)
		return length >= offsetof(struct sockaddr_in6, sin6_scope_id);
	return peer->sa_family == AF_UNIX && length > sizeof(sa_family_t) &&
	       length <= sizeof(struct sockaddr_un) && unix_is_wanted();
}

static void address_set(struct policy_destination *destination, const struct sockaddr *peer,
			socklen_t length)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6 = { 0 };

	if (peer->sa_family == AF_INET) {
		memcpy(&v4, peer, sizeof(v4));
		memset(destination->address + 10, 0xff, 2);
		memcpy(destination->address + 12, &v4.sin_addr, 4);
		destination->port = ntohs(v4.sin_port);
	} else {
		memcpy(&v6, peer, length < sizeof(v6) ? length : sizeof(v6));
		memcpy(destination->address, &v6.sin6_addr, 16);
		destination->port = ntohs(v6.sin6_port);
		destination->scope_id = v6.sin6_scope_id;
	}
}

/* The path as rules write it; room for a leading "@" and the terminator. */
static void path_set(struct policy_destination *destination, char path[120],
		     const struct sockaddr *peer, socklen_t length)
{
	const struct sockaddr_un *address = (const struct sockaddr_un *)peer;
	size_t size = length - offsetof(struct sockaddr_un, sun_path);

	memcpy(path, address->sun_path, size);
	path[size] = '\0';
	if (path[0] == '\0')
		path[0] = '@';
	destination->unix_path = path;
	destination->is_unix = true;
}

/* The name that the address was last looked up by. */
static bool host_find(char host[NAME_SIZE_MAX], const struct sockaddr *peer, socklen_t length)
{
	struct name_address address;
	struct name name;
	uint32_t index;

	return name_address_from(&address, peer, length) && name_find(&address, &name, &index) &&
	       name_host(&name, host);
}

/* STREAM or DATAGRAM, as socket() was told or the socket says; 0 for all others. */
static unsigned int kind_find(int fd)
{
	unsigned int kind = fd_kind(fd) & (FD_STREAM | FD_DATAGRAM);
	int type;

	if (kind)
		return kind;
	type = socket_type(fd);
	return type == SOCK_STREAM ? FD_STREAM : type == SOCK_DGRAM ? FD_DATAGRAM : 0;
}

bool target_record(struct target *target, const struct sockaddr *peer, socklen_t length)
{
	struct endpoint endpoint;

	if (!endpoint_from_sockaddr(&endpoint, target->is_stream ? ENDPOINT_TCP : ENDPOINT_UDP,
				    peer, length))
		return false;
	target->record = store_record(&engine.store, &endpoint, OPERATION_CONNECT);
	return true;
}

bool target_find(struct target *target, int fd, const struct sockaddr *peer, socklen_t length)
{
	struct policy_destination destination = {
		.exec_path = engine.exec_path,
		.exe_path = engine.exe_path[0] ? engine.exe_path : NULL,
		.other_programs = engine.other_programs,
	};
	const struct policy_rule *rule;
	unsigned int kind;
	char host[NAME_SIZE_MAX], path[120];

	/* A vfork child's tables are its parent's. */
	if (engine_memory(&target->owner) != MEMORY_OWN)
		return false;
	kind = kind_find(fd);
	if (!kind || (peer->sa_family == AF_UNIX && kind != FD_STREAM))
		return false;
	if (peer->sa_family == AF_UNIX)
		path_set(&destination, path, peer, length);
	else
		address_set(&destination, peer, length);
	if (engine.matches_hosts && host_find(host, peer, length))
		destination.host = host;
	target->rule = policy_rule_find(engine.policy, &destination);
	rule = policy_rule(engine.policy, target->rule);
	if (rule ? rule->action == ACTION_BYPASS : destination.is_unix)
		return false;
	target->is_stream = kind == FD_STREAM;
	target->pool = rule && target->is_stream && !destination.is_unix ? rule->pool : -1;
	return true;
}
