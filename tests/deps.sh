#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Installs what building and testing need, and nothing that is there already.
#
#	tests/deps.sh build      libraries and tools of `make`, `make test`, `make demo`
#	tests/deps.sh lint       what `make lint` runs
#	tests/deps.sh fuzz       what `make fuzz` compiles with
#	tests/deps.sh programs   the real clients and servers of tests/programs/
#
# For `programs`, a package that cannot be had is no error: what it is missing for and
# why goes into $BUILD/programs-missing, where the tests find the reason to skip.
set -u

# package[=command]: with a command, any package that brings it will do.
declare -A packages=(
	[build]="libc6-dev libbsd-dev libcjson-dev libcmocka-dev libsmartcols-dev pkg-config
		binutils python3 python3-jsonschema strace jq iproute2 procps util-linux
		wget=wget groff-base=groff locales"
	[lint]="clang-tidy=clang-tidy clang-format=clang-format cppcheck=cppcheck
		shellcheck=shellcheck"
	[fuzz]="clang=clang libclang-rt-14-dev"
	[programs]="wget=wget git=git openssh-client=ssh openssh-server python3 iperf3 socat
		mosquitto mosquitto-clients w3m nmap netcat-openbsd strace=strace
		default-jdk-headless=javac nginx-light libkeepalive0 libjemalloc2 libfaketime
		e2fsprogs libcap2-bin
		curl=curl wget2=wget2 openssl=openssl postgresql postgresql-client=psql
		redis-tools=redis-cli redis-server=redis-server mariadb-client-core=mariadb
		mariadb-server-core=mariadbd python3-urllib3 nodejs=node ruby=ruby libwww-perl
		php-cli=php php-curl ncat=ncat rsync=rsync lftp=lftp aria2=aria2c
		ldap-utils=ldapsearch apache2-utils=ab lynx=lynx haproxy=haproxy wrk=wrk"
)

# What the tests call, where that is not the package's name.
declare -A commands=(
	[openssh-client]=ssh [openssh-server]=sshd [mosquitto-clients]=mosquitto_pub
	[netcat-openbsd]=nc [default-jdk-headless]=javac [nginx-light]=nginx
	[postgresql]=postgres [postgresql-client]=psql [redis-tools]=redis-cli
	[mariadb-client-core]=mariadb [mariadb-server-core]=mariadbd [nodejs]=node
	[php-cli]=php [aria2]=aria2c [ldap-utils]=ldapsearch [apache2-utils]=ab
)

kind=${1:-}
if [ -z "${packages[$kind]:-}" ]; then
	echo "usage: tests/deps.sh build|lint|fuzz|programs" >&2
	exit 64
fi
build=${BUILD:-build}

installed() {
	local name=${1%%=*} command=
	case $1 in *=*) command=${1#*=} ;; esac
	if [ -n "$command" ] && command -v "$command" >/dev/null 2>&1; then
		return 0
	fi
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ]
}

list_missing() {
	local package
	for package in ${packages[$kind]}; do
		installed "$package" || echo "${package%%=*}"
	done
}

mapfile -t missing < <(list_missing)
if [ "${#missing[@]}" -eq 0 ]; then
	[ "$kind" != programs ] || rm -f "$build/programs-missing"
	exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
	echo "deps: this is not Debian; install the equivalents of: ${missing[*]}" >&2
	exit 69
fi
as_root=()
if [ "$(id -u)" != 0 ]; then
	if ! sudo -n true 2>/dev/null; then
		echo "deps: as root, run: apt-get install ${missing[*]}" >&2
		exit 77
	fi
	as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
fi
export DEBIAN_FRONTEND=noninteractive

# No service of a package is to be started. A policy-rc.d that is there already decides itself.
policy=/usr/sbin/policy-rc.d
policy_made=
# shellcheck disable=SC2317 # called by the trap
policy_remove() {
	[ -z "$policy_made" ] || "${as_root[@]}" rm -f "$policy"
	policy_made=
}
trap policy_remove EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ "$kind" = programs ] && [ ! -e "$policy" ]; then
	policy_made=1
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null &&
		"${as_root[@]}" chmod 755 "$policy" || exit 73
fi

install() {
	"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq -y \
		--no-install-recommends install "$@" </dev/null
}

echo "deps: installing ${missing[*]}"
"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq update </dev/null ||
	echo "deps: apt-get update failed; trying with the package lists that are there" >&2
log=$(mktemp)
if install "${missing[@]}" >"$log" 2>&1; then
	rm -f "$log"
	[ "$kind" != programs ] || rm -f "$build/programs-missing"
	exit 0
fi
if [ "$kind" != programs ]; then
	cat "$log" >&2
	rm -f "$log"
	echo "deps: could not install ${missing[*]}" >&2
	exit 69
fi

# Something among the programs cannot be had: each on its own then.
mkdir -p "$build"
: >"$build/programs-missing"
for package in "${missing[@]}"; do
	installed "$package" && continue
	install "$package" >"$log" 2>&1 && continue
	reason=$(grep -m 1 '^E: ' "$log" | cut -c 4-)
	printf '%s: %s\n' "${commands[$package]:-$package}" \
		"${reason:-apt-get install $package failed}" >>"$build/programs-missing"
	echo "deps: $package cannot be had (${reason:-see apt-get}); its tests will be skipped"
done
rm -f "$log"
exit 0
