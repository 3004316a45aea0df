"""What a proxy in front changes: who asks, over http or https, and below which path.

A proxy adds who asked it to `X-Forwarded-For`, and how to `X-Forwarded-Proto`. Anyone can send these
headers, so only proxies named in TRUSTED_PROXIES are believed: from the right, each address was written by
the one behind it, and the first that is not trusted is the client.

https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For
https://www.rfc-editor.org/rfc/rfc7239#section-8.1 (who can be believed)

`Forwarded` (RFC 7239), `X-Forwarded-Host`, `-Port` and `-Prefix` are not read: few proxies replace what
a client sends in them. A proxy passes on the `Host` that it was asked for.
"""

import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

from serving.conf import conf
from serving.types import ASGIApp, Receive, Scope, Send

# Granian's own wrapper does not read what many proxies send; open in 2.8.9:
# https://github.com/emmett-framework/granian/issues/389

logger = logging.getLogger(__name__)

# In TRUSTED_PROXIES: whoever connects to the server's unix socket, since such a peer has no address.
UNIX = "unix"

# What is read of a header: its last items, and so many characters of each. That is longer than any
# address; and what a client wrote stands further left.
HOPS = 32
LONGEST = 64

# Peers that are warned of: one is the proxy, and the others are not worth a line each.
WARNINGS = 8

SCHEMES = {
    "http": {"http": "http", "https": "https", "ws": "http", "wss": "https"},
    "websocket": {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"},
}

# An address in brackets or an IPv4 address, perhaps with a port; or an IPv6 address.
hop_parts = re.compile(r"\[([^]]*)\](?::\d{0,5})?|([^:]*)(?::\d{0,5})?|(.*)", re.DOTALL).fullmatch
is_prefix = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+").fullmatch

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network


class Proxy:
    """ASGI middleware that corrects `client`, `scheme` and `path` of a request's scope, in place.

    In place since the server's access log reads the scope at the end. IPv4 addresses that a server
    writes as IPv6 (`::ffff:192.0.2.1`) are IPv4 addresses, whether a proxy is trusted or not.

    `trusted`: addresses, networks, and the word "unix"; see `network`. TRUSTED_PROXIES unless given.
    `prefix`: the path that the site lies below, as "/app", whether the proxy strips it or not; or "".
    URL_PATH_PREFIX unless given.
    `redirects`: whether http is redirected to https, as SECURE_SSL_REDIRECT does unless given: then a
    proxy that is not trusted is warned of.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        trusted: Iterable[str] | None = None,
        prefix: str | None = None,
        redirects: bool | None = None,
    ) -> None:
        self.app = app
        self.prefix = conf.URL_PATH_PREFIX if prefix is None else prefix
        self.redirects = settings.SECURE_SSL_REDIRECT if redirects is None else redirects
        trusted = list(conf.TRUSTED_PROXIES if trusted is None else trusted)
        self._trusts_unix = UNIX in trusted
        self._networks = [network(item) for item in trusted if item != UNIX]
        for everyone in (found for found in self._networks if found.prefixlen == 0):
            logger.warning(
                "TRUSTED_PROXIES=%s believes everyone: whoever reaches the port decides which address"
                " the log and the apps see. It is right only where nobody but the proxy can; else name"
                " the proxy's address",
                everyone,
            )
        # The peer is nearly always the same, and to parse it would cost more than all the rest.
        self._hop = lru_cache(maxsize=1024)(self._look_at)
        self._warned: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in SCHEMES:
            if self.prefix:
                self._add_prefix(scope)
            peer = scope.get("client") or ("", 0)
            address, trusted = self._hop(peer[0])
            if trusted:
                self._believe(scope, address or "")
            else:
                if address and address != peer[0]:
                    scope["client"] = (address, peer[1])
                if self.redirects and len(self._warned) < WARNINGS:
                    self._warn(scope, address or peer[0])
        await self.app(scope, receive, send)

    def _add_prefix(self, scope: Scope) -> None:
        """Makes `path` begin with the prefix, as ASGI has it, where the proxy has stripped it."""
        scope["root_path"] = self.prefix
        if not f"{scope['path']}/".startswith(f"{self.prefix}/"):
            scope["path"] = self.prefix + scope["path"]
            if scope.get("raw_path"):
                scope["raw_path"] = self.prefix.encode() + scope["raw_path"]

    def _believe(self, scope: Scope, client: str) -> None:
        """Takes over what the trusted proxies say: the last is the peer, whose address is `client`."""
        hops, words = last_items(scope, b"x-forwarded-for"), last_items(scope, b"x-forwarded-proto")
        place = 0  # counted from the right, where the first untrusted one stands
        for place, hop in enumerate(reversed(hops)):  # noqa: B007
            address, trusted = self._hop(hop)
            client = address or client  # what is no address is not believed
            if not trusted:
                break
        scope["client"] = (client, 0)
        if words:
            # The word that was written along with the address. Where proxies extend one header and
            # replace the other there are more words than addresses: then the first proxy's.
            first = len(words) - 1
            word = words[-1 - (first if len(words) > len(hops) else min(place, first))]
            if scheme := SCHEMES[scope["type"]].get(word.lower()):
                scope["scheme"] = scheme

    def _look_at(self, text: str) -> tuple[str | None, bool]:
        """A hop's address, "" for a unix socket, None if it is neither; and whether it is trusted."""
        if text in ("", UNIX, f"{UNIX}:"):  # the last is nginx's word
            return "", self._trusts_unix
        address = address_in(text)
        if address is None:
            return None, False
        return str(address), any(address in network for network in self._networks)

    def _warn(self, scope: Scope, peer: str) -> None:
        """Names a proxy that is not trusted: its requests would be redirected again and again."""
        words = "".join(last_items(scope, b"x-forwarded-proto")).lower()
        if scope.get("scheme") == "https" or peer in self._warned or "https" not in words:
            return
        self._warned.add(peer)
        logger.warning(
            "%s sent X-Forwarded-Proto: https and is not in TRUSTED_PROXIES, so its requests are"
            " redirected to https, again and again if it is your proxy: then add %s to TRUSTED_PROXIES",
            peer or "a unix socket's peer",
            peer or UNIX,
        )


def last_items(scope: Scope, header: bytes) -> list[str]:
    """The last items of a header that may be repeated, without those that are empty."""
    lines = b",".join(value for name, value in scope["headers"] if name == header)
    items = lines.decode("latin-1").rsplit(",", HOPS)[-HOPS:]
    return [item[:LONGEST] for item in map(str.strip, items) if item]


def address_in(text: str) -> Address | None:
    """The address in an item of X-Forwarded-For, without port, brackets and zone; None without one.

    `203.0.113.7`, `203.0.113.7:51234`, `2001:db8::1`, `[2001:db8::1]:443`, `fe80::1%eth0`.
    """
    found = hop_parts(text)
    try:
        return unmapped(ip_address("".join(found.groups("")).partition("%")[0])) if found else None
    except ValueError:
        return None


def unmapped(address: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one (RFC 4291, section 2.5.5.2), as what it is."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def network(text: str) -> Network:
    """An address or a network as TRUSTED_PROXIES names it: `10.0.0.2`, `10.0.0.0/8`, `2001:db8::/32`.

    Raises ValueError, which explains what is wrong.
    """
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is no address (10.0.0.2), no network (10.0.0.0/8) and not the word {UNIX};"
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
            f"{text!r} is no path such as /app: a slash before each name and none at the end; names"
            " have letters, digits and . _ ~ - alone."
        )
