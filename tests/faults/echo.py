#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""echo.py PORT: sends back what it receives. Says of each connection "end" or "reset", and how
many bytes it has received by then."""
import os
import socket
import sys
import threading


def serve(client):
    received = 0
    with client:
        try:
            while data := client.recv(65536):
                received += len(data)
                client.sendall(data)
            how = "end"
        except ConnectionError:
            how = "reset"
    # In one piece: two threads that print() write into each other's lines.
    os.write(1, f"{how} {received}\n".encode())


with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
