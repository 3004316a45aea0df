"""Asks the server in the same container, for the engine: `python -I -m serving_tools.healthcheck /livez`.

Or looks at the file that a worker touches while it asks for tasks: `... serving_tools.healthcheck --heartbeat FILE`.

Exit status 0 for an answer of 200, or for a redirect to the same path by https, which is all that plain http gets
where SECURE_SSL_REDIRECT is set; else 1, with one line about what was asked and answered. It finds the
address in the server's own variables, of the environment or of config/granian.env: it can't know what only
the command line says (`--port`).

It uses a raw socket and imports no more than it needs, since it runs every few seconds.
https://docs.docker.com/reference/dockerfile/#healthcheck
"""

import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from serving_tools.env_file import EnvFileError, load

FLAGS = Path("config", "granian.env")  # of the working directory, the project's

TIMEOUT = 2.0  # seconds for each step; Dockerfile and compose.yaml allow three in all

# Seconds between two touches of a worker's file: more than a statement may take, DATABASE_STATEMENT_TIMEOUT.
HEARTBEAT = 60.0

# A server that listens on all addresses is asked on loopback.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
TRUE = {"1", "true", "t", "yes", "y", "on"}  # as Granian reads a flag


def variables() -> dict[str, str]:
    """The server's flags, combined as the image's entrypoint and `make run` do.

    Raises SystemExit, with the reason, if the file can't be read; these would not have started either.
    """
    found = dict(os.environ)
    if FLAGS.exists():  # else all of them are variables
        try:
            load(FLAGS, found)
        except EnvFileError as error:
            sys.exit(str(error))
    return found


class Address:
    """Where the server listens."""

    def __init__(self, flags: Mapping[str, str]) -> None:
        self.flags = flags
        self.uds = flags.get("GRANIAN_UDS")
        self.tls = bool(flags.get("GRANIAN_SSL_CERTIFICATE") and flags.get("GRANIAN_SSL_KEYFILE"))
        host = flags.get("GRANIAN_HOST") or "127.0.0.1"
        self.host = LOOPBACK.get(host, host)
        self.port = port_of(flags.get("GRANIAN_PORT") or "8000")

    def __str__(self) -> str:
        if self.uds:
            return f"unix:{self.uds}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"

    def connect(self) -> socket.socket:
        """A connection to it. Raises OSError."""
        if self.uds:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(TIMEOUT)
            connection.connect(self.uds)
        else:
            connection = socket.create_connection((self.host, self.port), TIMEOUT)
        return with_tls(connection, self.flags) if self.tls else connection


def port_of(text: str) -> int:
    """A port. Raises SystemExit, with the reason, if it is none."""
    try:
        return int(text)
    except ValueError:
        sys.exit(f"GRANIAN_PORT={text!r} is no port")


def with_tls(connection: socket.socket, flags: Mapping[str, str]) -> socket.socket:
    """The connection, with TLS. The certificate is not verified: the server is on this machine."""
    import ssl  # takes half as long as all the rest

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if flags.get("GRANIAN_HTTP") == "2":
        context.set_alpn_protocols(["h2"])
    if flags.get("GRANIAN_SSL_CLIENT_VERIFY", "").lower() in TRUE:
        # The server's own certificate is accepted if the same authority signed it.
        context.load_cert_chain(
            flags["GRANIAN_SSL_CERTIFICATE"],
            flags["GRANIAN_SSL_KEYFILE"],
            flags.get("GRANIAN_SSL_KEYFILE_PASSWORD", ""),
        )
    return context.wrap_socket(connection)


def site_name(flags: Mapping[str, str]) -> str:
    """A host name that Django answers to: the first that ALLOWED_HOSTS spells out."""
    names = (name.strip().lstrip(".") for name in flags.get("ALLOWED_HOSTS", "").split(","))
    return next((name for name in names if name not in ("", "*")), "localhost")


def ask(connection: socket.socket, path: str, flags: Mapping[str, str]) -> tuple[int, str]:
    """The status and the body of an answer over HTTP/1.1. A redirect to the same path by https counts as 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: {site_name(flags)}\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode())
    with connection.makefile("rb") as stream:
        head, _, body = stream.read().decode(errors="replace").partition("\r\n\r\n")
    first, *headers = head.split("\r\n")
    status = first.split(maxsplit=2)[1:2]
    same = (path, prefix(flags) + path)
    if status == ["301"] and any(path_by_https(header) in same for header in headers):
        return 200, body
    return (int(status[0]) if status and status[0].isdigit() else 0), body


def path_by_https(header: str) -> str | None:
    """Where a header redirects to by https, as Django's SECURE_SSL_REDIRECT does, to whatever host."""
    name, _, address = header.partition(": ")
    scheme, _, rest = address.partition("://")
    by_https = (name.lower(), scheme) == ("location", "https")
    return "/" + rest.partition("/")[2] if by_https else None


def prefix(flags: Mapping[str, str]) -> str:
    """The path below which the site is."""
    return flags.get("GRANIAN_URL_PATH_PREFIX", "").rstrip("/")


def ask_http2(connection: socket.socket, path: str, flags: Mapping[str, str]) -> tuple[int, str]:
    """The same over HTTP/2, for a server with GRANIAN_HTTP=2. A status other than 200 counts as 0.

    https://www.rfc-editor.org/rfc/rfc9113 https://www.rfc-editor.org/rfc/rfc7541
    """
    data, headers, settings, end_stream, end_headers, acknowledged = 0, 1, 4, 1, 4, 1
    # Of the static table: GET, http (it does not matter which); literals: path, authority.
    block = b"\x82\x86" + literal(4, path.encode()) + literal(1, site_name(flags).encode())
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(settings, 0, 0, b"")
        + frame(headers, end_stream | end_headers, 1, block)
    )
    status, body = 0, b""
    with connection.makefile("rb") as stream:
        while len(head := stream.read(9)) == 9:
            length, kind, marks = int.from_bytes(head[:3]), head[3], head[4]
            content = stream.read(length)
            if kind == settings and not marks & acknowledged:
                connection.sendall(frame(settings, acknowledged, 0, b""))
            elif kind == headers:  # the status comes first, and 200 stands in the static table
                status = 200 if content.lstrip(bytes(range(0x20, 0x40)))[:1] == b"\x88" else 0
            elif kind == data:
                body += content
            if kind in (data, headers) and marks & end_stream:
                break
    return status, body.decode(errors="replace")


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def literal(name: int, value: bytes) -> bytes:
    """A header as HPACK has it: a name of the static table, and a value of less than 127 bytes."""
    return bytes([name, len(value)]) + value


def check(path: str, flags: Mapping[str, str]) -> str | None:
    """Asks; returns what is wrong, on one line, or None."""
    where = Address(flags)
    over = ask_http2 if flags.get("GRANIAN_HTTP") == "2" else ask
    try:
        for asked in dict.fromkeys((path, prefix(flags) + path)):
            with where.connect() as connection:
                status, body = over(connection, asked, flags)
            if status != 404:
                break
    except OSError as error:
        return f"{where}{path}: {explained(error, flags)}"
    if status == 200:
        return None
    text = " ".join(body.split())[:500]
    return f"{where}{asked}: {status or 'no status of 200'} {text}".rstrip()


def explained(error: Exception, flags: Mapping[str, str]) -> str:
    """An error, with its meaning if that is known."""
    text = str(error) or type(error).__name__
    verified = flags.get("GRANIAN_SSL_CLIENT_VERIFY", "").lower() in TRUE
    if verified and type(error).__name__.startswith("SSL"):
        text += (
            "; the server asks for a client's certificate (GRANIAN_SSL_CLIENT_VERIFY), and its own, which"
            " is shown to it, is none that GRANIAN_SSL_CA signed: have it sign that one as well"
        )
    return text


def check_heartbeat(file: str) -> str | None:
    """What is wrong with the worker that touches a file, on one line, or None."""
    try:
        age = time.time() - os.stat(file).st_mtime
    except OSError as error:
        return f"{file}: {error.strerror}: no worker has begun to ask for tasks"
    if age > HEARTBEAT:
        return f"{file}: the worker has not asked for tasks for {age:.0f} s"
    return None


if __name__ == "__main__":
    *kind, asked = sys.argv[1:]
    problem = check_heartbeat(asked) if kind == ["--heartbeat"] else check(asked, variables())
    if problem:
        sys.exit(problem)
