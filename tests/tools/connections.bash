# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A process under holdfast whose connections a test can have as it wants them.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# listen_on PORT...: a server that accepts in its backlog only.
listen_on() {
	local port
	start_server "$PYTHON" -c '
import signal, socket, sys
open = [socket.create_server(("127.0.0.1", int(port)), backlog=64) for port in sys.argv[1:]]
signal.pause()' "$@"
	for port; do
		wait_for_port "$port" || exit 1
	done
}

# client_start: CLIENT_PID, which does what `client` says.
client_start() {
	coproc CLIENT {
		trap - EXIT
		exec env LD_PRELOAD="$SHIM" "$PYTHON" "$TOP/tests/tools/client.py"
	}
	lib_servers+=("$CLIENT_PID")
}

# client open|close PORT: when it is done. A failure ends the test.
client() {
	local answer
	echo "$@" >&"${CLIENT[1]}"
	read -r -t 20 answer <&"${CLIENT[0]}"
	[ "$answer" = ok ] || {
		echo "Bail out! client $*: ${answer:-no answer}"
		exit 1
	}
}

# client_file: the process file of the client.
client_file() {
	compgen -G "$HOLDFAST_STATE_DIR/process/$CLIENT_PID-*"
}

# slot ARG...: a word of a slot.
slot() {
	"$BUILD/tests/shim/slot" "$@"
}

# connections_json EXPRESSION: of Python, over the list c.
connections_json() {
	"$HOLDFAST" connections --all --json | "$PYTHON" -c '
import json, sys
c = json.load(sys.stdin)["connections"]
print(eval(sys.argv[1]))' "$1"
}
