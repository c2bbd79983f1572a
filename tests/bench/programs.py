# SPDX-License-Identifier: MIT
"""Busy servers with and without holdfast: nginx under wrk, redis-server under redis-benchmark.

Both live at the same time and are loaded in turn, as the workers are. The server has a CPU of
its own where there are two, so that its speed is what it needs for a request.
"""

import os
import re
import shutil
import socket
import subprocess
import time

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = CPUS[-1], CPUS[0]


class Missing(Exception):
    """A program that is not installed."""


def program(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{name} is not installed")
    return path


def free_port():
    """Below the ephemeral range, so that no client of ours is given it."""
    for port in range(20000 + os.getpid() % 8000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")


def pinned(cpu):
    return lambda: os.sched_setaffinity(0, {cpu})


def load(command, env):
    """What a program prints that loads a server."""
    done = subprocess.run(
        command, env=env, preexec_fn=pinned(LOAD_CPU), capture_output=True, text=True, check=True
    )
    return done.stdout


class Server:
    """A process that listens; ends with the block."""

    def __init__(self, command, port, env, cpu=SERVER_CPU):
        self.process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=pinned(cpu),
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                time.sleep(0.02)
        self.process.kill()
        raise OSError(f"{command[0]} does not listen: {self.process.stderr.read().decode()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


# ---- nginx ---------------------------------------------------------------------------------

NGINX = """
daemon off;
worker_processes 1;
pid {here}/pid;
error_log stderr crit;
{user}
events {{ worker_connections 1024; }}
http {{
	access_log off;
	keepalive_requests 100000000;
	client_body_temp_path {here}/body;
	proxy_temp_path {here}/proxy;
	fastcgi_temp_path {here}/fastcgi;
	uwsgi_temp_path {here}/uwsgi;
	scgi_temp_path {here}/scgi;
	sendfile on;
	server {{
		listen 127.0.0.1:{port};
		location / {{ root {root}; }}
		location /other/ {{ proxy_pass http://127.0.0.1:{upstream}/; }}
	}}
}}
"""


class Nginx(Server):
    def __init__(self, directory, env, upstream=9, cpu=SERVER_CPU):
        self.port = free_port()
        here = os.path.join(directory, f"nginx-{self.port}")
        os.makedirs(here)
        config = os.path.join(here, "nginx.conf")
        with open(config, "w", encoding="ascii") as file:
            file.write(
                NGINX.format(
                    here=here,
                    root=directory,
                    port=self.port,
                    upstream=upstream,
                    user="user root;" if os.geteuid() == 0 else "",
                )
            )
        command = [program("nginx"), "-p", here, "-e", "stderr", "-c", config]
        super().__init__(command, self.port, env, cpu)

    def speed(self, path, env):
        """Requests a second, in one second of them."""
        said = load(
            [program("wrk"), "-t1", "-c16", "-d1s", f"http://127.0.0.1:{self.port}{path}"], env
        )
        if "Non-2xx" in said or "Socket errors" in said:
            raise OSError(said)
        return float(re.search(r"^Requests/sec:\s+([\d.]+)", said, re.M)[1])


def nginx_pair(path, directory, environment, turns):
    """A small file over connections that stay, by itself or, /other/, from another nginx with a
    connection for each request."""
    plain = environment(None)
    with open(os.path.join(directory, "file"), "w", encoding="ascii") as file:
        file.write("x" * 1000)
    with Nginx(directory, plain, cpu=LOAD_CPU) as upstream, Nginx(
        directory, plain, upstream.port
    ) as without, Nginx(directory, environment("ours"), upstream.port) as ours:
        return turns(lambda: without.speed(path, plain), lambda: ours.speed(path, plain))


# ---- redis ---------------------------------------------------------------------------------


class Redis(Server):
    def __init__(self, directory, env):
        self.port = free_port()
        self.env = env
        command = [program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", directory]
        super().__init__(command, self.port, env)

    def speed(self):
        """Operations a second; the client is under holdfast as its server is."""
        command = [program("redis-benchmark"), "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-t", "get,set", "-P", "1", "-c", "50", "-n", "20000", "--csv"]
        said = load(command, self.env)
        rates = [float(rate) for rate in re.findall(r'^"(?:SET|GET)","([\d.]+)"', said, re.M)]
        if len(rates) != 2:
            raise OSError(said)
        return 2 / (1 / rates[0] + 1 / rates[1])


def redis_pair(directory, environment, turns):
    with Redis(directory, environment(None)) as without, Redis(
        directory, environment("ours")
    ) as ours:
        return turns(without.speed, ours.speed)
