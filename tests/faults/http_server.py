#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""An HTTP server that drops its keep-alive connections between requests, as servers drop idle ones.

    http_server.py PORT LOG SEED

GET /N is answered with the body N. A connection is dropped after 1 to 20 requests: with a FIN or
with a RST, at once or up to 2 ms after the last answer. What arrives meanwhile is not read, and
so not executed. The SEED decides, for each connection by itself.

LOG gets a line "executed N" for each request, before it is answered, and "dropped fin" or
"dropped reset" for each drop.
"""

import os
import random
import re
import selectors
import socket
import struct
import sys
import time

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
REQUEST = re.compile(rb"GET /(\d+) HTTP/1\.1\r\n(?:.+\r\n)*\r\n")


class Connection:
    def __init__(self, sock, draws):
        self.socket = sock
        self.data = b""
        self.requests_left = draws.randint(1, 20)
        self.how = draws.choice(["fin", "reset"])
        self.pause = draws.choice([0, draws.uniform(0, 0.002)])


class Server:
    def __init__(self, port, log, seed):
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self.seed = seed
        self.accepted = 0
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def write(self, line):
        os.write(self.log, line.encode() + b"\n")

    def accept(self):
        sock, _ = self.listener.accept()
        self.accepted += 1
        connection = Connection(sock, random.Random(f"{self.seed}/{self.accepted}"))
        self.selector.register(sock, selectors.EVENT_READ, connection)

    def read(self, connection):
        try:
            data = connection.socket.recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            self.close(connection)
            return
        connection.data += data
        if match := REQUEST.match(connection.data):
            connection.data = connection.data[match.end() :]
            self.answer(connection, match[1].decode())

    def answer(self, connection, number):
        self.write(f"executed {number}")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(number)}\r\n\r\n"
        try:
            connection.socket.sendall((head + number).encode())
        except ConnectionError:
            self.close(connection)
            return
        connection.requests_left -= 1
        if connection.requests_left == 0:
            self.drop(connection)

    def drop(self, connection):
        self.write(f"dropped {connection.how}")
        # There is one client, so nobody else waits for us.
        time.sleep(connection.pause)
        if connection.how == "reset":
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        else:
            # By itself close() would send a RST instead when a request has come meanwhile.
            try:
                connection.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # The client was faster.
        self.close(connection)

    def close(self, connection):
        self.selector.unregister(connection.socket)
        connection.socket.close()

    def run(self):
        while True:
            for key, _ in self.selector.select():
                if key.data:
                    self.read(key.data)
                else:
                    self.accept()


if __name__ == "__main__":
    Server(int(sys.argv[1]), sys.argv[2], sys.argv[3]).run()
