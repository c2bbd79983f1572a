#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares what strace -ff -yy -o PREFIX wrote of two runs of a program.

    syscalls.py same LEVEL PREFIX REFERENCE...   the calls on sockets are those of one reference
    syscalls.py added PREFIX REFERENCE OWN...    what was added touches only paths under OWN

Levels: `exact`: every call and argument, data included; `order`: the calls in their order,
by name and kind of socket, repeated ones once, for programs whose data and amounts differ
from run to run anyway; `between`: every call and argument, on whatever, between two calls
of getppid() that the program marks the part by. Numbers of fds, ports that the kernel chose, pointers, pids
and clocks are not compared.
"""

import collections
import difflib
import glob
import re
import sys

# An open socket as strace -yy shows it: 3<TCP:[127.0.0.1:4000->127.0.0.1:80]>, 3<UNIX:[12]>.
SOCKET = re.compile(r"\b\d+<(TCP|TCPv6|UDP|UDPv6|UNIX[A-Z-]*|NETLINK|RAW|socket)\b:?.*?(?:\]|\d)>")
FILE = re.compile(r"\b\d+<((?:/|pipe:|anon_inode:)[^>]*)>(?:\(deleted\))?")
NETWORK = {
    "socket", "socketpair", "bind", "listen", "accept", "accept4", "connect", "getsockname",
    "getpeername", "getsockopt", "setsockopt", "send", "sendto", "sendmsg", "sendmmsg", "recv",
    "recvfrom", "recvmsg", "recvmmsg", "shutdown",
}  # fmt: skip
EPHEMERAL = 32768
SHOWN_CHARACTERS = 150
# Calls that look at the process itself and change nothing.
HARMLESS = {
    "getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "clock_gettime",
    "gettimeofday", "uname", "brk", "mmap", "munmap", "mprotect", "madvise", "rt_sigprocmask", "prlimit64",
    "fadvise64",
}  # fmt: skip


def read_processes(prefix):
    """The lines of each process, in the order in which the processes began."""
    paths = glob.glob(glob.escape(prefix) + ".*")
    paths.sort(key=lambda path: int(path.rsplit(".", 1)[1]))
    processes = []
    for path in paths:
        with open(path, encoding="latin-1") as file:
            processes.append([line.rstrip("\n") for line in file if re.match(r"\w+\(", line)])
    if not processes:
        sys.exit(f"{prefix}.*: no trace was written")
    return processes


def normalise(line):
    line = SOCKET.sub(r"FD<\1>", line)
    line = FILE.sub(r"FD<\1>", line)
    line = re.sub(
        r"htons\((\d+)\)",
        lambda port: "htons(CHOSEN)" if int(port[1]) >= EPHEMERAL else port[0],
        line,
    )
    line = re.sub(r"/proc/\d+/", "/proc/self/", line)
    line = re.sub(r"pipe:\[\d+\]", "pipe", line)
    line = re.sub(r"0x[0-9a-f]{5,}", "POINTER", line)
    line = re.sub(r"tv_(sec|nsec|usec)=\d+", r"tv_\1=N", line)
    line = re.sub(r"\s*\(left \{[^}]*\}\)", "", line)
    line = re.sub(r"nl_pid=-?\d+", "nl_pid=N", line)
    return re.sub(r"\s+= ", " = ", line)


def on_socket(line):
    name = line.split("(", 1)[0]
    return name in NETWORK or "FD<" in line and SOCKET_KIND.search(line) is not None


SOCKET_KIND = re.compile(r"FD<(TCP|TCPv6|UDP|UDPv6|UNIX[A-Z-]*|NETLINK|RAW|socket)>")


def socket_calls(prefix, level):
    processes = []
    for lines in read_processes(prefix):
        if level == "between":
            calls = between(list(map(normalise, lines)))
        else:
            calls = [line for line in map(normalise, lines) if on_socket(line)]
        if level == "order":
            calls = once_each(filter(None, map(outline, calls)))
        if calls:
            processes.append(calls)
    return processes


def between(calls):
    marks = [i for i, call in enumerate(calls) if call.startswith("getppid(")]
    return calls[marks[0] + 1 : marks[-1]] if marks else []


def outline(call):
    """A call by its name and the kind of its socket; None for one that only found nothing."""
    if re.search(r"= -1 (EAGAIN|EINTR|ERESTART)", call):
        return None
    name = call.split("(", 1)[0]
    # Whether a wait comes before the data or the data before the wait is a race.
    if name in ("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait"):
        return None
    kind = SOCKET_KIND.search(call)
    words = ""
    if name in ("socket", "connect", "getsockopt", "setsockopt", "fcntl", "ioctl", "shutdown"):
        words = ", ".join(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", call.split(" = ")[0])[1:])
    return f"{name}({kind[1] if kind else '-'}{', ' + words if words else ''})"


def once_each(calls):
    """Runs of calls that repeat in turn (read write read write) are kept once."""
    kept = []
    for call in calls:
        kept.append(call)
        for length in (1, 2):
            if kept[-length:] == kept[-2 * length : -length]:
                del kept[-length:]
    return kept


def same(level, prefix, references):
    ours = socket_calls(prefix, level)
    if not ours:
        sys.exit("no call that is compared was traced")
    theirs = [socket_calls(reference, level) for reference in references]
    if ours in theirs:
        return 0
    best = max(theirs, key=lambda t: difflib.SequenceMatcher(None, flat(t), flat(ours)).ratio())
    for line in difflib.unified_diff(
        flat(best), flat(ours), "without holdfast", "with holdfast", n=1, lineterm=""
    ):
        print(line)
    return 1


def flat(processes):
    lines = []
    for number, calls in enumerate(processes, 1):
        lines += [f"{number}: {call}" for call in calls]
    return lines


def key(line):
    """What makes a call the same call in two runs: its name and the objects that it names."""
    name = line.split("(", 1)[0]
    return name, tuple(SOCKET_KIND.findall(line)), tuple(re.findall(r"FD<(/[^>]*)>", line)), tuple(
        re.findall(r'"(/[^"]*)"', line)
    )


def added(prefix, reference, own):
    strange = 0
    ours, theirs = read_processes(prefix), read_processes(reference)
    if len(ours) != len(theirs):
        print(f"{len(ours)} processes or threads instead of {len(theirs)}")
        return 1
    for our_lines, their_lines in zip(ours, theirs):
        ours_n, theirs_n = list(map(normalise, our_lines)), list(map(normalise, their_lines))
        # What was only moved is not added: the same calls, as often, in another order.
        surplus = collections.Counter(map(key, ours_n))
        surplus.subtract(map(key, theirs_n))
        matcher = difflib.SequenceMatcher(
            None, list(map(key, theirs_n)), list(map(key, ours_n)), autojunk=False
        )
        for tag, _, _, first, last in matcher.get_opcodes():
            if tag not in ("insert", "replace"):
                continue
            for line in ours_n[first:last]:
                allowed = is_own(line, own) or surplus[key(line)] <= 0
                strange += not allowed
                print(f"{'own file' if allowed else 'NOT OURS'}: {shorten(line)}")
    return 1 if strange else 0


def shorten(line):
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "..."


def is_own(line, own):
    name, sockets, fd_paths, paths = key(line)
    # Standard error is looked at once, to know later whether it is still the same file.
    if re.match(r'(newfstatat|fstat)\(FD<[^>]*>, (""|\{)', line) and not fd_paths:
        return True
    if sockets or name in NETWORK:
        return False
    # What a link names is an answer, not a file that was touched.
    touched = fd_paths + (paths[:1] if name == "readlink" else paths)
    if not touched:
        return name in HARMLESS
    return all(any(path == o or o != "/proc" and path.startswith(o + "/") for o in own) for path in touched)


def main():
    command, *arguments = sys.argv[1:]
    if command == "same":
        level, prefix, *references = arguments
        return same(level, prefix, references)
    prefix, reference, *own = arguments
    return added(prefix, reference, own)


if __name__ == "__main__":
    sys.exit(main())
