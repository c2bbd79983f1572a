# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the scripts that cut connections share: policies, a seed, and runs with and without holdfast.

seed=${HFTEST_SEED:-$((RANDOM * 32768 + RANDOM))}
diag "HFTEST_SEED=$seed"
faults=$TOP/tests/faults
limit=60 # seconds, for a run; a script may set another

# transfer_policy MEMBERS: of section `transfer`. Patient, and tried again soon.
transfer_policy() {
	printf '{ "version": 1, "defaults": { "connect": { "deadline": "30s" },
		"strategies": { "network": { "decision": "backoff", "max_retries": 200,
		"base_delay": "5ms", "max_delay": "50ms", "backoff_factor": 2.0, "jitter": 0.1 } },
		"transfer": { %s } } }' "$1"
}

# run_under POLICY COMMAND...: POLICY is none (without holdfast), default, or the policy itself.
# Sets OUT, ERR and STATUS.
run_under() {
	local policy=$1
	shift
	case $policy in
	none) capture run_with_timeout "$limit" "$@" ;;
	default) capture run_with_timeout "$limit" env LD_PRELOAD="$SHIM" "$@" ;;
	*) capture run_with_timeout "$limit" \
		env LD_PRELOAD="$SHIM" HOLDFAST_POLICY="$policy" "$@" ;;
	esac
}

# said WORD: the number that the program of the last run printed behind it.
said() {
	sed -n "s/^$1 //p" <<<"$OUT"
}
