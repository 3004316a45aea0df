"""Asks the server in the same container, for the engine: `python -I -S serving/healthcheck.py /livez`.

Exit status 0 for an answer of 200; else 1, with what was answered. A raw socket and no import that is
not needed: it is run every few seconds.

https://docs.docker.com/reference/dockerfile/#healthcheck
"""

import os
import socket
import sys


def ask(path: str, port: int) -> tuple[int, str]:
    """The status and the body of an answer. Raises OSError where there is none in 2 seconds."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(request.encode())
        with connection.makefile("rb") as stream:
            head, _, body = stream.read().decode(errors="replace").partition("\r\n\r\n")
    status = head.split(maxsplit=2)[1:2]
    return (int(status[0]) if status and status[0].isdigit() else 0), body


if __name__ == "__main__":
    try:
        status, body = ask(sys.argv[1], int(os.environ.get("GRANIAN_PORT", "8000")))
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    if status != 200:
        sys.exit(f"{sys.argv[1]}: {status} {body}")
