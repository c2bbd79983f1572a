# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The programs of table.bash against a name with two addresses: the table's clients, asked for
# $HOST instead of 127.0.0.1, and servers on the addresses in $ADDRESSES.
#
#	both.test   ::1, then 127.0.0.1
#	two.test    127.0.0.3, then 127.0.0.2
#
# getaddrinfo() and gethostbyname() give two.test's addresses in this order: both are equally far
# from 127.0.0.1, which the kernel would send from, so that RFC 6724 leaves them as they stand.

. "$TOP/tests/programs/table.bash"

declare -A first=([both.test]=::1 [two.test]=127.0.0.3)
declare -A last=([both.test]=127.0.0.1 [two.test]=127.0.0.2)

# git looks up the machine itself, and nobody answers in a namespace of its own.
write_hosts() {
	printf '127.0.0.1 localhost %s\n' "$(uname -n)" >"$1"
	local host
	for host in "${!first[@]}"; do
		printf '%s %s\n' "${first[$host]}" "$host" "${last[$host]}" "$host"
	done >>"$1"
}

# addresses_of NAME: as getaddrinfo() gives them.
addresses_of() {
	getent ahosts "$1" | awk '$2 == "STREAM" { printf "%s%s", sep, $1; sep = " " }'
}

# place HOST first|last|all: sets ADDRESSES.
place() {
	case $2 in
	first) ADDRESSES=("${first[$1]}") ;;
	last) ADDRESSES=("${last[$1]}") ;;
	all) ADDRESSES=("${first[$1]}" "${last[$1]}") ;;
	esac
}

# ---- clients: the table's, with the name in place of the address --------------------

for name in "${programs[@]}"; do
	eval "$(declare -f "${name}_client" |
		sed -e "s/'\[127\.0\.0\.1\]/'['\"\$HOST\"']/" -e 's/127\.0\.0\.1/$HOST/g' \
			-e 's/TCP4:/TCP:/')"
done
java_setup() {
	mkdir -p "$work/java" && cat >"$work/java/Client.java" <<-'EOT' || return
		import java.io.*;
		import java.net.*;

		public class Client {
			public static void main(String[] args) throws IOException {
				try (Socket socket = new Socket(System.getenv("HOST"),
						Integer.parseInt(args[0]))) {
					System.out.println(new BufferedReader(new InputStreamReader(
						socket.getInputStream())).readLine());
				}
			}
		}
	EOT
	javac -d "$work/java" "$work/java/Client.java"
}
export HOST=

# ---- servers: as the table's, on all of ADDRESSES --------------------------------------

# The one address, or the one that stands for all of them at once.
one_address() {
	if [ "${#ADDRESSES[@]}" -eq 1 ]; then echo "${ADDRESSES[0]}"; else echo ::; fi
}

bracketed() {
	case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac
}

mkdir -p "$work/www"
echo hello >"$work/www/file"
http_server() {
	exec "$PYTHON" -m http.server --bind "$(one_address)" --directory "$work/www" "$PORT"
}

# socat's IPv6 listener on :: takes IPv4 too.
line_server() {
	local address
	address=$(one_address)
	case $address in
	*:*) exec socat "TCP6-LISTEN:$PORT,bind=[$address],fork,reuseaddr" SYSTEM:'echo hello' ;;
	*) exec socat "TCP4-LISTEN:$PORT,bind=$address,fork,reuseaddr" SYSTEM:'echo hello' ;;
	esac
}

git_server() {
	exec "$(git --exec-path)/git-daemon" --base-path="$work" --export-all \
		"${ADDRESSES[@]/#/--listen=}" --port="$PORT" --reuseaddr
}

iperf3_server() {
	exec iperf3 -s -B "$(one_address)" -p "$PORT"
}

ssh_listens() {
	local address
	for address in "${ADDRESSES[@]}"; do
		printf 'ListenAddress %s:%s\n' "$(bracketed "$address")" "$PORT"
	done
}
eval "$(declare -f ssh_server | sed 's/ListenAddress 127\.0\.0\.1:$PORT/$(ssh_listens)/')"

mosquitto_listens() {
	printf "listener $PORT %s\n" "${ADDRESSES[@]}"
}
eval "$(declare -f mosquitto_pub_server |
	sed 's/listener $PORT 127\.0\.0\.1/$(mosquitto_listens)/')"

# ---- runs ----------------------------------------------------------------------------------

# What differs from run to run whatever it is run under: dates, process ids, ports.
normalise() {
	sed -E -e 's/[0-9]{4}[-\/][0-9]{2}[-\/][0-9]{2} [0-9:]{8}/DATE/g' \
		-e 's/socat\[[0-9]+\]/socat[PID]/g' -e "s/\\b$PORT\\b/PORT/g"
}

# client_run NAME [PREFIX...]: one run; sets STATUS, WORDS, SECONDS_TAKEN and REACHED (yes, no).
client_run() {
	local name=$1 expects=${1}_expects
	shift
	capture run_with_timeout 60 "${name}_client" "$@"
	WORDS=$(normalise <<<"$OUT"$'\n'"$ERR")
	REACHED=no
	! grep -qE "${!expects}" <<<"$OUT"$'\n'"$ERR" || REACHED=yes
}

# ready_programs: prepares all that are installed, skips the others; sets ready.
ready_programs() {
	local name reason
	ready=()
	for name in "${programs[@]}"; do
		if reason=$(program_missing "$name"); then
			skip "$name" "$reason"
		elif ! program_setup "$name" >"$work/$name.setup" 2>&1; then
			fail "$name: setup" "$(cat "$work/$name.setup")"
		else
			ready+=("$name")
		fi
	done
}
