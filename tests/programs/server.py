#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A server that answers every client with the same bytes, in one send.

    server.py http PORT     reads a request up to its empty line, answers "hello"
    server.py line PORT     sends "hello" at once
    server.py sink PORT     accepts, reads until the client closes
"""

import socket
import sys

BODY = b"hello\n"
HTTP = (
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n" % len(BODY)
) + BODY


def serve_http(client):
    request = b""
    while b"\r\n\r\n" not in request:
        data = client.recv(65536)
        if not data:
            return
        request += data
    client.sendall(HTTP)


def serve_line(client):
    client.sendall(BODY)


def serve_sink(client):
    while client.recv(65536):
        pass


KINDS = {"http": serve_http, "line": serve_line, "sink": serve_sink}


def main():
    serve = KINDS[sys.argv[1]]
    with socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=128) as listener:
        while True:
            client, _ = listener.accept()
            with client:
                try:
                    serve(client)
                except ConnectionError:
                    pass


main()
