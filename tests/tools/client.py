#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A process with connections, for tests of the tool; it does what its standard input says:

    open PORT     connects to 127.0.0.1:PORT
    close PORT    closes the first connection to it

and answers each line, when it is done, with "ok" or the name of the error.
"""

import errno
import socket
import sys

connections = []
for line in sys.stdin:
    what, port = line.split()
    try:
        if what == "open":
            connections.append((port, socket.create_connection(("127.0.0.1", int(port)))))
        else:
            found = next(c for c in connections if c[0] == port)
            connections.remove(found)
            found[1].close()
        print("ok", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
