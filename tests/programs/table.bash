# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The real programs that tests/programs/ runs, one paragraph each:
#
#	NAME_needs      the commands that it takes
#	NAME_setup      once per script, before anything else (optional)
#	NAME_server     serves 127.0.0.1:$PORT for ever; ends in exec
#	NAME_client     the program; "$@" is what to run it under (nothing, or
#	                `holdfast run --`, or strace), its first words
#	NAME_expects    what its output must match
#	NAME_operations how many connects one run makes (default 1)
#	NAME_level      what its system calls are compared by: see syscalls.py
#
# All of them connect with a blocking socket and have no timer of their own.

programs=(wget git ssh python3 iperf3 socat mosquitto_pub w3m java)
server_py=$TOP/tests/programs/server.py
work=$TMPDIR/programs
mkdir -p "$work/home"
export HOME=$work/home
# shellcheck disable=SC2034 # read by the scripts that source this
{
	wget_needs=wget wget_expects='^hello$'
	git_needs=git git_expects='^committed$'
	ssh_needs="ssh sshd ssh-keygen" ssh_expects='hello'
	python3_needs=$PYTHON python3_expects='^hello$'
	iperf3_needs=iperf3 iperf3_expects='iperf Done\.$' iperf3_operations=2
	socat_needs=socat socat_expects='^hello$'
	mosquitto_pub_needs="mosquitto_pub mosquitto" mosquitto_pub_expects='received PUBACK'
	w3m_needs=w3m w3m_expects='^hello$'
	java_needs="java javac" java_expects='^hello$'

	# Encryption and measured volumes differ from run to run, and threads interleave.
	ssh_level=order iperf3_level=order java_level=order
}

http_server() {
	exec "$PYTHON" "$server_py" http "$PORT"
}

line_server() {
	exec "$PYTHON" "$server_py" line "$PORT"
}

wget_server() { http_server; }
wget_client() {
	"$@" wget --no-config -nv -O - "http://127.0.0.1:$PORT/file"
}

git_setup() {
	{
		git init -q -b main "$work/repository" &&
			echo committed >"$work/repository/file" &&
			git -C "$work/repository" add file &&
			git -C "$work/repository" -c user.name=test -c user.email=test@localhost \
				commit -q -m one
	} >&2
}
git_server() {
	exec "$(git --exec-path)/git-daemon" --base-path="$work" --export-all \
		--listen=127.0.0.1 --port="$PORT" --reuseaddr
}
git_client() {
	rm -rf "$work/clone-$PORT"
	GIT_CONFIG_NOSYSTEM=1 "$@" git clone -q "git://127.0.0.1:$PORT/repository" \
		"$work/clone-$PORT" &&
		cat "$work/clone-$PORT/file"
}

ssh_setup() {
	ssh-keygen -q -t ed25519 -N '' -f "$work/host_key" &&
		ssh-keygen -q -t ed25519 -N '' -f "$work/client_key" &&
		cp "$work/client_key.pub" "$work/authorized_keys"
}
ssh_server() {
	cat >"$work/sshd_config-$PORT" <<-EOT
		ListenAddress 127.0.0.1:$PORT
		HostKey $work/host_key
		AuthorizedKeysFile $work/authorized_keys
		StrictModes no
		UsePAM no
		PidFile none
		PermitRootLogin prohibit-password
	EOT
	local sshd
	sshd=$(PATH=$PATH:/usr/sbin:/sbin command -v sshd)
	if [ "$(id -u)" != 0 ] || [ -d /run/sshd ]; then
		exec "$sshd" -D -e -f "$work/sshd_config-$PORT"
	fi
	# The directory that a service would have made, in a mount namespace of its own.
	exec unshare -m --propagation private -- bash -c \
		'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$@"' -- \
		"$sshd" -D -e -f "$work/sshd_config-$PORT"
}
ssh_client() {
	printf '[127.0.0.1]:%s %s\n' "$PORT" "$(cut -d ' ' -f 1,2 "$work/host_key.pub")" \
		>"$work/known_hosts-$PORT"
	"$@" ssh -F none -n -p "$PORT" -i "$work/client_key" -o IdentitiesOnly=yes -o IdentityAgent=none \
		-o BatchMode=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null \
		-o UserKnownHostsFile="$work/known_hosts-$PORT" 127.0.0.1 echo hello
}

python3_server() { http_server; }
python3_client() {
	"$@" "$PYTHON" -c 'import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1]).read().decode(), end="")' "http://127.0.0.1:$PORT/file"
}

iperf3_server() {
	exec iperf3 -s -B 127.0.0.1 -p "$PORT"
}
iperf3_client() {
	"$@" iperf3 -c 127.0.0.1 -p "$PORT" -n 128K
}

socat_server() { line_server; }
socat_client() {
	"$@" socat -u "TCP4:127.0.0.1:$PORT" -
}

mosquitto_pub_server() {
	cat >"$work/mosquitto-$PORT.conf" <<-EOT
		listener $PORT 127.0.0.1
		allow_anonymous true
		persistence false
		user $(id -un)
	EOT
	PATH=$PATH:/usr/sbin:/sbin exec mosquitto -c "$work/mosquitto-$PORT.conf"
}
mosquitto_pub_client() {
	"$@" mosquitto_pub -d -i holdfast-test -h 127.0.0.1 -p "$PORT" -q 1 -t topic -m hello
}

w3m_server() { http_server; }
w3m_client() {
	"$@" w3m -dump "http://127.0.0.1:$PORT/file"
}

java_setup() {
	mkdir -p "$work/java" && cat >"$work/java/Client.java" <<-'EOT' &&
		import java.io.*;
		import java.net.*;

		public class Client {
			public static void main(String[] args) throws IOException {
				try (Socket socket = new Socket("127.0.0.1", Integer.parseInt(args[0]))) {
					System.out.println(new BufferedReader(new InputStreamReader(
						socket.getInputStream())).readLine());
				}
			}
		}
	EOT
	javac -d "$work/java" "$work/java/Client.java"
}
java_server() { line_server; }
java_client() {
	"$@" java -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData \
		-cp "$work/java" Client "$PORT"
}

# program_missing NAME: prints why it cannot be tested, or fails.
program_missing() {
	local needs=${1}_needs command
	for command in ${!needs}; do
		if ! PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null; then
			missing "$command"
			return 0
		fi
	done
	return 1
}

# program_setup NAME
program_setup() {
	[ "$(type -t "$1_setup")" != function ] || "$1_setup"
}

# program_operations NAME
program_operations() {
	local operations=${1}_operations
	echo "${!operations:-1}"
}
