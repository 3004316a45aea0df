"""What a proxy in front changes: who asks, over http or https, and below which path.

A proxy adds who asked it to `X-Forwarded-For`, and how to `X-Forwarded-Proto`. Anyone can send these
headers, so only proxies named in TRUSTED_PROXIES are believed: from the right, each address was written by
the one behind it, and the first that is not trusted is the client. A network of everyone, 0.0.0.0/0, is for
the peer alone: were each address trusted, the client would be the leftmost, which it wrote itself.

https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For
https://www.rfc-editor.org/rfc/rfc7239#section-8.1 (who can be believed)

`Forwarded` (RFC 7239), `X-Forwarded-Host`, `-Port` and `-Prefix` are not read: few proxies replace what
a client sends in them. A proxy passes on the `Host` that it was asked for.
"""

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from django.conf import settings

from serving.conf import conf
from serving.rules import UNIX, Address, network, unmapped
from serving.types import ASGIApp, Receive, Scope, Send

# Granian's own wrapper does not read what many proxies send; open in 2.8.9:
# https://github.com/emmett-framework/granian/issues/389

logger = logging.getLogger(__name__)

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
        trusted: Sequence[str] | None = None,
        prefix: str | None = None,
        redirects: bool | None = None,
    ) -> None:
        self.app = app
        self.prefix = conf.URL_PATH_PREFIX(prefix)
        self.redirects = settings.SECURE_SSL_REDIRECT if redirects is None else redirects
        trusted = conf.TRUSTED_PROXIES(trusted)
        self._trusts_unix = UNIX in trusted
        self._networks = [network(item) for item in trusted if item != UNIX]
        for everyone in (found for found in self._networks if found.prefixlen == 0):
            logger.warning(
                "TRUSTED_PROXIES=%s believes everyone: whoever reaches the port decides which address"
                " the log, the apps and the limits of logins see. It is right only where nobody but one"
                " proxy can, whose last address is the client; else name the proxies' addresses",
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
            address, believed, _ = self._hop(peer[0])
            if believed:
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
            address, _, trusted = self._hop(hop)
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

    def _look_at(self, text: str) -> tuple[str | None, bool, bool]:
        """A hop's address, "" for a unix socket, None if it is neither; whether it is trusted as the peer,
        and whether it is as one that the peer names.
        """
        if text in ("", UNIX, f"{UNIX}:"):  # the last is nginx's word
            return "", self._trusts_unix, self._trusts_unix
        address = address_in(text)
        if address is None:
            return None, False, False
        lengths = [network.prefixlen for network in self._networks if address in network]
        return str(address), bool(lengths), any(lengths)

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
