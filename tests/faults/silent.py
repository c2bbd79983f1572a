#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A peer that goes silent, or was so from the start, and whoever waits for it.

    silent.py serve ADDRESS PORT
    silent.py wait PEER HOW ADDRESS PORT SECONDS

PEER, what the server does for this client: `stream`, a byte every 50 ms; `slow`, one every half
second, ten of them, and then closes; `quiet`, one byte and then none. It reads what it is sent.

HOW the client waits for bytes: in `recv`, or, without blocking, in `poll`, `select`, `epoll`, and
edge-triggered `edge`; `early-` before these: its connect does not block either. In `sent` and
`sent-epoll` it sends something as soon as there was no byte for half a second, and then waits, and
in `send` it sends more than fits anywhere.

It says "ready" after the first byte, and in the end one line: an errno, or "end", or "nothing"
if that many seconds went by without anything; and behind it how many had gone since the last
byte, or since it began to send. Then what one more recv() says.
"""
import errno
import select
import signal
import socket
import sys
import threading
import time

PAUSES = {"stream": (0.05, 100000), "slow": (0.5, 10), "quiet": (3600, 100000)}
QUIET_SECONDS = 0.5
MUCH = bytes(64 << 20)


# ---- the server ----------------------------------------------------------------------------


def drain(peer):
    try:
        while peer.recv(65536):
            pass
    except OSError:
        pass


def serve_one(peer):
    pause, count = PAUSES[peer.recv(16).decode()]
    threading.Thread(target=drain, args=(peer,), daemon=True).start()
    try:
        for _ in range(count):
            peer.sendall(b"x")
            time.sleep(pause)
    except OSError:
        pass
    peer.shutdown(socket.SHUT_RDWR)


def serve(address, port):
    with socket.create_server((address, int(port)), backlog=100) as listener:
        print("listening", flush=True)
        while True:
            peer = listener.accept()[0]
            threading.Thread(target=serve_one, args=(peer,), daemon=True).start()


# ---- the client ----------------------------------------------------------------------------


class Patience(Exception):
    """It is at its end."""


def give_up(*_):
    raise Patience


def connect(how, peer):
    sock = socket.socket()
    if not how.startswith("early-"):
        sock.connect(peer)
        return sock
    sock.setblocking(False)
    try:
        sock.connect(peer)
    except BlockingIOError:
        select.select([], [sock], [])
    return sock


def waiter(how, sock):
    """Returns when there is something to read, or at once if recv() itself waits."""
    if how in ("recv", "sent", "send"):
        return lambda: None
    sock.setblocking(False)
    if how == "select":
        return lambda: select.select([sock], [], [])
    if how == "poll":
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return poll.poll
    epoll = select.epoll()
    epoll.register(sock, select.EPOLLIN | (select.EPOLLET if how == "edge" else 0))
    return epoll.poll


class Client:
    def __init__(self, peer, how, address, port, seconds):
        self.how, self.seconds = how, float(seconds)
        self.socket = connect(how, (address, int(port)))
        self.socket.sendall(peer.encode())
        self.since = time.monotonic()
        self.is_ready = False

    def begin_again(self, seconds):
        self.since = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def read(self, wait, seconds):
        """Until it is over."""
        while True:
            wait()
            try:
                data = self.socket.recv(1)
            except BlockingIOError:
                continue
            if not data:
                return
            self.begin_again(seconds)
            if not self.is_ready:
                print("ready", flush=True)
                self.is_ready = True

    def run(self):
        sends = self.how.startswith("sen")
        if sends:
            try:
                self.read(waiter("recv", self.socket), QUIET_SECONDS)
                return
            except Patience:
                self.begin_again(self.seconds)
            self.socket.sendall(MUCH if self.how == "send" else b"something")
        self.read(waiter(self.how.removeprefix("early-"), self.socket), self.seconds)

    def outcome(self, act):
        try:
            act()
            return "end"
        except Patience:
            return "nothing"
        except OSError as error:
            return errno.errorcode[error.errno]


def main():
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    signal.signal(signal.SIGALRM, give_up)
    client = Client(*sys.argv[2:])
    outcome = client.outcome(client.run)
    print(f"{outcome} {time.monotonic() - client.since:.3f}", flush=True)
    if outcome != "nothing":
        client.socket.setblocking(False)
        print("then", client.outcome(lambda: client.socket.recv(1)))


main()
