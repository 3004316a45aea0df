"""What is believed of a proxy's headers, and whose."""

import asyncio
import logging
from typing import Any

import pytest
from django.test import override_settings
from serving.http.proxy import HOPS, WARNINGS, Proxy
from serving.rules import check_prefix, check_proxy

PROXIES = ["10.0.0.0/8", "2001:db8:ffff::/48", "::ffff:192.0.2.1"]
CLIENT = "203.0.113.7"


def seen(
    *headers: tuple[str, str],
    peer: Any = ("10.0.0.2", "51234"),
    trusted: list[str] = PROXIES,
    kind: str = "http",
    path: str = "/tea",
    **options: Any,
) -> dict[str, Any]:
    """The scope that an application behind the middleware sees."""
    found: dict[str, Any] = {}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        found.update(scope)

    scope = {
        "type": kind,
        "client": peer,
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    proxy = Proxy(app, trusted=trusted, **options)
    asyncio.run(proxy(scope, None, None))  # type: ignore[arg-type]
    assert scope == found, "in place, for the server's access log"
    return found


def forwarded(*addresses: str) -> list[tuple[str, str]]:
    return [("x-forwarded-for", line) for line in addresses]


def protocol(*words: str) -> list[tuple[str, str]]:
    return [("x-forwarded-proto", line) for line in words]


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([CLIENT], CLIENT),
        ([f"{CLIENT}, 10.0.0.9"], CLIENT),
        ([CLIENT, "10.0.0.9"], CLIENT),  # the header twice
        ([f" ,{CLIENT}\t,, 10.0.0.9 ,"], CLIENT),
        ([f"198.51.100.1, {CLIENT}"], CLIENT),  # what stands further left, the client wrote itself
        ([f"10.0.0.1, {CLIENT}"], CLIENT),
        (["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
        ([f"{CLIENT}:51234"], CLIENT),
        ([f"{CLIENT}:51234, 10.0.0.9:80"], CLIENT),
        ([f"{CLIENT}:"], CLIENT),
        (["2001:DB8::0001"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["[2001:db8::1]:443, [2001:db8:ffff::2]:443"], "2001:db8::1"),
        (["fe80::1%eth0"], "fe80::1"),
        (["fe80::1%<script>"], "fe80::1"),
        (["[fe80::1%25eth0]:443"], "fe80::1"),
        ([f"::ffff:{CLIENT}, ::ffff:10.0.0.9"], CLIENT),
        ([f"[::ffff:{CLIENT}]:443"], CLIENT),
        ([f"{CLIENT}, 192.0.2.1"], CLIENT),
        # What is not an address is not believed: then it is the last proxy before it that is known.
        (["unknown"], "10.0.0.2"),
        (["_hidden, 10.0.0.9"], "10.0.0.9"),
        (["<script>alert(1)</script>"], "10.0.0.2"),
        (["localhost"], "10.0.0.2"),
        ([f"{CLIENT}:<script>"], "10.0.0.2"),
        ([f"{CLIENT}:123456"], "10.0.0.2"),
        ([f"{CLIENT}.5"], "10.0.0.2"),
        (["010.000.000.009"], "10.0.0.2"),
        (["[2001:db8::1"], "10.0.0.2"),
        (["[2001:db8::1]x"], "10.0.0.2"),
        (['"203.0.113.7"'], "10.0.0.2"),
        (["\xff\xfe"], "10.0.0.2"),
        ([""], "10.0.0.2"),
        ([" , ,"], "10.0.0.2"),
        ([f"unknown, {CLIENT}"], CLIENT),
        ([f"{CLIENT}, unknown, 10.0.0.9"], "10.0.0.9"),
        (["unix:"], "10.0.0.2"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_not_trusted(
    lines: list[str], client: str
) -> None:
    assert seen(*forwarded(*lines))["client"] == (client, 0)


@pytest.mark.parametrize(
    ("trusted", "line", "client"),
    [
        (["0.0.0.0/0"], f"198.51.100.1, {CLIENT}", CLIENT),
        (["0.0.0.0/0"], CLIENT, CLIENT),
        (["0.0.0.0/0", "::/0"], "198.51.100.1, 2001:db8::1", "2001:db8::1"),
        (["::/0"], CLIENT, "10.0.0.2"),  # the peer has an IPv4 address
        (["0.0.0.0/0", "10.0.0.0/8"], f"198.51.100.1, {CLIENT}, 10.0.0.9", CLIENT),
        (["0.0.0.0/0"], f"{CLIENT}, unknown", "10.0.0.2"),
    ],
)
def test_who_believes_everyone_believes_the_peer_and_no_more(
    trusted: list[str], line: str, client: str
) -> None:
    """Else the client would be the leftmost, which it wrote itself: another one for each login."""
    assert seen(*forwarded(line), trusted=trusted)["client"][0] == client


def test_kilobytes_of_addresses_cost_and_change_nothing() -> None:
    proxies = ["10.0.0.1"] * 40_000
    assert seen(*forwarded(", ".join([CLIENT, *proxies])))["client"] == ("10.0.0.1", 0)
    proxies = ["10.0.0.1"] * (HOPS - 1)
    assert seen(*forwarded(", ".join([CLIENT, *proxies])))["client"] == (CLIENT, 0)
    assert seen(*forwarded("1" * 4096))["client"] == ("10.0.0.2", 0)


@pytest.mark.parametrize(
    ("addresses", "words", "scheme"),
    [
        ([CLIENT], ["https"], "https"),
        ([], ["https"], "https"),  # without X-Forwarded-For
        ([CLIENT], ["HTTPS"], "https"),
        ([CLIENT], [" Https "], "https"),
        ([CLIENT], ["https, https"], "https"),
        ([CLIENT], ["https,http"], "https"),  # more words than addresses: the first proxy's
        ([], ["https,http"], "https"),
        ([CLIENT], ["https", "http"], "https"),  # the header twice
        ([f"{CLIENT}, 10.0.0.9"], ["https,http"], "https"),
        ([f"{CLIENT}, 10.0.0.9"], ["https"], "https"),
        ([f"{CLIENT}, 10.0.0.8, 10.0.0.9"], ["https,http,http"], "https"),
        # The client wrote the first address and the first word itself.
        ([f"198.51.100.1, {CLIENT}"], ["https, http"], "http"),
        ([f"198.51.100.1, {CLIENT}, 10.0.0.9"], ["https, http, https"], "http"),
        (["198.51.100.1, unknown"], ["https, http"], "http"),
        ([CLIENT], ["wss"], "https"),
        ([CLIENT], ["http"], "http"),
        ([CLIENT], ["<script>"], "http"),
        ([CLIENT], ["https://"], "http"),
        ([CLIENT], ["on"], "http"),
        ([CLIENT], [""], "http"),
        ([CLIENT], [","], "http"),
        ([CLIENT], ["https" * 1000], "http"),
        ([CLIENT], [], "http"),
    ],
)
def test_the_scheme_is_what_was_written_along_with_the_address(
    addresses: list[str], words: list[str], scheme: str
) -> None:
    headers = [*forwarded(*addresses), *protocol(*words)]

    assert seen(*headers)["scheme"] == scheme
    assert seen(*headers, peer=("198.51.100.9", "1"))["scheme"] == "http", "nobody trusts that one"
    assert seen(*headers, kind="websocket")["scheme"] == {"http": "ws", "https": "wss"}[scheme]


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("::ffff:10.0.0.2", PROXIES),
        ("::FFFF:10.0.0.2", PROXIES),
        ("192.0.2.1", PROXIES),
        ("::ffff:192.0.2.1", PROXIES),
        ("192.0.2.1", ["::ffff:192.0.2.0/120"]),
        ("2001:db8:ffff::1", PROXIES),
        ("fe80::1%eth0", ["fe80::/10"]),
        ("", ["10.0.0.0/8", "unix"]),
    ],
)
def test_a_peer_is_trusted_however_its_address_is_written(peer: str, trusted: list[str]) -> None:
    scope = seen(*forwarded(CLIENT), *protocol("https"), peer=(peer, "1"), trusted=trusted)

    assert scope["client"] == (CLIENT, 0)
    assert scope["scheme"] == "https"


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        (("::ffff:198.51.100.9", "1"), ("198.51.100.9", "1")),
        (("198.51.100.9", "1"), ("198.51.100.9", "1")),
        (("testclient", 1), ("testclient", 1)),
        (("", "0"), ("", "0")),
        (None, None),
    ],
)
def test_nobody_else_is_believed(peer: Any, client: Any) -> None:
    scope = seen(*forwarded(CLIENT), *protocol("https"), peer=peer)

    assert scope["client"] == client
    assert scope["scheme"] == "http"


def test_the_word_unix_is_for_a_socket_without_addresses_alone() -> None:
    assert seen(*forwarded(CLIENT), peer=None, trusted=["unix"])["client"] == (CLIENT, 0)
    both = ["10.0.0.2", "unix"]
    assert seen(*forwarded(f"{CLIENT}, unix:"), trusted=both)["client"] == (CLIENT, 0)
    assert seen(*forwarded(CLIENT), trusted=["unix"])["client"] == ("10.0.0.2", "51234")


@pytest.mark.parametrize(
    ("path", "becomes"),
    [
        ("/", "/app/"),
        ("/app", "/app"),
        ("/app/", "/app/"),
        ("/app/tea", "/app/tea"),
        ("/tea", "/app/tea"),
        ("/apple", "/app/apple"),
        ("/livez", "/app/livez"),
    ],
)
def test_a_prefix_is_put_back_where_the_proxy_strips_it(path: str, becomes: str) -> None:
    scope = seen(path=path, prefix="/app")

    assert (scope["root_path"], scope["path"], scope["raw_path"]) == (
        "/app",
        becomes,
        becomes.encode(),
    )
    assert seen(path=path)["path"] == path


def test_a_proxy_that_nobody_trusts_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def app(*_: object) -> None: ...

    def ask(proxy: Proxy, peer: str, word: str, scheme: str = "http") -> None:
        scope = {
            "type": "http",
            "client": (peer, 1),
            "scheme": scheme,
            "headers": [(b"x-forwarded-proto", word.encode())],
        }
        asyncio.run(proxy(scope, None, None))  # type: ignore[arg-type]

    proxy = Proxy(app, trusted=["10.0.0.2"], redirects=True)
    for _ in range(3):
        ask(proxy, "::ffff:10.0.0.3", "https")
    ask(proxy, "10.0.0.2", "https")
    ask(proxy, "10.0.0.4", "http")
    ask(proxy, "10.0.0.5", "https", scheme="https")
    ask(proxy, "", "HTTPS")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("10.0.0.3 sent X-Forwarded-Proto: https")
    assert said[0].endswith("add 10.0.0.3 to TRUSTED_PROXIES")
    assert said[1].endswith("add unix to TRUSTED_PROXIES")

    for number in range(100):
        ask(proxy, f"10.0.1.{number}", "https")
    assert len(caplog.records) == WARNINGS
    ask(Proxy(app, trusted=[]), "10.0.0.6", "https")
    assert "10.0.0.6" not in caplog.text, "nothing is redirected"
    with override_settings(SECURE_SSL_REDIRECT=True):
        ask(Proxy(app, trusted=[]), "10.0.0.7", "https")
    assert "10.0.0.7" in caplog.text, "the setting decides"


def test_to_trust_everyone_is_said_to_be_dangerous(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        seen(trusted=["0.0.0.0/0", "::/0", "10.0.0.0/8"])

    assert len(caplog.records) == 2
    assert "TRUSTED_PROXIES=0.0.0.0/0 believes everyone" in caplog.text
    assert "TRUSTED_PROXIES=::/0 believes everyone" in caplog.text


@pytest.mark.parametrize("text", ["10.0.0.2", "10.0.0.0/8", "::1", "2001:db8::/32", "unix"])
def test_addresses_networks_and_a_word_may_be_trusted(text: str) -> None:
    check_proxy(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("proxy", "host names are not looked up"),
        ("*", "is not an address"),
        ("", "is not an address"),
        ("10.0.0.2:8000", "is not an address"),
        ("[::1]", "is not an address"),
        ("10.0.0.0/33", "is not an address"),
        ("10.0.0.2/8", r"write 10\.0\.0\.2 for it alone, or 10\.0\.0\.0/8\."),
        ("2001:db8::1/32", r"write 2001:db8::1 for it alone, or 2001:db8::/32\."),
    ],
)
def test_what_else_is_refused_with_its_fix(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_proxy(text)


@pytest.mark.parametrize("text", ["", "/app", "/shop/v2", "/a.b", "/~ada"])
def test_a_prefix_is_a_path(text: str) -> None:
    check_prefix(text)


@pytest.mark.parametrize(
    "text", ["app", "/", "/app/", "app/", "//app", "/a b", "/é", "/..", "/a/."]
)
def test_a_prefix_that_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a path such as /app"):
        check_prefix(text)
