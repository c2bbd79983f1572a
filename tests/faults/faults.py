#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""A TCP proxy that injects faults, for tests.

    faults.py --to PORT [--listen PORT] [--seed N] [--script FILE]

Listens on 127.0.0.1 (without --listen, or with 0, on any port), prints "listening PORT" and
forwards every connection to 127.0.0.1, port --to. If that refuses, the client gets a RST. Ends
at the end of standard input, or with SIGTERM.

Toxics change what goes through. Each acts on one "stream", "upstream" (what the client sends)
or "downstream" (the default), and on the part "toxicity" (0 to 1, default 1) of all connections.
Several act in their order. A stream's end is treated like data, behind them. A side is not read
while more than 256 KiB wait for the other.

    latency     latency, jitter   ms: delays all by latency, up to jitter more or less
    bandwidth   rate              KB/s (1000 bytes)
    slicer      average_size, size_variation, delay
                                  sends pieces of so many bytes, delay microseconds apart
    slow_close  delay             ms: delays the stream's end
    limit_data  bytes             closes the connection when exactly so many have passed; with 0,
                                  when the first would
    timeout     timeout           ms: lets nothing of the stream through, not even its end, and
                                  closes the connection so long after it was accepted; 0: never
    reset_peer  timeout           ms: resets both sides so long after it was accepted; data pass
                                  until then. With 0 it may be connect() that tells a client
    down                          closes the listener and resets all connections, this one too;
                                  the command `up` ends that

A script says which connections, counted from 1 as they are accepted, get which toxics. The first
entry that matches is applied; "match" is "2", "3-5", "6-", "odd", "even" or "*":

    {"connections": [{"match": "1", "toxics": [{"type": "latency", "stream": "downstream",
        "toxicity": 0.5, "attributes": {"latency": {"min": 50, "max": 100}, "jitter": 10}}]}]}

An attribute is a number, or a range to draw from for each connection. The draws for connection n
depend on --seed (default 0) and n only, not on what happened before. With a bad script the exit
code is 65, with one that cannot be read 66.

Commands are lines on standard input. Each is answered with a line "done COMMAND" when it has
taken effect, or with "failed COMMAND: REASON". It finds all connections accepted whose connect()
succeeded before it was sent.

    down          closes the listener and resets all connections
    up            listens again, on the same port
    reset         resets all connections, on both sides
    fin           closes all connections in order, at once, like a server that drops idle ones: what
                  a client sends after that is answered with a RST
    toxics LIST   these, a JSON list, for all connections from now on, instead of the script
    clear         no toxics for connections from now on
    stats         prints a JSON object: accepted, open and resets are numbers of connections,
                  upstream and downstream bytes
"""

import argparse
import functools
import json
import os
import sys

from proxy import READ, Connection, Proxy
from toxics import Script, ScriptError, read_script, same_for_all


class Control:
    """The commands on standard input."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.partial = b""
        self.commands = {
            "down": proxy.down,
            "up": proxy.up,
            "reset": functools.partial(proxy.each, Connection.reset),
            "fin": functools.partial(proxy.each, Connection.hang_up),
            "toxics": self.set_toxics,
            "clear": functools.partial(self.set_toxics, "[]"),
            "stats": self.print_stats,
        }
        proxy.selector.register(0, READ, self.read)

    def read(self, _):
        data = os.read(0, 65536)
        if not data:
            self.proxy.running = False
        *lines, self.partial = (self.partial + data).split(b"\n")
        for line in lines:
            self.obey(line.decode(errors="replace").strip())

    def obey(self, line):
        word, _, rest = line.partition(" ")
        arguments = [rest] if rest or word == "toxics" else []
        # What was connected before the command is under what was said before it.
        self.proxy.accept()
        try:
            if word not in self.commands:
                raise ScriptError(f"expected one of {', '.join(self.commands)}")
            if arguments and word != "toxics":
                raise ScriptError(f"found {rest!r}, expected nothing behind it")
            self.commands[word](*arguments)
        except (ScriptError, OSError) as error:
            print(f"failed {word}: {error}", flush=True)
        else:
            print(f"done {word}", flush=True)

    def set_toxics(self, text):
        self.proxy.script = same_for_all(text, self.proxy.script.seed)

    def print_stats(self):
        proxy = self.proxy
        counts = {"accepted": proxy.accepted, "open": len(proxy.connections)}
        print(json.dumps({**counts, "resets": proxy.resets, **proxy.moved}))


def port_number(text):
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


def read_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", type=port_number, required=True, metavar="PORT")
    parser.add_argument("--listen", type=port_number, default=0, metavar="PORT")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--script", metavar="FILE")
    return parser.parse_args()


def main():
    options = read_options()
    script = Script([], options.seed)
    if options.script:
        try:
            with open(options.script, "rb") as file:
                script = read_script(file.read(), options.seed)
        except ScriptError as error:
            print(f"faults.py: {options.script}: {error}", file=sys.stderr)
            return 65
        except OSError as error:
            print(f"faults.py: {options.script}: {error.strerror}", file=sys.stderr)
            return 66
    proxy = Proxy(options.to, options.listen, script)
    try:
        Control(proxy)
    except PermissionError:
        print("faults.py: standard input has to be a pipe or a terminal", file=sys.stderr)
        return 64
    try:
        proxy.up()
    except OSError as error:
        print(f"faults.py: port {options.listen}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"listening {proxy.port}", flush=True)
    proxy.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
