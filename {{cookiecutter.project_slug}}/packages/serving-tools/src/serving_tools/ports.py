"""Whether something can listen at an address. Python 3.9 is enough, and no package."""

from __future__ import annotations

import socket


def why_not_bound(host: str, port: int) -> int | str:
    """Why nothing can listen there: an `errno`, or the name service's message; 0 if something can."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        return str(error)
    with socket.socket(family, kind, protocol) as tried:
        # Ignores connections that an earlier server closed. A listener still stops the bind, since this
        # socket does not ask to share the port.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(place)
            tried.listen()
        except OSError as error:
            return error.errno or str(error)
    return 0
