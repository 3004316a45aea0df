"""Whether a server can listen where its flags say; another process may take the address in between."""

import errno
import socket
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from serving.rules import PORT_MAX

# Seconds to wait for an address that is taken: the workers of a server whose main process was killed
# need one to notice (see serving/stopping/parent.py), and a supervisor may start the next at once.
PATIENCE = 2.0

FIXES = {
    errno.EADDRINUSE: "something else has it (`ss -lnp` may name it): stop that, or ",
    errno.EADDRNOTAVAIL: "no network of this machine has it: ",
    errno.EACCES: "this user may not: a port below 1024 needs a privilege, a socket its folder: ",
}


class AddressError(Exception):
    """Why a server can't listen, and what to do, on one line."""


class TakenError(AddressError):
    """Something else has the address at the moment."""


def check_addresses(flags: Mapping[str, Any]) -> None:
    """Raises AddressError unless Granian with these flags can listen where they say.

    Granian shares a port with whoever shares it too, and does not start beside the file of a unix socket that
    a killed server has left: this removes it. Open in 2.8.9:
    https://github.com/emmett-framework/granian/blob/v2.8.1/src/net.rs#L82
    https://github.com/emmett-framework/granian/blob/v2.8.1/src/net.rs#L211
    """
    if flags["uds"]:
        retry_if_taken(check_uds, Path(flags["uds"]).resolve())
    else:
        retry_if_taken(check_tcp, "GRANIAN_HOST", flags["host"], "GRANIAN_PORT", flags["port"])
    port = flags["metrics_port"]
    # With reload, Granian serves no metrics; and the settings say what is wrong with a higher port.
    if flags["metrics_enabled"] and not flags["reload"] and port <= PORT_MAX:
        address = flags["metrics_address"]
        retry_if_taken(check_tcp, "GRANIAN_METRICS_ADDRESS", address, "GRANIAN_METRICS_PORT", port)


def retry_if_taken[*A](check: Callable[[*A], None], *arguments: *A) -> None:
    """Checks again for PATIENCE while the address is taken."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return check(*arguments)
        except TakenError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.1)


def check_tcp(host_variable: str, host: str, port_variable: str, port: int) -> None:
    """Raises AddressError unless a socket can be bound to an address and a port, by itself alone."""
    try:
        version = ip_address(host).version
    except ValueError:
        raise AddressError(
            f"{host_variable}={host!r} is not an IP address, and Granian takes no name: set 127.0.0.1"
            " for this machine only, 0.0.0.0 for every network"
        ) from None
    if not 0 <= port <= PORT_MAX:
        raise AddressError(f"{port_variable}={port} is not a port: they go up to {PORT_MAX}")
    with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET) as tried:
        # Past the connections that an earlier server has closed. A listener is found all the same, since
        # this socket does not offer to share the port. It never listens: whoever came then would be reset.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            where = f"[{host}]:{port}" if version == 6 else f"{host}:{port}"
            raise cannot_listen(where, error, f"{host_variable} or {port_variable}") from None


def check_uds(path: Path) -> None:
    """Raises AddressError unless a unix socket can be made at a path; removes one that nobody serves."""
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            if path.is_socket() and not answers(path):
                path.unlink(missing_ok=True)
            tried.bind(str(path))
            path.unlink()
        except OSError as error:
            raise cannot_listen(str(path), error, "GRANIAN_UDS") from None


def answers(path: Path) -> bool:
    """Whether a unix socket has a server; one that is too busy to answer is one."""
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(1.0)
        error = asker.connect_ex(str(path))
    return error not in (errno.ECONNREFUSED, errno.ENOENT)


def cannot_listen(where: str, error: OSError, variables: str) -> AddressError:
    kind = TakenError if error.errno == errno.EADDRINUSE else AddressError
    fix = FIXES.get(error.errno or 0, "")
    return kind(
        f"cannot listen on {where}: {error.strerror or error}; {fix}set another {variables}"
    )
