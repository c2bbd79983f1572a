#!/bin/bash
# SPDX-License-Identifier: MIT
# `holdfast explain` names the rule and why earlier ones do not match, every value and where it
# came from, and the schedule that the decision function really gives. Every figure expected
# here was worked out by hand from the formula in holdfast-policy(5).
. "$(dirname "$0")/../lib.sh"
cd "$TMPDIR" || exit 1

cat >policy.json <<'EOF'
{ "version": 1, "profile": "production",
  "defaults": { "connect": { "deadline": "7m" } },
  "rules": [
    { "name": "dns", "match": { "ports": [53] }, "action": "bypass" },
    { "name": "db", "match": { "programs": ["psql", "/opt/app/*"], "addresses": ["10.0.0.0/8"],
                               "ports": [5432] },
      "connect": { "deadline": "2m" },
      "strategies": { "network": { "max_retries": 2, "jitter": "full" } } },
    { "name": "inside", "match": { "hosts": ["*.internal", "localhost"] } },
    { "name": "agent", "match": { "paths": ["/run/agent/*"] } }
  ] }
EOF

# json EXPRESSION ARG...: a Python expression over the answer, e.
json() {
	local expression=$1
	shift
	"$HOLDFAST" explain --json "$@" | "$PYTHON" -c '
import json, sys
e = json.load(sys.stdin)
keys = {k["key"]: k for k in e["keys"]}
def seconds(key): return [round(a[key], 6) if a[key] is not None else None
                          for a in e["schedule"]["attempts"]]
print(eval(sys.argv[1]))' "$expression"
}

# ---- the schedule ---------------------------------------------------------------

# standard: 5 retries, 1 s, factor 2, jitter 0.1
is "$(json 'seconds("delay_min")' 10.0.0.1:80)" "[0, 0.9, 1.8, 3.6, 7.2, 14.4]" "shortest delays"
is "$(json 'seconds("delay_max")' 10.0.0.1:80)" "[0, 1.1, 2.2, 4.4, 8.8, 17.6]" "longest delays"
is "$(json 'seconds("elapsed_min")' 10.0.0.1:80)" "[0, 0.9, 2.7, 6.3, 13.5, 27.9]" \
	"the shortest delays added up"
is "$(json 'seconds("elapsed_max")' 10.0.0.1:80)" "[0, 1.1, 3.3, 7.7, 16.5, 34.1]" \
	"the longest delays added up"
ends='[(e["schedule"][k]["attempts"], round(e["schedule"][k]["elapsed"], 6),
	e["schedule"][k]["verdict"], e["schedule"][k]["cause"]) for k in ("end_min", "end_max")]'
is "$(json "$ends" 10.0.0.1:80)" \
	"[(6, 27.9, 'give_up', 'limit'), (6, 34.1, 'give_up', 'limit')]" "the end: max_retries"

# A deadline of 10 s: the delay that would lead past it is cut, the last attempt is made there.
cut='{ "version": 1, "defaults": { "connect": { "deadline": "10s" },
	"strategies": { "network": { "max_retries": "unlimited", "jitter": 0 } } } }'
is "$(json 'seconds("elapsed_min")' --policy "$cut" 10.0.0.1:80)" "[0, 1, 3, 7, 10]" \
	"the deadline cuts the last delay"
is "$(json "$ends" --policy "$cut" 10.0.0.1:80)" \
	"[(5, 10, 'give_up', 'deadline'), (5, 10, 'give_up', 'deadline')]" "the end: the deadline"
# With jitter 0.1 the shortest delays are 0.9, 1.8, 3.6, and the longest 1.1, 2.2, 4.4: 7.7; both
# are cut at 10. A deadline of 7 s is reached by the longest one attempt earlier.
apart='{ "version": 1, "defaults": { "connect": { "deadline": "7s" },
	"strategies": { "network": { "max_retries": "unlimited" } } } }'
is "$(json 'seconds("elapsed_min"), seconds("elapsed_max")' --policy "$apart" 10.0.0.1:80)" \
	"([0, 0.9, 2.7, 6.3, 7], [0, 1.1, 3.3, 7, None])" "the deadline comes sooner with long delays"
full='{ "version": 1, "defaults": { "strategies": { "network": { "jitter": "full" } } } }'
is "$(json 'seconds("delay_min"), seconds("delay_max")' --policy "$full" 10.0.0.1:80)" \
	"([0, 0, 0, 0, 0, 0], [0, 1, 2, 4, 8, 16])" "full jitter"
is "$(json 'seconds("delay_min")' --policy screenshot 10.0.0.1:80)" \
	"[0, 0, 0.09, 0.108, 0.1296, 0.15552]" "immediate: at once, then 100 ms by 1.2"
forever='{ "version": 1, "defaults": { "connect": { "deadline": "off" },
	"strategies": { "network": { "max_retries": "unlimited" } } } }'
is "$(json 'len(e["schedule"]["attempts"]), e["schedule"]["end_min"]' --policy "$forever" 10.0.0.1:80)" \
	"(1000, None)" "without any limit there is no end"

outcome='e["schedule"]["error"], e["schedule"]["category"], e["schedule"]["decision"]'
is "$(json "$outcome" 10.0.0.1:80 EACCES)" "('EACCES', 'auth', 'none')" "a category that is not retried"
is "$(json "$ends" 10.0.0.1:80 EACCES)" \
	"[(1, 0, 'pass_on', 'category'), (1, 0, 'pass_on', 'category')]" "it is passed on at once"
is "$(json "$outcome" 10.0.0.1:80 110)" "('ETIMEDOUT', 'network', 'backoff')" "an error by number"
is "$(json "$outcome" 10.0.0.1:80 etimedout)" "('ETIMEDOUT', 'network', 'backoff')" "in any case"
is "$(json 'e["schedule"]["operation"], e["schedule"]["category"], e["schedule"]["decision"]' \
	localhost:80 EAI_AGAIN)" "('resolve', 'temporary', 'backoff')" "a failed lookup"
# standard: 5 retries would last until 27.9 s to 34.1 s, resolve.deadline is 30 s.
is "$(json "$ends" localhost:80 EAI_AGAIN)" \
	"[(6, 27.9, 'give_up', 'limit'), (6, 30, 'give_up', 'limit')]" "its own deadline cuts it"

# ---- the rules --------------------------------------------------------------------

reasons='[(r["name"], r["reason"]) for r in e["rules"]], e["rule"]'
is "$(json "$reasons" --policy policy.json --program psql 10.0.0.5:5432)" \
	"([('dns', 'the port is none of its ports'), ('db', None)], 'db')" "a rule that matches"
is "$(json "$reasons" --policy policy.json 10.0.0.5:5432)" "([('dns', 'the port is none of its \
ports'), ('db', 'it names programs, and no --program was given'), ('inside', 'it names hosts, and the \
address has no known name'), ('agent', 'the path is none of its paths'), ('scanners', 'it names \
programs, and no --program was given')], None)" \
	"a numeric address without a name, no program"
is "$(json "$reasons" --policy policy.json --program psql 192.0.2.1:5432 | grep -o "'db', '[^']*'")" \
	"'db', 'the address is none of its addresses'" "an address outside"
is "$(json "$reasons" --policy policy.json --program curl 10.0.0.1:5432 | grep -o "'db', '[^']*'")" \
	"'db', 'the program is none of its programs'" "another program"
is "$(json 'e["rule"]' --policy policy.json --program /opt/app/x 10.0.0.5:5432)" db "a program by path"
is "$(json 'e["rule"]' --policy policy.json --host a.internal 10.0.0.5:80)" inside "--host"
is "$(json 'e["rule"], e["destination"]["host"]' --policy policy.json localhost:80)" \
	"('inside', 'localhost')" "a name is looked up, and matches"
is "$(json 'e["rule"], e["destination"]["host"]' --policy policy.json 127.0.0.1:80)" "(None, None)" \
	"a numeric address is never resolved"
is "$(json 'e["managed"], e["rule"]' --policy policy.json 10.0.0.5:53)" "(False, 'dns')" "bypass"
is "$(json 'e["managed"], e["rule"]' --policy policy.json unix:/run/agent/x)" "(True, 'agent')" \
	"AF_UNIX by a rule"
is "$(json 'e["managed"], e["rules"][0]["reason"]' --policy policy.json unix:/run/other)" \
	"(False, 'it has no paths, which AF_UNIX needs')" "AF_UNIX without one is left alone"
is "$(json "$outcome" --policy policy.json unix:/run/agent/x ENOENT)" \
	"('ENOENT', 'temporary', 'backoff')" "errors of AF_UNIX have their own categories"
is "$(json 'e["rule"]' --policy policy.json --host A.Internal. 10.0.0.5:80)" inside \
	"--host, in any case and with a final dot"
is "$(json 'e["rule"], e["rules"][2]["reason"]' --policy policy.json --host internal 10.0.0.5:80)" \
	"(None, 'the host is none of its hosts')" "--host that is another"
hosts='{ "version": 1, "rules": [ { "name": "net", "match": { "addresses": ["127.0.0.0/8", "::1"] } },
	{ "name": "name", "match": { "hosts": ["localhost"] } } ] }'
is "$(json 'e["rule"]' --policy "$hosts" localhost:80)" net "a connect to a name has an address"
is "$(json 'e["rule"], e["rules"][0]["reason"]' --policy "$hosts" localhost:80 EAI_AGAIN)" \
	"('name', 'it names addresses, and a lookup has none yet')" "a lookup has none"
shipped='e["managed"], e["rule"], [(r["name"], r["shipped"]) for r in e["rules"]]'
is "$(json "$shipped" --program nmap 10.0.0.5:80)" "(False, 'scanners', [('scanners', True)])" \
	"nmap: left alone by a shipped rule"
is "$(json "$shipped" --policy '{ "version": 1, "rules": [ { "name": "mine",
	"match": { "programs": ["nmap"] } } ] }' --program nmap 10.0.0.5:80)" \
	"(True, 'mine', [('mine', False)])" "nmap: a rule of one's own goes first"
is "$(json 'e["managed"]' udp:10.0.0.1:53)" False "UDP is not managed"
is "$(json 'e["destination"]["addresses"][0]["address"]' '[::ffff:10.1.2.3]:80')" 10.1.2.3 \
	"a v4-mapped address is IPv4"

# ---- pools ----------------------------------------------------------------------------

pools='{ "version": 1, "pools": {
	"spare": { "endpoints": ["10.0.0.9:1"] },
	"orders": { "endpoints": ["10.0.0.5:8080", "[::1]:8081", "[fe80::1%2]:8080"], "balance": "sticky" } },
	"rules": [ { "name": "o", "match": { "ports": [8080] }, "pool": "orders" } ] }'
is "$(json 'e["pool"], len(e["schedule"]["attempts"])' --policy "$pools" 192.0.2.1:8080)" \
	"({'name': 'orders', 'balance': 'sticky', 'endpoints': ['tcp:10.0.0.5:8080', \
'tcp:[::1]:8081', 'tcp:[fe80::1%2]:8080']}, 6)" "a pool, and its endpoints in order"
is "$(json 'e["pool"]' --policy "$pools" 192.0.2.1:80)" None "another destination has none"
is "$(json 'e["pool"]' --policy "$pools" udp:192.0.2.1:8080)" None "UDP has none"
is "$(json 'e["pool"]' --policy "$pools" localhost:8080 EAI_AGAIN)" None "a lookup has none"
OUT=$("$HOLDFAST" explain --policy "$pools" 192.0.2.1:8080)
like "$OUT" $'pool +orders, balance sticky\nendpoints +tcp:10.0.0.5:8080\n +tcp:\\[::1\\]:8081\n' \
	"text: the pool"
like "$OUT" "a round over the pool's endpoints" "text: what an attempt is there"
is "$(awk 'length > 80' <<<"$OUT")" "" "text: within 80 columns"

# ---- values and where they came from ---------------------------------------------------

from='[(keys[k]["value"], keys[k]["from"], keys[k]["acted_on"]) for k in ("connect.deadline",
	"strategies.network.max_retries", "strategies.network.max_delay", "connect.siblings",
	"share.enabled")]'
is "$(json "$from" --policy policy.json --program psql 10.0.0.5:5432)" \
	"[('\"2m\"', 'rule', True), ('2', 'rule', True), ('\"5m\"', 'profile', True), \
('\"probe\"', 'standard', True), ('true', 'standard', False)]" "rule, profile, standard"
is "$(json "$from" --policy policy.json 10.0.0.5:80)" \
	"[('\"7m\"', 'defaults', True), ('10', 'profile', True), ('\"5m\"', 'profile', True), \
('\"probe\"', 'standard', True), ('true', 'standard', False)]" "defaults, profile, standard"
is "$(HOLDFAST_MAX_RETRIES=3 json "$from" --policy policy.json --program psql 10.0.0.5:5432)" \
	"[('\"2m\"', 'rule', True), ('3', 'environment', True), ('\"5m\"', 'profile', True), \
('\"probe\"', 'standard', True), ('true', 'standard', False)]" "an override goes before the rule"
is "$(HOLDFAST_MAX_RETRIES=3 json 'e["environment"], len(seconds("delay_min"))' 10.0.0.1:80)" \
	"({'HOLDFAST_MAX_RETRIES': '3'}, 4)" "the override is named and counts in the schedule"
is "$(HOLDFAST_POLICY=tracking json 'e["policy"]["profile"], seconds("delay_max")' 10.0.0.1:80)" \
	"('tracking', [0, 5.5, 11, 22, 44])" "HOLDFAST_POLICY is read"

acted='sorted({k["key"].split(".")[0] for k in e["keys"] if k["acted_on"] == wanted})'
is "$(json "(lambda wanted: $acted)(True), (lambda wanted: $acted)(False)" 10.0.0.1:80)" \
	"(['connect', 'heartbeat', 'resolve', 'strategies', 'transfer'], \
['breaker', 'budget', 'share'])" "which sections are acted on, all of each"

# ---- text ----------------------------------------------------------------------------------

capture "$HOLDFAST" explain --policy policy.json --program psql 10.0.0.5:5432
is "$STATUS" 0 "text: exit code"
like "$OUT" "dns +no: the port is none of its ports" "text: why an earlier rule does not match"
like "$OUT" "db +yes" "text: the rule that matches"
like "$OUT" "agent +not asked" "text: the rules after it"
like "$OUT" "scanners \(shipped\) +not asked" "text: the shipped rules come last"
like "$OUT" "share.enabled +true +standard +nothing acts on it yet" "text: marked keys"
like "$OUT" $'connect.siblings +"probe" +standard\n' "text: keys that are acted on"
like "$OUT" $'transfer.replay +"unsent" +standard\n' "text: of transfer too"
like "$OUT" "program gets ECONNREFUSED" "text: what the program gets"
unlike "$OUT" $'\e' "text: no colour in a pipe"
like "$("$HOLDFAST" explain --policy policy.json --host a.internal 10.0.0.5:80)" "inside +yes" \
	"text: --host"
like "$("$HOLDFAST" explain --policy policy.json 10.0.0.5:80)" \
	"inside +no: it names hosts, and the address has no known name" "text: no --host"
like "$("$HOLDFAST" explain --program nmap 10.0.0.5:80)" "scanners \(shipped\) +yes" \
	"text: a shipped rule"
unlike "$("$HOLDFAST" explain localhost:80 EAI_AGAIN)" "failed lookups|instead" "text: a lookup"
is "$(awk 'length > 80' <<<"${OUT//$TMPDIR/}")" "" "text: within 80 columns"
if have script; then
	like "$(TERM=xterm script -qec "$HOLDFAST explain 10.0.0.1:80" /dev/null </dev/null)" $'\e' \
		"text: colour on a terminal"
else
	skip "text: colour on a terminal" "script is not installed"
fi

# ---- what is wrong -------------------------------------------------------------------------

# refused CODE MESSAGE-REGEX ARG...
refused() {
	local code=$1 message=$2
	shift 2
	capture "$HOLDFAST" explain "$@"
	like "$STATUS $ERR" "^$code .*$message" "refused: $*"
}
refused 64 'expected a destination'
refused 64 'expected HOST:PORT' localhost
refused 64 'expected HOST:PORT' ::1:80
refused 64 'port "0" of "localhost:0", expected a number in 1..65535' localhost:0
refused 64 'port "http"' localhost:http
refused 64 'expected an absolute path or @NAME' unix:relative
refused 64 '"EFOO", expected the name or number of an error' localhost:1 EFOO
refused 64 'EINPROGRESS is no failure' localhost:1 EINPROGRESS
refused 66 'nosuch.json: No such file' --policy ./nosuch.json localhost:1
refused 65 'version' --policy '{ "version": 5 }' localhost:1
HOLDFAST_JITTER=2 refused 65 'HOLDFAST_JITTER' localhost:1

done_testing
