#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""kill.py ROUNDS SEED: kills a busy program that often and compares, each time, what its
threads know to have finished with what the store says. Prints TAP. See kill.sh."""

import json
import mmap
import os
import random
import struct
import subprocess
import sys
import threading
import time

BUILD = os.environ["BUILD"]
STATE = os.environ["HOLDFAST_STATE_DIR"]
HOLDFAST = os.environ["HOLDFAST"]
PROGRAM = f"{BUILD}/tests/shim/kill"
ROUNDS, SEED = int(sys.argv[1]), int(sys.argv[2])

# Threads of `kill busy` that can be inside a call when they are killed.
CONNECTING, FAILING, TRANSFERRING, MESSAGE = 3, 1, 2, 100
POLICY = json.dumps({"version": 1, "defaults": {"strategies": {"network": {
    "decision": "backoff", "max_retries": 1, "base_delay": "1ms", "max_delay": "1ms",
    "jitter": 0}}}})
OUTSIDE = struct.Struct("=4Q")  # struct outside of kill.c

problems = {}
killed = set()  # (pid, nonce)


def problem(test, text):
    problems.setdefault(test, []).append(text)


def expect(test, condition, text):
    if not condition:
        problem(test, text)


def peek():
    """The sum over the process files, by a reader that is not the tool's."""
    output = subprocess.run([f"{BUILD}/tests/shim/peek", STATE], check=True,
                            capture_output=True, text=True).stdout
    counters = {}
    for line in output.splitlines():
        words = line.split()
        if words[0] == "process":
            killed.add((int(words[1]), words[2]))
        elif words[0] != "event":
            counters[words[0]] = int(words[1])
    return counters


def stats():
    run = subprocess.run([HOLDFAST, "stats", "--json"], capture_output=True, text=True)
    said = run.stderr and "nothing was recorded yet" not in run.stderr
    expect("readable", run.returncode == 0 and not said,
           f"stats ended with {run.returncode}: {run.stderr}")
    return json.loads(run.stdout) if run.stdout else None


def flat(counters):
    """As stored: the causes of a denial by their own names, nanoseconds as such."""
    result = {}
    for name, value in counters.items():
        if isinstance(value, dict):
            result.update({f"{name}_{cause}": n for cause, n in value.items()})
        elif name == "backoff_seconds":
            result["backoff_ns"] = round(value * 1e9)
        else:
            result[name] = value
    return result


def differences(got, expected):
    return [f"{name}: {got.get(name)} instead of {value}" for name, value in expected.items()
            if name != "processes" and (abs(got.get(name, 0) - value) > 1000
                                        if name == "backoff_ns" else got.get(name) != value)]


class Watcher(threading.Thread):
    """Reads all the time, while writers run, are killed and are folded."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stopped = False
        self.reads = 0

    def run(self):
        before = {}
        while not self.stopped:
            read = stats()
            if read is None:
                continue
            now = flat(read["totals"])
            for name, value in before.items():
                expect("monotonic", now[name] >= value,
                       f"{name} went from {value} to {now[name]}")
            before = now
            self.reads += 1
            time.sleep(0.02)


def round_run(number, ports, log_path, moment):
    """One life of the program; returns what it says to have finished."""
    with open(log_path, "wb") as log:
        log.write(bytes(OUTSIDE.size))
    with open(log_path, "r+b") as log, mmap.mmap(log.fileno(), OUTSIDE.size) as memory:
        environment = dict(os.environ, LD_PRELOAD=os.environ["SHIM"], HOLDFAST_POLICY=POLICY)
        process = subprocess.Popen([PROGRAM, "busy", *ports, log_path], env=environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(moment)
        process.kill()
        output = process.communicate()[0].decode()
        expect("lives", process.returncode == -9 and not output,
               f"round {number}: ended with {process.returncode}: {output}")
        return OUTSIDE.unpack(memory[:])


def compare(number, outside, inside):
    """The store is written before a call returns, the program's own log after that."""
    succeeded, failures, sent, received = outside

    def within(name, low, more):
        expect("outside", low <= inside.get(name, 0) <= low + more,
               f"round {number}: {name} is {inside.get(name, 0)}, the program knows of {low} and "
               f"at most {more} more can have been in progress")

    within("succeeded", succeeded, CONNECTING)
    within("failures", failures, FAILING)
    within("sent_bytes", sent, TRANSFERRING * MESSAGE)
    within("received_bytes", received, TRANSFERRING * MESSAGE)
    ended = sum(inside.get(n, 0) for n in ("succeeded", "failures", "fallbacks", "abandoned"))
    open_operations = inside.get("operations", 0) - ended
    expect("sums", 0 <= open_operations <= CONNECTING + FAILING,
           f"round {number}: {open_operations} operations in progress in 4 threads")
    attempts = inside.get("operations", 0) + inside.get("retries", 0) - inside.get("attempts", 0)
    expect("sums", 0 <= attempts <= CONNECTING + FAILING,
           f"round {number}: attempts are {attempts} fewer than operations and retries")


def events_check(dead_port):
    """Of this program every field of an event is known beforehand: a torn one would show."""
    run = subprocess.run([HOLDFAST, "events", "--json"], capture_output=True, text=True)
    expect("readable", run.returncode == 0, f"events ended with {run.returncode}: {run.stderr}")
    count = 0
    for line in run.stdout.splitlines():
        event = json.loads(line)
        count += 1
        pid, _, nonce = str(event["process"]).partition("-")
        good = (event["event"] in ("connect_retry", "connect_failed", "max_retries_exceeded")
                and event["endpoint"] == f"tcp:127.0.0.1:{dead_port}"
                and event["error"] == "ECONNREFUSED" and event["program"] == "kill"
                and event["attempt"] == (1 if event["event"] == "connect_retry" else 2)
                and (not nonce or (int(pid), nonce) in killed))
        expect("events", good, f"not an event of this program: {line}")
    return count


def main():
    server = subprocess.Popen([PROGRAM, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        rounds(server.stdout.readline().split())
    finally:
        server.kill()
        server.wait()


def rounds(ports):
    moments = random.Random(SEED)
    log_path = os.path.join(os.environ["TMPDIR"], "outside")
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    watcher = Watcher()
    watcher.start()
    folded, unfolded = {}, {}
    events = 0
    for number in range(ROUNDS):
        outside = round_run(number, ports, log_path, moments.uniform(0, 0.05))
        now = peek()
        compare(number, outside, {n: v - unfolded.get(n, 0) for n, v in now.items()})
        unfolded = now
        totals_check(f"round {number}, before folding", folded, unfolded)
        if number % 3 == 2:
            subprocess.run([f"{BUILD}/tests/shim/fold", STATE], check=True, capture_output=True)
            folded = added(folded, unfolded)
            unfolded = peek()
            expect("folds", unfolded["processes"] == 0,
                   f"round {number}: {unfolded['processes']} files left")
            totals_check(f"round {number}, after folding", folded, unfolded)
        if number % 20 == 19:
            events += events_check(ports[1])
    watcher.stopped = True
    watcher.join()
    report(added(folded, unfolded)["operations"], events, watcher.reads)


def added(one, other):
    return {name: one.get(name, 0) + value for name, value in other.items()}


def totals_check(when, folded, unfolded):
    """What was in progress in a process that is gone has been abandoned by it."""
    expected = added(folded, unfolded)
    expected["abandoned"] = expected["operations"] - sum(
        expected[name] for name in ("succeeded", "failures", "fallbacks"))
    found = differences(flat(stats()["totals"]), expected)
    expect("folds", not found, f"{when}: {found}")


TESTS = {
    "lives": f"the program lived until it was killed, {ROUNDS} times",
    "readable": "the store could be read every time",
    "outside": "against the program's own log at most one operation a thread differs",
    "sums": "the counters of each killed process add up",
    "folds": "every stored increment is counted once, before folding and after",
    "monotonic": "no total ever went backwards",
    "events": "no torn event was shown",
}


def report(operations, events, reads):
    print(f"# {ROUNDS} kills, seed {SEED}: {operations} operations seen, {events} events read, "
          f"{reads} reads beside")
    expect("events", events > 100, f"only {events} events were there to check")
    expect("monotonic", reads > 10, f"only {reads} reads were made")
    expect("outside", operations > 10 * ROUNDS, f"only {operations} operations were counted")
    for number, (test, name) in enumerate(TESTS.items(), 1):
        found = problems.get(test, [])
        print(f"{'not ' if found else ''}ok {number} - {name}")
        for text in found[:5]:
            print(f"# {text}")
        if len(found) > 5:
            print(f"# and {len(found) - 5} more")
    print(f"1..{len(TESTS)}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
