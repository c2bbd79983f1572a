#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A client of an echo server that does what the lines on its standard input say, and answers each
with one line: connections have names, so that several can be open.

    open NAME PORT         "open", or the error
    send NAME COUNT        "sent", while a thread sends
    receive NAME COUNT     "COUNT MS": so many milliseconds after the last send began
    pieces NAME COUNT      how many bytes each recv() got, until there are COUNT
    rest NAME              "COUNT end MS", or the error for "end": all that came, and when it was
                           over, in milliseconds after the connection was opened
    silent NAME MS         "silent", or what recv() got: so long
    finish NAME            "finished": sends no more
    close NAME             "closed"

Where the bytes are not those that were sent, COUNT is "wrong".
"""
import errno
import socket
import sys
import threading
import time

# Of a prime length, so that a piece that is missing or comes twice shows.
PATTERN = bytes(range(251)) * 5000
LIMIT_SECONDS = 10


class Client:
    def __init__(self, port):
        self.error = None
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_SECONDS)
        except ConnectionResetError as error:
            # Accepted and reset before connect() returned: for the next who asks.
            self.error = error
        self.opened = self.sent_at = time.monotonic()
        self.sent = self.received = 0
        self.sender = None

    def send(self, count):
        data = PATTERN[self.sent % 251 :][:count]
        self.sent += count
        self.sent_at = time.monotonic()
        self.sender = threading.Thread(target=self.send_all, args=(data,), daemon=True)
        self.sender.start()
        return "sent"

    def send_all(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # Whoever receives is told.

    def take(self, limit):
        """The number of bytes of one recv(), or how it ended."""
        try:
            if self.error:
                raise self.error
            data = self.socket.recv(limit)
        except OSError as error:
            return errno.errorcode.get(error.errno, "timeout")
        if not data:
            return "end"
        if data != PATTERN[self.received % 251 :][: len(data)]:
            return "wrong"
        self.received += len(data)
        return len(data)

    def take_all(self, limit):
        """The numbers of bytes, and how it ended before the limit, if so."""
        numbers = []
        while sum(numbers) < limit:
            got = self.take(min(65536, limit - sum(numbers)))
            if isinstance(got, str):
                return numbers, got
            numbers.append(got)
        return numbers, None

    def receive(self, count):
        numbers, end = self.take_all(count)
        return f"{end or sum(numbers)} {1000 * (time.monotonic() - self.sent_at):.1f}"

    def pieces(self, count):
        numbers, end = self.take_all(count)
        return end or " ".join(map(str, numbers))

    def rest(self):
        numbers, end = self.take_all(len(PATTERN))
        return f"{sum(numbers)} {end} {1000 * (time.monotonic() - self.opened):.1f}"

    def silent(self, milliseconds):
        self.socket.settimeout(milliseconds / 1000)
        got = self.take(65536)
        self.socket.settimeout(LIMIT_SECONDS)
        return "silent" if got == "timeout" else got

    def finish(self):
        if self.sender:
            self.sender.join(LIMIT_SECONDS)
        self.socket.shutdown(socket.SHUT_WR)
        return "finished"

    def close(self):
        self.socket.close()
        return "closed"


def act(clients, word, name, *numbers):
    try:
        if word == "open":
            clients[name] = Client(*numbers)
            return "open"
        if name not in clients:
            return "never opened"
        return getattr(clients[name], word)(*numbers)
    except OSError as error:
        return errno.errorcode.get(error.errno, "timeout")


def main():
    clients = {}
    for line in sys.stdin:
        word, name, *numbers = line.split()
        print(act(clients, word, name, *map(int, numbers)), flush=True)


main()
