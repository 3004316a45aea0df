"""Whether something can listen at an address. Python 3.9 is enough, and no package."""

from __future__ import annotations

import socket


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
