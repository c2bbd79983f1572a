#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that export names which we use ourselves: iperf3 its own cJSON, nmap its own
# strlcpy. Under both, preloaded and without a compiled copy of the policy, a policy is read
# and visibly acts, and a broken one is reported in one line and changes nothing.
. "$(dirname "$0")/../lib.sh"

work=$TMPDIR/clash
mkdir -p "$work"

iperf3_symbol=cJSON_Parse
iperf3_client() {
	"$@" iperf3 -c 127.0.0.1 -p "$PORT"
}

# Of all that nmap does, an FTP bounce scan begins with a blocking connect. Its start and its
# end print the time.
nmap_symbol=strlcpy
nmap_client() {
	"$@" nmap -n -Pn -b "127.0.0.1:$PORT" -p 1 127.0.0.1
}

normalise() {
	sed -E -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{5}( [A-Z]+)?/DATE/g' \
		-e 's/in [0-9.]+ seconds/in N seconds/g'
}

write_policies() {
	local program=$1
	cat >"$work/good.json" <<-EOT
		{
			"version": 1,
			"rules": [
				{ "name": "other", "match": { "programs": ["another-program"] },
				  "strategies": { "network": { "max_retries": 7 } } },
				{ "name": "$program-rule",
				  "match": { "programs": ["$program"], "ports": ["1024-32767"] },
				  "connect": { "deadline": "1m" },
				  "strategies": { "network": {
					"decision": "backoff", "max_retries": 2, "base_delay": "100ms",
					"max_delay": "1s", "backoff_factor": 2.0, "jitter": 0 } } }
			]
		}
	EOT
	cat >"$work/bad.json" <<-'EOT'
		{
			"version": 1,
			"defaults": { "conect": { "deadline": "1m" } }
		}
	EOT
}

# exports PROGRAM SYMBOL: by itself or by a library of its own.
exports() {
	local path file
	path=$(command -v "$1")
	for file in "$path" $(ldd "$path" | awk '/iperf/ { print $3 }'); do
		readelf --dyn-syms -W "$file" |
			awk -v s="$2" '$7 != "UND" && $8 ~ "^" s "(@|$)" { found = 1 } END { exit !found }' &&
			return 0
	done
	return 1
}

test_program() {
	local program=$1 symbol=${1}_symbol bare_status bare_out bare_err endpoint
	write_policies "$program"
	free_port
	endpoint=tcp:127.0.0.1:$PORT
	if exports "$program" "${!symbol}"; then
		ok "$program exports ${!symbol} of its own"
	else
		skip "$program exports ${!symbol} of its own" "this build of it does not"
	fi

	capture run_with_timeout 30 "${program}_client"
	bare_status=$STATUS
	bare_out=$(normalise <<<"$OUT")
	bare_err=$(normalise <<<"$ERR")

	export HOLDFAST_STATE_DIR=$work/state-$program-good
	HOLDFAST_POLICY=$work/good.json capture run_with_timeout 30 "${program}_client" \
		env "LD_PRELOAD=$SHIM"
	is "$STATUS" "$bare_status" "$program: exit code under a good policy"
	is "$(normalise <<<"$OUT")" "$bare_out" "$program: output under a good policy"
	is "$(normalise <<<"$ERR")" "$bare_err" "$program: standard error under a good policy"
	is "$(stats_value attempts "$endpoint")" 3 "$program: three attempts, as its rule says"
	is "$(stats_value failures "$endpoint")" 1 "$program: one failure"
	at_least "$(stats_value backoff_seconds "$endpoint")" 0.29 "$program: the rule's delays"
	at_most "$(stats_value backoff_seconds "$endpoint")" 0.9 "$program: no other delays"

	export HOLDFAST_STATE_DIR=$work/state-$program-bad
	HOLDFAST_POLICY=$work/bad.json capture run_with_timeout 30 "${program}_client" \
		env "LD_PRELOAD=$SHIM"
	is "$STATUS" "$bare_status" "$program: exit code under a bad policy"
	is "$(normalise <<<"$OUT")" "$bare_out" "$program: output under a bad policy"
	is "$(grep -vF "$work/bad.json" <<<"$ERR" | normalise)" "$bare_err" \
		"$program: standard error under a bad policy, but for our line"
	is "$(grep -cF "$work/bad.json" <<<"$ERR")" 1 "$program: one line about the policy"
	like "$(grep -F "$work/bad.json" <<<"$ERR")" 'conect.*connect' \
		"$program: the line says which key, and the nearest known one"
	at_most "$SECONDS_TAKEN" 0.9 "$program: runs unprotected under a bad policy"
}

for program in iperf3 nmap; do
	if have "$program"; then
		test_program "$program"
	else
		skip "$program" "$(missing "$program")"
	fi
done
done_testing
