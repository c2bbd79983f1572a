#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Takes what one-way clients send, one connection after the other, and cuts their connections.

    collector.py PORT DIRECTORY [--buffer N] [--cuts K --bytes N] [--seed N] [--kinds KIND...]

DIRECTORY gets a file for each connection, named by its number, of what was read from it. What is
in there was read, and what was read is in there, whenever we are killed.

Each of the K cuts comes at a random moment of its share of the N bytes that are expected:

    reset   the connection is reset, with what is in its receive buffer unread
    kill    we are ended with SIGKILL, and started again up to 300 ms later

Prints "buffer N", what the kernel makes of a receive buffer of --buffer bytes; "accepted N";
"cut KIND"; "lost N" when the client has reset connection N, and "end N" when it has ended it.
"""

import argparse
import bisect
import os
import random
import signal
import socket
import struct
import sys
import time

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
READ_BYTES = 65536


def say(line):
    os.write(1, line.encode() + b"\n")


class Cut(Exception):
    """It is time for one."""


class Cuts:
    def __init__(self, options):
        draws = random.Random(options.seed)
        # Each well within its share, so that two never come together and all come before the end.
        share = options.bytes / (options.cuts + 1)
        self.places = [int(share * (i + draws.uniform(0.1, 0.9))) for i in range(options.cuts)]
        self.kinds = [draws.choice(options.kinds) for _ in self.places]
        # At every second one the client has time to fill the receive buffer. Its kernel waits
        # 200 ms before it sends less than a segment, which on loopback is as large as the buffer.
        self.pauses = [0.3 * (i % 2) for i in range(options.cuts)]
        self.downtimes = [draws.uniform(0, 0.3) for _ in self.places]


class Collector:
    """What one process does, until it is killed."""

    def __init__(self, options, cuts):
        self.directory = options.directory
        self.cuts = cuts
        sizes = [entry.stat().st_size for entry in os.scandir(self.directory)]
        self.connections = len(sizes)
        self.total = sum(sizes)
        self.cuts_done = bisect.bisect_right(cuts.places, self.total)
        self.buffer = bytearray(READ_BYTES)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.buffer)
        self.listener.bind(("127.0.0.1", options.port))
        self.listener.listen(16)
        say(f"buffer {self.listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)}")

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            self.connections += 1
            say(f"accepted {self.connections}")
            path = os.path.join(self.directory, f"{self.connections:06d}")
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                self.collect(connection, file)
                say(f"end {self.connections}")
            except Cut:
                self.cut(connection)
            except ConnectionError:
                say(f"lost {self.connections}")
            connection.close()
            os.close(file)

    def collect(self, connection, file):
        while count := connection.recv_into(self.buffer, READ_BYTES, socket.MSG_PEEK):
            # Written before it is taken: a kill between the two loses nothing.
            os.write(file, memoryview(self.buffer)[:count])
            connection.recv_into(self.buffer, count, socket.MSG_TRUNC)
            self.total += count
            places = self.cuts.places
            if self.cuts_done < len(places) and self.total >= places[self.cuts_done]:
                raise Cut

    def cut(self, connection):
        number = self.cuts_done
        self.cuts_done += 1
        say(f"cut {self.cuts.kinds[number]}")
        time.sleep(self.cuts.pauses[number])
        if self.cuts.kinds[number] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("directory")
    parser.add_argument("--buffer", type=int, default=32768)
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--bytes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=["reset", "kill"], choices=["reset", "kill"])
    return parser.parse_args()


def supervise(options):
    """Runs the collector in a child, and another one when that is killed."""
    cuts = Cuts(options)
    killed = 0
    while True:
        child = os.fork()
        if child == 0:
            Collector(options, cuts).run()

        def end(*_, child=child):
            os.kill(child, signal.SIGTERM)
            sys.exit(0)

        signal.signal(signal.SIGTERM, end)
        _, status = os.waitpid(child, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            return 1
        time.sleep(cuts.downtimes[killed])
        killed += 1


if __name__ == "__main__":
    sys.exit(supervise(read_options()))
