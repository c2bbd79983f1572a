#!/bin/bash
# SPDX-License-Identifier: MIT
# TIMEOUT: 240
# Programs that gain privileges, where holdfast is inert, and daemons that give them up.
. "$(dirname "$0")/common.bash"
can_be_nobody || skip_all "needs root and setpriv"
cd "$TMPDIR" || exit 1
TMPDIR=$(pwd -P)

# ---- gained --------------------------------------------------------------------------------

mount_allows_setuid() {
	! findmnt -no OPTIONS -T "$TMPDIR" 2>/dev/null | grep -qw nosuid
}
mkdir nobodys
chown 65534 nobodys
if mount_allows_setuid; then
	cp "$CLIENT" setuid
	chmod 4755 setuid
	export HOLDFAST_STATE_DIR=$TMPDIR/nobodys/state
	around "a setuid program" unprotected "?" "${AS_NOBODY[@]}" ./setuid connect connect
	is "$(find nobodys | wc -l)" 1 "a setuid program: nothing is made as root"
	around "a setuid program and a bad policy" unprotected "?" \
		env HOLDFAST_POLICY=/none "${AS_NOBODY[@]}" ./setuid connect
	around "a setuid program of root, run by root" held "" ./setuid connect
	rm -rf nobodys/state
	# The loader keeps the library out; linked in, it comes all the same, and must do nothing.
	"${CC:-cc}" -D_GNU_SOURCE -o linked "$TOP/tests/surroundings/client.c" "$LIBRARY" \
		-Wl,-rpath,"$PUBLIC" || exit 1
	cp linked linked-setuid
	chmod 4755 linked-setuid
	PROTECT=(env -u LD_PRELOAD)
	around "the library inside a setuid program" unprotected "" \
		"${AS_NOBODY[@]}" ./linked-setuid connect connect
	is "$(find nobodys | wc -l)" 1 "the library inside a setuid program: nothing is made as root"
	pong 0.4
	capture "${AS_NOBODY[@]}" ./linked connect
	is "$OUT/$STATUS" pong/0 "the same program without setuid is held by it"
	stop_server
	PROTECT=(env LD_PRELOAD="$LIBRARY")
	cp "$CLIENT" capable
	if setcap cap_net_raw+ep capable 2>/dev/null; then
		rm -rf nobodys/state
		around "a program with capabilities" unprotected "?" "${AS_NOBODY[@]}" ./capable connect
		is "$(find nobodys | wc -l)" 1 "a program with capabilities: nothing is made"
		PROTECT=("$HOLDFAST" run --)
		around "a program with capabilities, by holdfast run" unprotected "?" \
			"${AS_NOBODY[@]}" ./capable connect
		PROTECT=(env LD_PRELOAD="$LIBRARY")
	else
		skip "a program with capabilities" "setcap is missing or not allowed here"
	fi
else
	skip "setuid programs" "$TMPDIR is mounted nosuid"
fi

# ---- given up ------------------------------------------------------------------------------

# counted NAME OPERATIONS: exactly, by totals and by endpoint.
counted() {
	is "$(stats_value operations)/$(stats_value succeeded)/$(stats_value failures)" "$2/$2/0" \
		"$1: the totals are exact"
	is "$(stats_value operations "tcp:127.0.0.1:$PORT")" "$2" "$1: so is the endpoint"
}
export HOLDFAST_STATE_DIR=$TMPDIR/roots
PREPARE="rm -rf roots"
around "gives root up after its first connect" held "" "$CLIENT" connect user=65534 connect open=200
counted "gives root up after its first connect" 202
around "forks a child that gives root up" held "" "$CLIENT" \
	connect fork user=65534 connect open=200 \
	connect
counted "forks a child that gives root up" 203
around "forks a grandchild" held "" "$CLIENT" connect fork user=65534 connect fork connect
counted "forks a grandchild" 3
around "gives root up before its first connect" held "?" "$CLIENT" user=65534 connect connect
around "forks a child that gives root up, with nothing mapped yet" held "?" \
	"$CLIENT" fork user=65534 connect connect
around "forks, gives root up and executes" held "nothing is stored, .*$TMPDIR/roots" \
	"$CLIENT" connect fork user=65534 run "$CLIENT" connect connect
rm -rf roots
# Several children at once into one mapping.
pong
cat >workers.sh <<'SCRIPT'
for i in 1 2 3 4 5 6 7 8; do
	"$CLIENT" connect fork user=65534 hosts=20 connect &
done
wait
SCRIPT
capture with_library bash workers.sh
is "$(grep -c '^pong$' <<<"$OUT") $ERR" "16 " "eight daemons with a worker each: well"
is "$(stats_value operations)/$(stats_value succeeded)" 176/176 \
	"eight daemons with a worker each: the totals are exact"
stop_server
PREPARE=:

# ---- nginx ----------------------------------------------------------------------------------

if ! have nginx; then
	skip "nginx" "$(missing nginx)"
	done_testing
fi
id www-data >/dev/null 2>&1 || skip_all "there is no www-data"
pong_http() {
	free_port BACK
	start_server "$PYTHON" -c 'import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"pong\n")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()' "$BACK"
	wait_for_port "$BACK"
}
# nginx_start STATE-DIRECTORY COMMAND...
nginx_start() {
	local state=$1
	shift
	free_port FRONT
	rm -rf nginx
	mkdir nginx
	cat >nginx/conf <<CONF
user www-data;
worker_processes 2;
daemon off;
pid $TMPDIR/nginx/pid;
error_log stderr;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path $TMPDIR/nginx/body; proxy_temp_path $TMPDIR/nginx/proxy;
	fastcgi_temp_path $TMPDIR/nginx/fastcgi; uwsgi_temp_path $TMPDIR/nginx/uwsgi;
	scgi_temp_path $TMPDIR/nginx/scgi;
	server {
		listen 127.0.0.1:$FRONT;
		location / { proxy_pass http://127.0.0.1:$BACK; }
	}
}
CONF
	start_server env HOLDFAST_STATE_DIR="$state" "$@" nginx -p "$TMPDIR/nginx" -c "$TMPDIR/nginx/conf" \
		-e stderr
	wait_for_port "$FRONT"
}
ask() {
	"$PYTHON" -c 'import sys, urllib.request
for i in range(20):
    sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())' \
		"http://127.0.0.1:$FRONT/" | sort | uniq -c | sed 's/^ *//'
}
pong_http
nginx_start "$TMPDIR/none" env -u LD_PRELOAD
plain=$(ask)
plain_log=$(sed 's/^[^[]*\[/[/; s/[0-9]*#[0-9]*: //' "$SERVER_LOG")
is "$plain" "20 pong" "nginx works here"
stop_server
mkdir -m 700 roots-nginx
nginx_start "$TMPDIR/roots-nginx" env LD_PRELOAD="$LIBRARY"
is "$(ask)" "$plain" "nginx: what its clients get"
is "$(ps -o user= --ppid "$SERVER_PID" | sort -u)" www-data "nginx: its workers are www-data's"
stop_server
unlike "$(cat "$SERVER_LOG")" "holdfast" \
	"nginx: not a line of holdfast's, though its workers may not \
write root's directory"
is "$(sed 's/^[^[]*\[/[/; s/[0-9]*#[0-9]*: //' "$SERVER_LOG")" "$plain_log" "nginx: nor any other"
is "$(HOLDFAST_STATE_DIR=$TMPDIR/roots-nginx stats_value operations)" 20 \
	"nginx: its workers' connects are counted"
done_testing
