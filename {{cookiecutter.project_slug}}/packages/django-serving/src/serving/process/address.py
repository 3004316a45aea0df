"""Whether a server can listen where its flags say, asked before it starts anything.

No answer can be certain: another process may take the address in the moment between. Python 3.9 is
enough: `make doctor` and deploy/ ask as well, without the project's environment.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

# Seconds to wait for an address that is taken: the workers of a server whose main process was killed
# need one to learn of it (see serving/parent.py), and who supervises it may start the next at once.
PATIENCE = 2.0

PORT_MAX = 65535

# Of a socket's path, with the byte that ends it: https://man7.org/linux/man-pages/man7/unix.7.html
UDS_MAX = 108


class AddressError(Exception):
    """Why a server can't listen, and what to do, on one line."""


def check_addresses(flags: Mapping[str, Any]) -> None:
    """Raises AddressError unless Granian with these flags can listen where they say.

    `flags`: as `serving.process.flags.granian_flags()` has them. Removes the file of a unix socket that
    nobody serves any more, as a server that was killed leaves it: Granian would not start beside it.
    """
    if uds := flags["uds"]:
        waiting(lambda: check_uds(Path(uds).resolve()))
    else:
        waiting(lambda: check_tcp("GRANIAN_HOST", flags["host"], "GRANIAN_PORT", flags["port"]))
    if flags["metrics_enabled"] and not flags["reload"]:  # with reload, Granian serves none
        address, port = flags["metrics_address"], flags["metrics_port"]
        if port <= PORT_MAX:  # the settings say what is wrong with another
            metrics = ("GRANIAN_METRICS_ADDRESS", address, "GRANIAN_METRICS_PORT", port)
            waiting(lambda: check_tcp(*metrics))


class TakenError(AddressError):
    """Somebody else listens there, at the moment."""


def waiting(check: Callable[[], None]) -> None:
    """Asks again for PATIENCE, while the address is taken."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return check()
        except TakenError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.1)


def check_tcp(host_variable: str, host: str, port_variable: str, port: int) -> None:
    """Raises AddressError unless a socket can be bound to an address and a port, by itself alone."""
    try:
        address = ip_address(host)
    except ValueError:
        raise AddressError(
            f"{host_variable}={host!r} is no IP address, and Granian takes no name: write 127.0.0.1"
            " for this machine alone, 0.0.0.0 for every network"
        ) from None
    if not 0 <= port <= PORT_MAX:
        raise AddressError(f"{port_variable}={port} is no port: they go up to {PORT_MAX}")
    where = f"{host}:{port}" if address.version == 4 else f"[{host}]:{port}"
    if problem := why_not_bound(host, port):
        raise explained(problem, where, host_variable, port_variable, port)


def why_not_bound(host: str, port: int) -> int | str:
    """Why nothing can listen there: an `errno`, or what the name service says; 0 where it can."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        return str(error)
    with socket.socket(family, kind, protocol) as tried:
        # Past the connections that an earlier server closed; a listener is in the way all the same, since
        # this socket does not ask to share the port.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(place)
            tried.listen()
        except OSError as error:
            return error.errno or str(error)
    return 0


def explained(
    problem: int | str, where: str, host_variable: str, port_variable: str, port: int
) -> AddressError:
    """What keeps a server from an address, and what to do; `problem` is of `why_not_bound`."""
    if problem == errno.EADDRINUSE:
        return TakenError(
            f"{where} is taken: another process listens there (`ss -ltnp sport = :{port}` may name it);"
            f" stop it, or set another {port_variable} (`make run PORT=`)"
        )
    said = os.strerror(problem) if isinstance(problem, int) else problem
    reason = f"cannot listen on {where}: {said}"
    if problem == errno.EADDRNOTAVAIL:
        return AddressError(f"{reason}; no network of this machine has it: set {host_variable}")
    if problem == errno.EACCES:
        return AddressError(f"{reason}; ports below 1024 need a privilege: set {port_variable}")
    return AddressError(f"{reason}; set {host_variable} or {port_variable}")


def check_uds(path: Path) -> None:
    """Raises AddressError unless a unix socket can be made at a path; removes one that nobody serves."""
    if len(os.fsencode(path)) >= UDS_MAX:
        raise AddressError(
            f"GRANIAN_UDS={path} is longer than a socket's path may be ({UDS_MAX - 1} bytes): shorten it"
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise AddressError(
            f"GRANIAN_UDS={path}: its folder does not exist, or this user may not write to it"
        )
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise AddressError(f"GRANIAN_UDS={path} is a file, and no socket: move it away")
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(1.0)
        try:
            asker.connect(str(path))
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                path.unlink()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            reason = error.strerror or "no answer"
            raise TakenError(
                f"GRANIAN_UDS={path}: cannot tell whether a server has it: {reason}"
            ) from None
    raise TakenError(
        f"GRANIAN_UDS={path} is taken: another server answers there; stop it, or set another"
    )
