#!/bin/bash
# SPDX-License-Identifier: MIT
# Rules by host, program, address, port and path, on real programs: each rule has a number of
# retries of its own, so that the attempts in the statistics say which one was applied, and
# `explain` must name the same one.
. "$(dirname "$0")/../lib.sh"

work=$TMPDIR/rules
mkdir -p "$work/opt/app" "$work/run"

cat >"$TMPDIR/hosts" <<-EOT
	127.0.0.1 localhost $(uname -n)
	127.0.0.11 db.test
	127.0.0.12 one.glob.test
	127.0.0.13 mixed.test
	127.0.0.14 both.test
	127.0.0.15 outside.test
	127.0.0.16 old.test
	127.0.0.16 new.test
	127.0.0.17 dot.test
EOT
enter_hosts "$TMPDIR/hosts" "$@"

have wget || skip_all "$(missing wget)"
have socat || skip_all "$(missing socat)"
# Nobody listens in this namespace: every port is free and refuses.
port=20000
ip addr add fd00::5/128 dev lo
ip addr add fd01::7/128 dev lo
ip addr add 2001:db8::7/128 dev lo
if ip link add hfone type veth peer name hftwo && ip link set hfone up && ip link set hftwo up &&
	ip addr add fe80::1/64 dev hfone nodad && ip addr add fe80::1/64 dev hftwo nodad; then
	scope_one=$(ip -o link show hfone | cut -d : -f 1)
	scope_two=$(ip -o link show hftwo | cut -d : -f 1)
fi 2>/dev/null

# ---- the policy: rule n has n retries ------------------------------------------------

# The first rule that matches is applied: the order is part of the test.
rules=(
	host-exact '"hosts": ["db.test"]'
	host-glob '"hosts": ["nobody.test", "*.glob.test"]'
	host-case '"hosts": ["MiXeD.Test"]'
	host-dot '"hosts": ["dot.test."]'
	host-new '"hosts": ["new.test"]'
	host-and-port '"hosts": ["both.test"], "ports": [20300]'
	host-never '"hosts": ["*"], "addresses": ["127.0.0.50"]'
	address-v4 '"addresses": ["192.0.2.1", "127.0.0.5"]'
	address-first '"addresses": ["127.0.0.4/30"]'
	address-second '"addresses": ["127.0.0.0/29"]'
	address-v6 '"addresses": ["fd00::5"]'
	address-prefix6 '"addresses": ["fd01::/32"]'
	address-scope "\"addresses\": [\"fe80::1%${scope_one:-1}\"]"
	port-range '"ports": ["20100-20110"]'
	port-one '"ports": [20200, 20201]'
	program-name '"programs": ["renamed"]'
	program-path "\"programs\": [\"$work/opt/app/*\"]"
	program-glob '"programs": ["wg?t"], "ports": [20400]'
	path-glob "\"paths\": [\"$work/run/*.sock\"]"
	path-abstract '"paths": ["@hftest-*"]'
)
bypass='"addresses": ["127.0.0.99"]'

strategy() {
	printf '"strategies": { "%s": { "decision": "backoff", "max_retries": %d,
		"base_delay": "1ms", "backoff_factor": 1, "jitter": 0 } }' "$1" "$2"
}

declare -A attempts=([null]=1 [bypass]=0)
{
	printf '{ "version": 1, "defaults": { "strategies": {
		"network": { "decision": "none" }, "temporary": { "decision": "none" } } }, 
		"rules": [\n'
	for ((i = 0; i < ${#rules[@]}; i += 2)); do
		retries=$((i / 2 + 1))
		attempts[${rules[i]}]=$((retries + 1))
		category=network
		[[ ${rules[i]} != path-* ]] || category=temporary
		printf '{ "name": "%s", "match": { %s }, %s },\n' "${rules[i]}" "${rules[i + 1]}" \
			"$(strategy "$category" "$retries")"
	done
	printf '{ "name": "bypass", "match": { %s }, "action": "bypass" } ] }\n' "$bypass"
} >"$work/policy.json"
check "the policy is valid" "$HOLDFAST" check "$work/policy.json"
export HOLDFAST_POLICY=$work/policy.json

# ---- one case ------------------------------------------------------------------------

# expect_rule WHAT RULE ENDPOINT "EXPLAIN-ARGUMENT..." COMMAND...
expect_rule() {
	local what=$1 rule=$2 endpoint=$3 explained
	# shellcheck disable=SC2206 # words
	local explain=($4)
	shift 4
	cases=$((${cases:-0} + 1))
	export HOLDFAST_STATE_DIR=$work/state-$cases
	capture run_with_timeout 20 hf "$@"
	is "$(stats_value attempts "$endpoint" 2>"$work/problem")" "${attempts[$rule]}" \
		"$what: attempts of rule $rule"
	explained=$("$HOLDFAST" explain --json "${explain[@]}" 2>&1)
	is "$(jq -r .rule <<<"$explained" 2>&1)" "$rule" "$what: explain agrees"
	[ "$rule" != bypass ] ||
		is "$(jq -r .managed <<<"$explained")" false \
			"$what: explain says that it is left alone"
}

# wget_rule WHAT RULE HOST ADDRESS PORT
wget_rule() {
	expect_rule "$1" "$2" "tcp:$4:$5" "--program wget $3:$5" \
		wget --no-config -t 1 -q -O /dev/null "http://$3:$5/"
}

# connect_rule WHAT RULE ADDRESS ENDPOINT: a socket of the address's own family.
connector='import socket, sys
address = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_STREAM)[0]
try:
	socket.socket(address[0], socket.SOCK_STREAM).connect(address[4])
except OSError:
	pass'
connect_rule() {
	expect_rule "$1" "$2" "$4" "--program python3 ${4/tcp:/}" \
		"$PYTHON" -c "$connector" "$3" "$port"
}

# unix_rule WHAT RULE ENDPOINT SOCAT-ADDRESS
unix_rule() {
	expect_rule "$1" "$2" "$3" "--program socat $3 ENOENT" socat -u - "$4"
}

# ---- hosts ---------------------------------------------------------------------------

wget_rule "a host by name" host-exact db.test 127.0.0.11 "$port"
wget_rule "a host by glob" host-glob one.glob.test 127.0.0.12 "$port"
wget_rule "a host in another case" host-case mIxEd.tEsT 127.0.0.13 "$port"
wget_rule "a host in the rule's own case" host-case MiXeD.Test 127.0.0.13 "$port"
wget_rule "a host with and without a dot at its end" host-dot dot.test 127.0.0.17 "$port"
wget_rule "a host that no rule names" null outside.test 127.0.0.15 "$port"
wget_rule "the address of a named host, by number" null 127.0.0.11 127.0.0.11 "$port"
wget_rule "a host and its port" host-and-port both.test 127.0.0.14 20300
wget_rule "a host and another port" null both.test 127.0.0.14 "$port"
wget_rule "any host, by number" null 127.0.0.50 127.0.0.50 "$port"
wget_rule "an address by one of its names" host-new new.test 127.0.0.16 "$port"
wget_rule "the same address by another" null old.test 127.0.0.16 "$port"
expect_rule "the same address, looked up by both: the last one wins" host-new \
	"tcp:127.0.0.16:$port" "--host new.test 127.0.0.16:$port" "$PYTHON" -c 'import socket, sys
socket.gethostbyname("new.test")
socket.gethostbyname("old.test")
address = socket.gethostbyname("new.test")
try: socket.socket().connect((address, int(sys.argv[1])))
except OSError: pass' "$port"

# ---- addresses, the order of rules ---------------------------------------------------

wget_rule "an address" address-v4 127.0.0.5 127.0.0.5 "$port"
wget_rule "two prefixes: the first rule" address-first 127.0.0.6 127.0.0.6 "$port"
wget_rule "two prefixes: only the second holds it" address-second 127.0.0.2 127.0.0.2 "$port"
wget_rule "an address behind the prefix" null 127.0.0.8 127.0.0.8 "$port"
wget_rule "bypass" bypass 127.0.0.99 127.0.0.99 "$port"
wget_rule "an IPv6 address" address-v6 "[fd00::5]" "[fd00::5]" "$port"
wget_rule "an IPv6 prefix" address-prefix6 "[fd01::7]" "[fd01::7]" "$port"
wget_rule "another IPv6 address" null "[2001:db8::7]" "[2001:db8::7]" "$port"
connect_rule "a v4-mapped address is IPv4" address-v4 ::ffff:127.0.0.5 "tcp:127.0.0.5:$port"
connect_rule "a v4-mapped address in a prefix" address-second ::ffff:127.0.0.2 "tcp:127.0.0.2:$port"
if [ -n "${scope_two:-}" ]; then
	connect_rule "an address with its scope" address-scope fe80::1%hfone \
		"tcp:[fe80::1%$scope_one]:$port"
	connect_rule "the same address in another scope" null fe80::1%hftwo \
		"tcp:[fe80::1%$scope_two]:$port"
else
	skip "addresses with scopes" "no veth here"
fi

# ---- ports ---------------------------------------------------------------------------

wget_rule "the lowest port of a range" port-range 127.0.0.20 127.0.0.20 20100
wget_rule "the highest port of a range" port-range 127.0.0.20 127.0.0.20 20110
wget_rule "a port before a range" null 127.0.0.20 127.0.0.20 20099
wget_rule "a port behind a range" null 127.0.0.20 127.0.0.20 20111
wget_rule "one of several ports" port-one 127.0.0.20 127.0.0.20 20201

# ---- programs ------------------------------------------------------------------------

url=http://127.0.0.20
fetch=(--no-config -t 1 -q -O /dev/null)
cp "$(command -v wget)" "$work/renamed"
cp "$(command -v wget)" "$work/opt/app/fetch"
ln -s "$work/opt/app/fetch" "$work/link"
ln -s "$(command -v wget)" "$work/opt/app/wget"
expect_rule "a program by its name" program-name "tcp:127.0.0.20:$port" \
	"--program renamed 127.0.0.20:$port" "$work/renamed" "${fetch[@]}" "$url:$port/"
expect_rule "a program by its path" program-path "tcp:127.0.0.20:$port" \
	"--program $work/opt/app/fetch 127.0.0.20:$port" \
	"$work/opt/app/fetch" "${fetch[@]}" "$url:$port/"
expect_rule "a program by the path that a link leads to" program-path "tcp:127.0.0.20:$port" \
	"--program $work/opt/app/fetch 127.0.0.20:$port" "$work/link" "${fetch[@]}" "$url:$port/"
expect_rule "a program by the path of a link to it" program-path "tcp:127.0.0.20:$port" \
	"--program $work/opt/app/wget 127.0.0.20:$port" \
	"$work/opt/app/wget" "${fetch[@]}" "$url:$port/"
wget_rule "a program by glob" program-glob 127.0.0.20 127.0.0.20 20400
expect_rule "another program to the same port" null tcp:127.0.0.20:20400 \
	"--program socat 127.0.0.20:20400" socat -u - TCP4:127.0.0.20:20400
# What a process calls itself is not what it is.
expect_rule "a program that calls itself otherwise" null "tcp:127.0.0.20:$port" \
	"--program python3 127.0.0.20:$port" "$PYTHON" -c 'import socket, sys
open("/proc/self/comm", "w").write("renamed")
try: socket.socket().connect(("127.0.0.20", int(sys.argv[1])))
except OSError: pass' "$port"

# ---- paths ---------------------------------------------------------------------------

unix_rule "a path by glob" path-glob "unix:$work/run/agent.sock" "UNIX-CONNECT:$work/run/agent.sock"
unix_rule "an abstract name" path-abstract unix:@hftest-agent ABSTRACT-CONNECT:hftest-agent
attempts[null]=0 # AF_UNIX is left alone where no rule has its path
unix_rule "another path" null "unix:$work/run/agent" "UNIX-CONNECT:$work/run/agent"
unix_rule "another abstract name" null unix:@other ABSTRACT-CONNECT:other
done_testing
