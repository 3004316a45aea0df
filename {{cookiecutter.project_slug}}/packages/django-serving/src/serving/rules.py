"""What a setting may be, and how it is said that it may not. Loaded without Django."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from math import isfinite
from typing import Any

PORT_MAX = 65535

# The largest number of seconds, 68 years, and of most else: timers, dates and databases take it, and of a larger one
# some raise OverflowError when it is used, long after the start.
MOST = 2**31 - 1

# In TRUSTED_PROXIES: whoever connects to the server's unix socket, since such a peer has no address.
UNIX = "unix"

is_prefix = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+").fullmatch

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

# Raises ValueError, which says what is wrong, unless a setting may have a value.
type Rule = Callable[[Any], None]


def network(text: str) -> Network:
    """An address or a network as TRUSTED_PROXIES names it: `10.0.0.2`, `10.0.0.0/8`, `2001:db8::/32`.

    Raises ValueError, which explains what is wrong.
    """
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is not an address (10.0.0.2), a network (10.0.0.0/8) or the word {UNIX};"
            " host names are not looked up."
        ) from None
    address = text.partition("/")[0]
    if "/" in text and ip_address(address) != found.network_address:
        raise ValueError(
            f"{text!r} is an address in a network; write {address} for it alone, or {found}."
        )
    mapped = unmapped(found.network_address)
    if mapped != found.network_address and found.prefixlen >= 96:
        return ip_network(f"{mapped}/{found.prefixlen - 96}")
    return found


def check_proxy(text: str) -> None:
    """Raises ValueError, which explains what is wrong, unless TRUSTED_PROXIES may hold this item."""
    if text != UNIX:
        network(text)


def check_prefix(text: str) -> None:
    """Raises ValueError, which explains what is wrong, unless it is a path such as /app, or empty."""
    if text and not is_prefix(text):
        raise ValueError(
            f"{text!r} is not a path such as /app: a slash before each name and none at the end; names"
            " have letters, digits and . _ ~ - alone."
        )


def unmapped(address: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one (RFC 4291, section 2.5.5.2), as what it is."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def must(be: str, test: Callable[[Any], bool]) -> Rule:
    """The rule of a value that passes a test."""

    def rule(value: Any) -> None:
        if not test(value):
            raise ValueError(f"must be {be}")

    return rule


def text(like: str, check: Callable[[str], object]) -> Rule:
    """The rule of a string that `check` has no objection to."""

    def rule(value: Any) -> None:
        if not isinstance(value, str):
            raise ValueError(f"must be a string, such as {like!r}")
        check(value)

    return rule


def proxies(value: Any) -> None:
    """The rule of TRUSTED_PROXIES."""
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of addresses, networks and the word unix")
    for item in value:
        text("10.0.0.2", check_proxy)(item)


def is_whole(value: Any) -> bool:
    return type(value) is int  # True is an instance of int, too


def is_number(value: Any) -> bool:
    return is_whole(value) or (isinstance(value, float) and isfinite(value))


MODES = ("required", "optional", "disabled")
MODE = must(f"one of {', '.join(MODES)}", MODES.__contains__)
SECONDS = must(
    f"a number of seconds, more than 0 and {MOST} at most",
    lambda value: is_number(value) and 0 < value <= MOST,
)
COUNT = must("a whole number, 1 or more", lambda value: is_whole(value) and value > 0)
RATE = must(f"a number from 0 to {MOST}", lambda value: is_number(value) and 0 <= value <= MOST)
SPACE = must("a whole number, or None", lambda value: value is None or is_whole(value))
SWITCH = must("True or False", lambda value: isinstance(value, bool))
PORT = must(f"from 1 to {PORT_MAX}", lambda value: is_whole(value) and 0 < value <= PORT_MAX)
