# SPDX-License-Identifier: MIT
"""The forwarding of faults.py: connections, their two streams, timers; one thread, one selector.

What arrives goes through the toxics of its stream into a queue, where it waits until it is due
and the other side takes it. Without toxics it goes straight through.
"""

import errno
import heapq
import itertools
import selectors
import socket
import struct
import time
from collections import deque

from toxics import End

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
# A stream that has more than this waiting is not read.
MAX_WAITING = 256 * 1024
# With a FIN sent, how long we go on reading what still comes.
LINGER_SECONDS = 1.0
# How often a socket is read before it is closed, lest a fast sender keeps us.
DRAIN_READS = 16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

# All sockets are read into the same memory: one thread, and what waits is copied.
buffer = memoryview(bytearray(128 * 1024))


class Side:
    """One of the two sockets of a connection, and what it is watched for."""

    def __init__(self, connection, sock):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.connection = connection
        self.selector = connection.proxy.selector
        self.incoming = self.outgoing = None  # the streams that are read from it, written to it
        self.events = 0

    def watch(self):
        events = 0
        if self.connection.connecting:
            events = WRITE if self is self.connection.upstream else 0
        else:
            events |= READ if self.incoming.wants_data() else 0
            events |= WRITE if self.outgoing.blocked else 0
        if events == self.events:
            return
        if not self.events:
            self.selector.register(self.socket, events, self.act)
        elif not events:
            self.selector.unregister(self.socket)
        else:
            self.selector.modify(self.socket, events, self.act)
        self.events = events

    def act(self, mask):
        connection = self.connection
        # An earlier event of the same round may have closed it.
        if mask & READ and not connection.closed:
            self.incoming.read()
        if mask & WRITE and not connection.closed:
            if connection.connecting:
                connection.finish_connect()
            else:
                self.outgoing.blocked = False
                self.outgoing.write()

    def drain(self):
        for _ in range(DRAIN_READS):
            try:
                if not self.socket.recv_into(buffer):
                    return
            except OSError:
                return

    def close(self):
        if self.events:
            self.selector.unregister(self.socket)
        self.socket.close()


class Stream:
    """One direction of a connection."""

    def __init__(self, name, source, sink, toxics):
        self.name = name
        self.source = source
        self.sink = sink
        self.toxics = toxics
        self.connection = source.connection
        self.moved = self.connection.proxy.moved
        self.queue = deque()  # (when it is due, data or an End), in that order
        self.waiting = 0  # bytes in there
        self.source_ended = False
        self.blocked = False  # the sink takes no more for now
        self.timed = False  # a timer is set, for the first in the queue
        self.done = False  # its end has been passed on
        source.incoming = sink.outgoing = self

    def wants_data(self):
        return not self.source_ended and self.waiting <= MAX_WAITING

    def read(self):
        try:
            count = self.source.socket.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            self.end(End.RESET)
            return
        if not count:
            self.end(End.FIN)
        elif self.connection.ending:
            pass
        elif self.queue or self.toxics:
            self.put(bytes(buffer[:count]))
        else:
            sent = self.send(buffer[:count])
            if sent < count and not self.connection.closed:
                self.put(bytes(buffer[sent:count]))

    def end(self, how):
        self.source_ended = True
        if self.connection.ending:
            self.finish()
        else:
            self.put(how)

    def put(self, item):
        items = [(time.monotonic(), item)]
        for toxic in self.toxics:
            items = toxic.pass_on(items)
        for due, changed in items:
            self.queue.append((due, changed))
            if not isinstance(changed, End):
                self.waiting += len(changed)
        self.write()

    def write(self):
        """Writes what is due."""
        queue = self.queue
        now = time.monotonic()
        while queue and not self.blocked and queue[0][0] <= now:
            due, item = queue.popleft()
            if isinstance(item, End):
                self.pass_end(item)
            else:
                sent = self.send(item)
                self.waiting -= sent
                if sent < len(item):
                    queue.appendleft((due, item[sent:]))
            if self.connection.closed:
                return
        if queue and not self.blocked and not self.timed:
            self.timed = True
            self.connection.proxy.at(queue[0][0], self.on_time)
        self.source.watch()
        self.sink.watch()

    def on_time(self):
        self.timed = False
        if not self.connection.closed:
            self.write()

    def send(self, data):
        try:
            sent = self.sink.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.connection.reset()
            return 0
        self.blocked = sent < len(data)
        self.moved[self.name] += sent
        return sent

    def pass_end(self, how):
        if how is End.RESET:
            self.connection.reset()
        elif how is End.CLOSE:
            self.connection.end()
        else:
            self.shut()
            self.finish()

    def shut(self):
        try:
            self.sink.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The peer is gone already.

    def finish(self):
        self.done = True
        if self.connection.streams[0].done and self.connection.streams[1].done:
            self.connection.close()

    def abandon(self):
        """Drops what waits, and sends the end."""
        self.queue.clear()
        self.waiting = 0
        self.blocked = False
        self.shut()
        self.done = self.source_ended


class Connection:
    def __init__(self, proxy, client, toxics):
        self.proxy = proxy
        self.begun = time.monotonic()
        self.connecting = True
        self.ending = False  # a FIN was sent both ways; what comes is thrown away
        self.closed = False
        self.client = Side(self, client)
        self.upstream = Side(self, socket.socket())
        there = [toxic for stream, toxic in toxics if stream == "upstream"]
        back = [toxic for stream, toxic in toxics if stream == "downstream"]
        self.streams = [
            Stream("upstream", self.client, self.upstream, there),
            Stream("downstream", self.upstream, self.client, back),
        ]

    def begin(self, toxics):
        for _, toxic in toxics:
            toxic.begin(self)
        if self.closed:
            return
        error = self.upstream.socket.connect_ex(("127.0.0.1", self.proxy.to))
        if error in (0, errno.EINPROGRESS):
            self.upstream.watch()
        else:
            self.reset()

    def finish_connect(self):
        if self.upstream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.reset()
            return
        self.connecting = False
        self.client.watch()
        self.upstream.watch()

    def after(self, seconds, action):
        self.proxy.at(self.begun + seconds, action)

    def reset(self):
        if self.closed:
            return
        for side in (self.client, self.upstream):
            side.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.proxy.resets += 1
        self.close()

    def end(self):
        """Sends a FIN both ways. What still comes is read for a while: to close over it would
        send a RST, which takes with it what the peer has not read yet."""
        if self.closed or self.ending:
            return
        self.ending = True
        self.connecting = False
        for stream in self.streams:
            stream.abandon()
        if all(stream.done for stream in self.streams):
            self.close()
            return
        for side in (self.client, self.upstream):
            side.watch()
        self.proxy.at(time.monotonic() + LINGER_SECONDS, self.close)

    def hang_up(self):
        """Closes both sides with a FIN, at once."""
        for side in (self.client, self.upstream):
            side.drain()
        self.close()

    def close(self):
        if self.closed:
            return
        self.closed = True
        self.client.close()
        self.upstream.close()
        self.proxy.connections.discard(self)


class Proxy:
    def __init__(self, to, port, script):
        self.to = to
        self.port = port
        self.script = script
        self.selector = selectors.DefaultSelector()
        self.timers = []  # (when, a number that keeps equals in order, what)
        self.timer_numbers = itertools.count()
        self.listener = None
        self.connections = set()
        self.accepted = 0
        self.resets = 0
        self.moved = {"upstream": 0, "downstream": 0}
        self.running = True

    def at(self, when, action):
        heapq.heappush(self.timers, (when, next(self.timer_numbers), action))

    def up(self):
        if self.listener:
            return
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, READ, self.accept)

    def down(self):
        if self.listener:
            self.selector.unregister(self.listener)
            self.listener.close()
            self.listener = None
        self.each(Connection.reset)

    def each(self, action):
        for connection in list(self.connections):
            action(connection)

    def accept(self, _=None):
        """Accepts all that wait."""
        while self.listener:
            try:
                client, _ = self.listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            self.accepted += 1
            toxics = self.script.draw(self.accepted)
            connection = Connection(self, client, toxics)
            self.connections.add(connection)
            connection.begin(toxics)

    def run(self):
        timers = self.timers
        while self.running:
            timeout = max(0.0, timers[0][0] - time.monotonic()) if timers else None
            for key, mask in self.selector.select(timeout):
                key.data(mask)
            while timers and timers[0][0] <= time.monotonic():
                heapq.heappop(timers)[2]()
