#!/bin/bash
# SPDX-License-Identifier: MIT
# `holdfast connections` shows which endpoint a connection is connected to where it was moved to
# another one of its pool, and its own where nothing sensible is recorded.
. "$(dirname "$0")/connections.bash"

free_port OWN
free_port OTHER
listen_on "$OWN" "$OTHER"
client_start
client open "$OWN"
client open "$OTHER"
FILE=$(client_file)
moved_to=$(($(slot "$FILE" 1 endpoint) + 1))
fields=$(connections_json 'list(c[0])')

# in_use VALUE: of the first connection; sets ENDPOINT and CONNECTED_TO (JSON) and SHOWN (text).
in_use() {
	slot "$FILE" 0 in_use "$1"
	ENDPOINT=$(connections_json 'c[0]["endpoint"]')
	CONNECTED_TO=$(connections_json 'c[0].get("connected_to")')
	SHOWN=$("$HOLDFAST" connections | sed -n '2s/^ *//p')
}

in_use 0
is "$ENDPOINT $CONNECTED_TO" "tcp:127.0.0.1:$OWN None" "its own: no connected_to"
is "$SHOWN" "tcp:127.0.0.1:$OWN" "its own: in text"
in_use "$moved_to"
is "$ENDPOINT $CONNECTED_TO" "tcp:127.0.0.1:$OWN tcp:127.0.0.1:$OTHER" \
	"moved: connected_to is the one in use"
is "$SHOWN" "tcp:127.0.0.1:$OTHER" "moved: in text"
is "$(connections_json '[k for k in c[0] if k != "connected_to"]')" "$fields" \
	"moved: the other fields stay"
is "$(connections_json 'c[1]["endpoint"], c[1].get("connected_to")')" \
	"('tcp:127.0.0.1:$OTHER', None)" "moved: the other connection is not"
in_use "$(($(slot "$FILE" 0 endpoint) + 1))"
is "$ENDPOINT $CONNECTED_TO $SHOWN" "tcp:127.0.0.1:$OWN None tcp:127.0.0.1:$OWN" \
	"moved and back again: no connected_to"
for wrong in 99 101 4294967295; do
	in_use "$wrong"
	is "$ENDPOINT $CONNECTED_TO $SHOWN" "tcp:127.0.0.1:$OWN None tcp:127.0.0.1:$OWN" \
		"a record that is not there ($wrong): its own is shown"
done
in_use "$moved_to"
client close "$OWN"
client open "$OWN"
is "$(connections_json 'c[0]["id"].split(".")[1:], c[0]["state"], c[0].get("connected_to")')" \
	"(['0', '2'], 'connected', None)" "the next connection of the slot is connected to its own"
done_testing
