#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Asks http_server.py for /1 to /COUNT, one after the other, on one connection while it lasts.

    http_client.py blocking|asyncio PORT COUNT

What fails is counted, and not asked for again. Prints a word and a number a line.
"""

import asyncio
import http.client
import re
import sys


class Counts:
    def __init__(self):
        self.requests = self.right = self.wrong = self.failures = 0
        self.reasons = {}

    def answer(self, number, body):
        self.requests += 1
        if body == b"%d" % number:
            self.right += 1
        else:
            self.wrong += 1

    def failure(self, error):
        self.requests += 1
        self.failures += 1
        name = type(error).__name__
        self.reasons[name] = self.reasons.get(name, 0) + 1

    def print(self):
        for word in "requests", "right", "wrong", "failures":
            print(word, getattr(self, word))
        for name, count in sorted(self.reasons.items()):
            print(name, count)


def ask_blocking(port, count, counts):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(1, count + 1):
        try:
            connection.request("GET", f"/{number}")
            counts.answer(number, connection.getresponse().read())
        except (OSError, http.client.HTTPException) as error:
            counts.failure(error)
            connection.close()  # The next request opens it again.


async def ask_once(reader, writer, number):
    writer.write(b"GET /%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % number)
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head)[1]))


async def ask_asyncio(port, count, counts):
    reader = writer = None
    for number in range(1, count + 1):
        # As a pool of connections would: one that is known to be over is not used.
        if writer and (reader.at_eof() or writer.is_closing()):
            writer.close()
            writer = None
        try:
            if not writer:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            counts.answer(number, await ask_once(reader, writer, number))
        except (OSError, EOFError) as error:
            counts.failure(error)
            if writer:
                writer.close()
            writer = None


def main():
    how, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    counts = Counts()
    if how == "asyncio":
        asyncio.run(ask_asyncio(port, count, counts))
    else:
        ask_blocking(port, count, counts)
    counts.print()


if __name__ == "__main__":
    main()
