#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Servers for the programs of loops.bash, on just the addresses that are named.

    loops_server.py http DIRECTORY PORT ADDRESS...    the files of a directory
    loops_server.py https DIRECTORY PORT ADDRESS...   the same; cert.pem and key.pem beside it
    loops_server.py line TEXT PORT ADDRESS...         sends TEXT and a newline, and closes
    loops_server.py ldap TEXT PORT ADDRESS...         takes any bind, finds one entry, "cn=TEXT"
    loops_server.py relay SOCKET PORT ADDRESS...      passes all on to a Unix socket
    loops_server.py silent - PORT ADDRESS...          lets connects hang: its backlog is full
"""

import functools
import http.server
import os
import socket
import ssl
import sys
import threading
import time


def listen(address, port, backlog=128):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((address, port))
    listener.listen(backlog)
    return listener


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve_files(listener, directory, context=None):
    server = http.server.ThreadingHTTPServer(
        listener.getsockname(),
        functools.partial(Files, directory=directory),
        bind_and_activate=False,
    )
    server.daemon_threads = True
    server.socket.close()
    server.socket = listener
    if context:
        server.socket = context.wrap_socket(
            listener, server_side=True, do_handshake_on_connect=False
        )
    server.serve_forever()


def serve_tls_files(listener, directory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    beside = os.path.dirname(directory)
    context.load_cert_chain(os.path.join(beside, "cert.pem"), os.path.join(beside, "key.pem"))
    serve_files(listener, directory, context)


def answer_line(client, text):
    client.sendall(text.encode() + b"\n")


def ber(tag, *content):
    body = b"".join(content)
    return bytes([tag, len(body)]) + body


def answer_ldap(client, text):
    """Only as much as `ldapsearch -x` asks for; every message is shorter than 128 bytes."""
    name = b"cn=" + text.encode()
    while request := client.recv(4096):
        # 0x30 length, 0x02 length id, operation: 0x60 bind, 0x63 search, 0x42 unbind
        number = request[2 : 4 + request[3]]
        operation = request[4 + request[3]]
        success = (ber(0x0A, b"\0"), ber(0x04), ber(0x04))
        if operation == 0x60:
            client.sendall(ber(0x30, number, ber(0x61, *success)))
        elif operation == 0x63:
            client.sendall(
                ber(0x30, number, ber(0x64, ber(0x04, name), ber(0x30)))
                + ber(0x30, number, ber(0x65, *success))
            )
        else:
            return


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def answer_relay(client, path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.connect(path)
        back = threading.Thread(target=copy, args=(server, client), daemon=True)
        back.start()
        copy(client, server)
        back.join()


def serve_each(answer, listener, argument):
    def serve(client):
        with client:
            try:
                answer(client, argument)
            except OSError:
                pass

    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client,), daemon=True).start()


def stay_silent(listener, _):
    held = []
    for _ in range(4):
        client = socket.socket(listener.family, socket.SOCK_STREAM)
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        held.append(client)
    time.sleep(3600)


KINDS = {
    "http": serve_files,
    "https": serve_tls_files,
    "line": functools.partial(serve_each, answer_line),
    "ldap": functools.partial(serve_each, answer_ldap),
    "relay": functools.partial(serve_each, answer_relay),
    "silent": stay_silent,
}


def main():
    kind, argument, port, *addresses = sys.argv[1:]
    backlog = 0 if kind == "silent" else 128
    # All of them or none: nobody is to find half a server.
    listeners = [listen(address, int(port), backlog) for address in addresses]
    threads = [threading.Thread(target=KINDS[kind], args=(one, argument)) for one in listeners]
    for thread in threads:
        thread.start()


main()
