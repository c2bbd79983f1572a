# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2016 # programs in other languages
#
# Programs of loops.bash: languages and their libraries. What a paragraph consists of is said
# there.

programs+=(python3_http python3_urllib python3_asyncio python3_urllib3 node_http node_fetch
	ruby_http perl_inet perl_lwp php_file php_stream php_curl java_nio java_http)
# shellcheck disable=SC2034 # read by name
{
	python3_http_needs=$PYTHON python3_http_expects='^hello$'
	python3_urllib_needs=$PYTHON python3_urllib_expects='^hello$'
	python3_asyncio_needs=$PYTHON python3_asyncio_expects='^hello$'
	python3_urllib3_needs=$PYTHON python3_urllib3_expects='^hello$'
	node_http_needs=node node_http_expects='^hello$' node_http_leaves=yes
	node_fetch_needs=node node_fetch_expects='^hello$'
	ruby_http_needs=ruby ruby_http_expects='^hello$'
	perl_inet_needs=perl perl_inet_expects='^hello$' perl_inet_ipv4=yes
	perl_lwp_needs=perl perl_lwp_expects='^hello$'
	php_file_needs=php php_file_expects='^hello$'
	php_stream_needs=php php_stream_expects='^hello$'
	php_curl_needs=php php_curl_expects='^hello$' php_curl_parallel=2
	java_nio_needs="java javac" java_nio_expects='^hello$' java_nio_threads=yes
	java_http_needs="java javac" java_http_expects='^hello$' java_http_threads=yes
	java_http_tries=2
}

python3_http_server() { http_server; }
python3_http_client() {
	"$@" "$PYTHON" -c 'import http.client, sys
client = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=int(sys.argv[3]))
client.request("GET", "/file")
print(client.getresponse().read().decode(), end="")' "$HOST" "$PORT" "${TIMER:-30}"
}

python3_urllib_server() { http_server; }
python3_urllib_client() {
	"$@" "$PYTHON" -c 'import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=int(sys.argv[2])).read().decode(), end="")' \
		"http://$HOST:$PORT/file" "${TIMER:-30}"
}

python3_asyncio_server() { line_server; }
python3_asyncio_client() {
	"$@" "$PYTHON" -c 'import asyncio, sys
async def main():
    connecting = asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    reader, writer = await asyncio.wait_for(connecting, int(sys.argv[3]))
    print((await reader.read()).decode(), end="")
    writer.close()
asyncio.run(main())' "$HOST" "$PORT" "${TIMER:-30}"
}

python3_urllib3_unable() {
	"$PYTHON" -c 'import urllib3' 2>/dev/null && return 1
	missing python3-urllib3
}
python3_urllib3_server() { http_server; }
python3_urllib3_client() {
	"$@" "$PYTHON" -c 'import sys, urllib3
pool = urllib3.PoolManager(retries=False, timeout=int(sys.argv[2]))
print(pool.request("GET", sys.argv[1]).data.decode(), end="")' \
		"http://$HOST:$PORT/file" "${TIMER:-30}"
}

# Told to, it leaves an address after 250 ms.
node_http_server() { http_server; }
node_http_client() {
	"$@" node -e 'const http = require("http");
const options = { autoSelectFamily: true, signal: AbortSignal.timeout(1000 * process.argv[2]) };
http.get(process.argv[1], options, (answer) => answer.pipe(process.stdout))
	.on("error", (error) => {
		console.log(error.code, error.message);
		process.exitCode = 1;
	});' "http://$HOST:$PORT/file" "${TIMER:-30}"
}

# It does so by itself from version 20 on.
node_fetch_setup() {
	node_fetch_leaves=$(node -p 'net.getDefaultAutoSelectFamily?.() ? "yes" : ""')
}
node_fetch_server() { http_server; }
node_fetch_client() {
	"$@" node --no-warnings -e 'const signal = AbortSignal.timeout(1000 * process.argv[2]);
fetch(process.argv[1], { signal }).then((answer) => answer.text())
	.then((text) => process.stdout.write(text))
	.catch((error) => {
		console.log(error.message, error.cause?.code, error.cause?.message);
		process.exit(1);
	});' "http://$HOST:$PORT/file" "${TIMER:-30}"
}

ruby_http_server() { http_server; }
ruby_http_client() {
	"$@" ruby -rnet/http -e 'host, port, limit = ARGV
Net::HTTP.start(host, port.to_i, open_timeout: limit.to_i) { |http|
	print http.get("/file").body
}' "$HOST" "$PORT" "${TIMER:-30}"
}

perl_inet_server() { line_server; }
perl_inet_client() {
	"$@" perl -MIO::Socket::INET -e 'my $socket = IO::Socket::INET->new(
	PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Timeout => $ARGV[2]) or die "$@\n";
print <$socket>;' "$HOST" "$PORT" "${TIMER:-30}"
}

perl_lwp_unable() {
	perl -MLWP::UserAgent -e 1 2>/dev/null && return 1
	missing libwww-perl
}
perl_lwp_server() { http_server; }
perl_lwp_client() {
	"$@" perl -MLWP::UserAgent -e 'my $agent = LWP::UserAgent->new(timeout => $ARGV[1]);
my $answer = $agent->get($ARGV[0]);
print $answer->decoded_content;
exit !$answer->is_success;' "http://$HOST:$PORT/file" "${TIMER:-30}"
}

php_file_server() { http_server; }
php_file_client() {
	"$@" php -r '$context = stream_context_create(["http" => ["timeout" => $argv[2]]]);
$text = file_get_contents($argv[1], false, $context);
if ($text === false) exit(1);
echo $text;' -- "http://$HOST:$PORT/file" "${TIMER:-30}"
}

php_stream_server() { line_server; }
php_stream_client() {
	"$@" php -r '$stream = stream_socket_client($argv[1], $number, $text, $argv[2]);
if ($stream === false) { echo "$number $text\n"; exit(1); }
echo stream_get_contents($stream);' -- "tcp://$HOST:$PORT" "${TIMER:-30}"
}

php_curl_unable() {
	php -r 'exit(extension_loaded("curl") ? 0 : 1);' || {
		missing php-curl
		return
	}
	return 1
}
php_curl_server() { http_server; }
php_curl_client() {
	"$@" php -r '$curl = curl_init($argv[1]);
curl_setopt($curl, CURLOPT_CONNECTTIMEOUT, $argv[2]);
if (curl_exec($curl) === false) { echo curl_error($curl), "\n"; exit(1); }' -- \
		"http://$HOST:$PORT/file" "${TIMER:-30}"
}

java_nio_setup() {
	java_compile Nio <<-'EOT'
		import java.net.*;
		import java.nio.*;
		import java.nio.channels.*;

		public class Nio {
			public static void main(String[] args) throws Exception {
				SocketChannel channel = SocketChannel.open();
				Selector selector = Selector.open();
				channel.configureBlocking(false);
				channel.register(selector, SelectionKey.OP_CONNECT);
				channel.connect(new InetSocketAddress(args[0], Integer.parseInt(args[1])));
				long limit = System.nanoTime() + Integer.parseInt(args[2]) * 1000000000L;
				while (!channel.finishConnect()) {
					long left = (limit - System.nanoTime()) / 1000000;
					if (left <= 0)
						throw new SocketTimeoutException();
					selector.select(left);
				}
				channel.keyFor(selector).interestOps(SelectionKey.OP_READ);
				ByteBuffer buffer = ByteBuffer.allocate(100);
				while (channel.read(buffer) >= 0)
					selector.select();
				System.out.write(buffer.array(), 0, buffer.position());
				System.out.flush();
			}
		}
	EOT
}
java_nio_server() { line_server; }
java_nio_client() {
	"$@" "${java[@]}" Nio "$HOST" "$PORT" "${TIMER:-30}"
}

java_http_setup() {
	java_compile Http <<-'EOT'
		import java.net.URI;
		import java.net.http.*;
		import java.time.Duration;

		public class Http {
			public static void main(String[] args) throws Exception {
				HttpRequest request = HttpRequest.newBuilder(URI.create(args[0]))
					.version(HttpClient.Version.HTTP_1_1).build();
				HttpClient client = HttpClient.newBuilder()
					.connectTimeout(Duration.ofSeconds(Integer.parseInt(args[1]))).build();
				try {
					System.out.print(client.send(request,
						HttpResponse.BodyHandlers.ofString()).body());
				} catch (java.io.IOException e) {
					// Without the trace, which depends on who is quicker.
					for (Throwable t = e; t != null; t = t.getCause())
						System.out.println(t);
					System.exit(1);
				}
			}
		}
	EOT
}
java_http_server() { http_server; }
java_http_client() {
	"$@" "${java[@]}" Http "http://$HOST:$PORT/file" "${TIMER:-30}"
}

java=(java -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData
	-cp "$work/java")
# java_compile CLASS: from standard input.
java_compile() {
	mkdir -p "$work/java" && cat >"$work/java/$1.java" &&
		javac -d "$work/java" "$work/java/$1.java"
}
