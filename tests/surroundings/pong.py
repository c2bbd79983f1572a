#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pong.py PORT [SECONDS]: answers every connection's first bytes with "pong".

Listens on all loopback addresses, SECONDS later. Ends with whoever started it."""
import selectors
import socket
import sys
import time

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 0)
server.bind(("", int(sys.argv[1])))
server.listen(1024)
selector = selectors.DefaultSelector()
selector.register(server, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        if key.fileobj is server:
            selector.register(server.accept()[0], selectors.EVENT_READ)
            continue
        try:
            if key.fileobj.recv(64):
                key.fileobj.sendall(b"pong\n")
                continue
        except OSError:
            pass
        selector.unregister(key.fileobj)
        key.fileobj.close()
