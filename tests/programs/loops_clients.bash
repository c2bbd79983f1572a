# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2154 # work is made in loops.bash
#
# Programs of loops.bash: clients that are programs of their own. What a paragraph consists of
# is said there.

programs+=(curl wget wget2 wget2_connect git_https aria2c lftp ab lynx nc ncat rsync redis_cli
	psql mariadb mosquitto_sub ldapsearch nginx nginx_backup haproxy)
# shellcheck disable=SC2034 # read by name
{
	wget_needs=wget wget_expects='^hello$'
	curl_needs=curl curl_expects='^hello$' curl_parallel=2
	wget2_needs=wget2 wget2_expects='^hello$'
	wget2_connect_needs=wget2 wget2_connect_expects='^hello$'
	git_https_needs="git openssl" git_https_expects='^committed$' git_https_parallel=2
	aria2c_needs=aria2c aria2c_expects='^hello$' aria2c_parallel=3
	lftp_needs=lftp lftp_expects='^hello$'
	ab_needs=ab ab_expects='^Complete requests: +1$' ab_varies=yes
	lynx_needs=lynx lynx_expects='^ *hello$'
	nc_needs=nc.openbsd nc_expects='^hello$'
	ncat_needs=ncat ncat_expects='^hello$'
	rsync_needs=rsync rsync_expects='^hello$'
	redis_cli_needs="redis-cli redis-server" redis_cli_expects='^PONG$' redis_cli_tries=2
	redis_cli_ipv4=yes
	psql_needs="psql postgres initdb" psql_expects='^hello$'
	mariadb_needs="mariadb mariadbd" mariadb_expects='^hello$'
	mosquitto_sub_needs="mosquitto_sub mosquitto" mosquitto_sub_expects='^mosquitto version'
	ldapsearch_needs=ldapsearch ldapsearch_expects='^dn: cn=hello$'
	nginx_needs="nginx curl" nginx_expects='^hello$'
	nginx_backup_needs="nginx curl" nginx_backup_expects='^hello$'
	haproxy_needs="haproxy curl" haproxy_expects='^hello$'
}

curl_server() { http_server; }
curl_client() {
	"$@" curl -q -sS ${TIMER:+--connect-timeout "$TIMER"} "http://$HOST:$PORT/file"
}

# Blocking, but -T leaves connect() by a jump out of a signal handler.
wget_server() { http_server; }
wget_client() {
	"$@" wget --no-config -nv --tries=1 -T "${TIMER:-30}" -O - "http://$HOST:$PORT/file"
}

# It connects and sends in one call, with TCP Fast Open, and does not try again by itself.
wget2_server() { http_server; }
wget2_client() {
	"$@" wget2 --no-config --progress=none --tries=1 \
		${TIMER:+-T "$TIMER"} -O - "http://$HOST:$PORT/file"
}

wget2_connect_server() { http_server; }
wget2_connect_client() {
	"$@" wget2 --no-config --progress=none --tries=1 --no-tcp-fastopen \
		${TIMER:+-T "$TIMER"} -O - "http://$HOST:$PORT/file"
}

# The plain HTTP protocol of git, which needs files only.
git_https_setup() {
	local repository=$work/www/repository
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=both.test \
		-keyout "$work/key.pem" -out "$work/cert.pem" &&
		git init -q -b main "$repository" &&
		echo committed >"$repository/file" &&
		git -C "$repository" add file &&
		git -C "$repository" -c user.name=test -c user.email=test@localhost \
			commit -q -m one &&
		git -C "$repository" update-server-info
}
git_https_server() {
	exec_server https "$work/www"
}
git_https_client() {
	rm -rf "$work/clone-$PORT"
	GIT_SSL_NO_VERIFY=1 GIT_CONFIG_NOSYSTEM=1 "$@" git clone -q \
		"https://$HOST:$PORT/repository/.git" "$work/clone-$PORT" &&
		cat "$work/clone-$PORT/file"
}

aria2c_server() { http_server; }
aria2c_client() {
	rm -rf "$work/aria2-$PORT"
	"$@" aria2c --no-conf --console-log-level=error --download-result=hide \
		--show-console-readout=false --max-tries=1 \
		${TIMER:+--connect-timeout="$TIMER"} -d "$work/aria2-$PORT" "http://$HOST:$PORT/file"
	local status=$?
	cat "$work/aria2-$PORT/file" && return "$status"
}

# Left to itself it tries for hours.
lftp_server() { http_server; }
lftp_client() {
	local limit=${TIMER:+set net:timeout $TIMER;}
	"$@" lftp --norc -c "set net:max-retries 1; $limit cat http://$HOST:$PORT/file"
}

ab_server() { http_server; }
ab_client() {
	"$@" ab -q -n 1 -c 1 ${TIMER:+-s "$TIMER"} "http://$HOST:$PORT/file"
}

lynx_server() { http_server; }
lynx_client() {
	"$@" lynx -cfg=/dev/null -lss=/dev/null -nocolor \
		${TIMER:+-connect_timeout="$TIMER"} -dump "http://$HOST:$PORT/file"
}

nc_server() { line_server; }
nc_client() {
	"$@" nc.openbsd ${TIMER:+-w "$TIMER"} "$HOST" "$PORT"
}

ncat_server() { line_server; }
ncat_client() {
	"$@" ncat --recv-only ${TIMER:+-w "$TIMER"} "$HOST" "$PORT"
}

rsync_server() {
	cat >"$work/rsyncd-$PORT.conf" <<-EOT
		use chroot = no
		pid file = $work/rsyncd-$PORT.pid
		[www]
		path = $work/www
	EOT
	# One address of its own, or all.
	local address=()
	[ "${#ADDRESSES[@]}" -gt 1 ] || address=(--address "${ADDRESSES[0]}")
	exec rsync --daemon --no-detach --config "$work/rsyncd-$PORT.conf" --port "$PORT" \
		--log-file "$work/rsyncd-$PORT.log" "${address[@]}"
}
rsync_client() {
	rm -rf "$work/rsync-$PORT"
	"$@" rsync --contimeout="${TIMER:-30}" "rsync://$HOST:$PORT/www/file" "$work/rsync-$PORT"
	local status=$?
	cat "$work/rsync-$PORT" && return "$status"
}

redis_cli_server() {
	exec redis-server --bind "${ADDRESSES[@]}" --port "$PORT" --save '' --dir "$work"
}
redis_cli_client() {
	"$@" redis-cli -h "$HOST" -p "$PORT" PING
}

# One server for the whole script; what comes late is the way to it.
as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
psql_unable() {
	"${as_nobody[@]}" true 2>/dev/null && return 1
	echo "postgres does not run as root, and nothing can be run as another user here"
}
psql_setup() {
	chmod 711 "$TMPDIR" "$work" && mkdir "$work/postgres" && chown 65534 "$work/postgres" &&
		"${as_nobody[@]}" initdb -D "$work/postgres/data" -U holdfast -A trust --no-sync \
			--no-instructions -E UTF8 --locale=C || return
	start_server "${as_nobody[@]}" postgres -D "$work/postgres/data" -F -k "$work/postgres" \
		-c listen_addresses= -c shared_buffers=8MB
	wait_for_file "$work/postgres/.s.PGSQL.5432"
}
psql_server() {
	exec_server relay "$work/postgres/.s.PGSQL.5432"
}
psql_client() {
	PGCONNECT_TIMEOUT=${TIMER:-0} "$@" psql -X -At -h "$HOST" -p "$PORT" -U holdfast \
		-d postgres -c "select 'hello'"
}

mariadb_setup() {
	mkdir "$work/mariadb" &&
		start_server mariadbd --no-defaults --user="$(id -un)" --datadir="$work/mariadb" \
			--socket="$work/mariadb.sock" --pid-file="$work/mariadb.pid" \
			--skip-grant-tables --skip-networking --innodb=OFF \
			--default-storage-engine=MyISAM &&
		wait_for_file "$work/mariadb.sock"
}
mariadb_server() {
	exec_server relay "$work/mariadb.sock"
}
mariadb_client() {
	"$@" mariadb --no-defaults --protocol=tcp -h "$HOST" -P "$PORT" -u root -N -B \
		${TIMER:+--connect-timeout="$TIMER"} -e "select 'hello'"
}

mosquitto_sub_server() {
	{
		printf "listener $PORT %s\n" "${ADDRESSES[@]}"
		printf '%s\n' "allow_anonymous true" "persistence false" "user $(id -un)"
	} >"$work/mosquitto-$PORT.conf"
	exec mosquitto -c "$work/mosquitto-$PORT.conf"
}
mosquitto_sub_client() {
	# shellcheck disable=SC2016 # a topic
	"$@" mosquitto_sub -h "$HOST" -p "$PORT" -t '$SYS/broker/version' -C 1
}

ldapsearch_server() {
	exec_server ldap hello
}
ldapsearch_client() {
	LDAPNOINIT=1 "$@" ldapsearch -x -LLL -o nettimeout="${TIMER:-30}" \
		-H "ldap://$HOST:$PORT" -b cn=hello
}

# proxy_client SOCKET COMMAND...: what the proxy answers at its front, and whether curl got that.
# The proxy is what is tested, and is ended afterwards.
proxy_client() {
	local front=$1 proxy status
	shift
	rm -f "$front"
	"$@" </dev/null >"$front.log" 2>&1 &
	proxy=$!
	wait_for_file "$front" || cat "$front.log"
	curl -q -sS -m 40 --unix-socket "$front" http://front/file
	status=$?
	stop_server "$proxy"
	return "$status"
}

# nginx_run BACKUP COMMAND...: BACKUP is an upstream for when the first does not answer.
nginx_run() {
	local backup=$1 base=$work/nginx-$PORT
	shift
	mkdir -p "$base"
	cat >"$base/nginx.conf" <<-EOT
		daemon off;
		worker_processes 1;
		user $(id -un);
		pid $base/pid;
		error_log $base/error.log;
		events { }
		http {
			access_log off;
			client_body_temp_path $base/body;
			proxy_temp_path $base/proxy;
			fastcgi_temp_path $base/fastcgi;
			uwsgi_temp_path $base/uwsgi;
			scgi_temp_path $base/scgi;
			upstream first { server $HOST:$PORT; $backup }
			server { listen unix:$base/backup; return 200 "backup\n"; }
			server { listen unix:$base/front; location / { proxy_pass http://first; } }
			proxy_connect_timeout ${TIMER:-30}s;
		}
	EOT
	rm -f "$base/backup"
	proxy_client "$base/front" "$@" nginx -p "$base" -e "$base/error.log" -c "$base/nginx.conf"
}

nginx_server() { http_server; }
nginx_client() {
	nginx_run "" "$@"
}

nginx_backup_server() { http_server; }
nginx_backup_client() {
	nginx_run "server unix:$work/nginx-$PORT/backup backup;" "$@"
}

haproxy_server() { http_server; }
haproxy_client() {
	cat >"$work/haproxy-$PORT.conf" <<-EOT
		defaults
			mode http
			retries 0
			timeout connect ${TIMER:-30}s
			timeout client 30s
			timeout server 30s
		frontend front
			bind unix@$work/haproxy-$PORT
			default_backend back
		backend back
			server first $HOST:$PORT
	EOT
	proxy_client "$work/haproxy-$PORT" "$@" haproxy -db -q -f "$work/haproxy-$PORT.conf"
}
