#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Judges what collector.py read of the lines that `lines` wrote.

    lines_check.py DIRECTORY COUNT

A connection's last line may be incomplete. Prints a word and a number a line:

    connections     how many there are
    wrong           lines that are not what was written, or not the one after the line before
    lines           how many of the lines 1 to COUNT were read whole, at least once
    missing_inside  lines that were never read whole, of those that a later line was read of
    missing_end     lines after the last one that was read
    gap_bytes       the longest run of lines that a connection left out, in bytes
    resent          lines that were read before
    resent_bytes    the longest run of lines with which a connection went back, in bytes

On standard error it says what the first wrong lines are.
"""

import os
import sys
import zlib

PATTERN = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-+" * 3
SHOWN = 5


def line_of(number):
    mixed = (number * 2654435761 & 0xFFFFFFFF) >> 16
    start = mixed // 61 % 64
    text = b"%08d %s " % (number, PATTERN[start : start + 20 + mixed % 61])
    return text + b"%08x\n" % zlib.adler32(text)


def bytes_of(first, last):
    return sum(len(line_of(number)) for number in range(first, last + 1))


class Check:
    def __init__(self, count):
        self.count = count
        self.connections = self.wrong = self.lines = 0
        self.missing_inside = self.missing_end = 0
        self.gap_bytes = self.resent = self.resent_bytes = 0
        self.seen = bytearray(count + 1)
        self.last = 0  # the last whole line of the connections so far

    def complain(self, name, line, expected):
        self.wrong += 1
        if self.wrong <= SHOWN:
            print(f"connection {name}: found {line!r}, expected {expected!r}", file=sys.stderr)

    def begin(self, first):
        """A connection begins with this line."""
        if first > self.last + 1:
            self.gap_bytes = max(self.gap_bytes, bytes_of(self.last + 1, first - 1))
        elif first <= self.last:
            self.resent_bytes = max(self.resent_bytes, bytes_of(first, self.last))

    def read(self, path, name):
        self.connections += 1
        previous = None
        with open(path, "rb") as file:
            for line in file:
                if previous is None:
                    number = int(line[:8]) if line[:8].isdigit() else self.last + 1
                else:
                    number = previous + 1
                expected = line_of(number)
                if line == expected and number <= self.count:
                    if previous is None:
                        self.begin(number)
                    previous = number
                    self.resent += self.seen[number]
                    self.seen[number] = 1
                elif line.endswith(b"\n") or not expected.startswith(line):
                    self.complain(name, line, expected)
                    previous = None  # What follows is judged by itself.
        if previous is not None:
            self.last = previous

    def finish(self):
        self.lines = sum(self.seen)
        highest = self.seen.rfind(1)
        self.missing_end = self.count - max(0, highest)
        self.missing_inside = self.count - self.lines - self.missing_end
        for word in (
            *("connections", "wrong", "lines", "missing_inside", "missing_end"),
            *("gap_bytes", "resent", "resent_bytes"),
        ):
            print(word, getattr(self, word))


def main():
    check = Check(int(sys.argv[2]))
    for name in sorted(os.listdir(sys.argv[1])):
        check.read(os.path.join(sys.argv[1], name), name)
    check.finish()


if __name__ == "__main__":
    main()
