"""Answers that Django never sees: whole, and with the headers of a page."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from serving import security

from tests.serving.client import Exchange

FRAMES = "django.middleware.clickjacking.XFrameOptionsMiddleware"
SECURE = "django.middleware.security.SecurityMiddleware"


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Nothing that was worked out with other settings."""
    forget()
    yield
    forget()


def forget() -> None:
    security.headers_of_pages.cache_clear()
    security.layers.cache_clear()


@pytest.mark.parametrize(("method", "body"), [("GET", b"tea"), ("HEAD", b""), ("POST", b"tea")])
def test_an_answer_is_whole(method: str, body: bytes) -> None:
    exchange = Exchange("/", method)
    more = (b"retry-after", b"5")
    with override_settings(MIDDLEWARE=[FRAMES]):
        asyncio.run(security.answer(exchange.scope, exchange.send, 503, b"tea", more))
    assert (exchange.status, exchange.body, exchange.ended) == (503, body, True)
    assert exchange.headers == [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "3"),
        ("cache-control", "no-store"),
        ("retry-after", "5"),
        ("x-frame-options", "DENY"),
    ]


@pytest.mark.parametrize(
    "given", [{}, {"headers": []}, {"headers": [(b"etag", b"1")]}], ids=["no", "none", "one"]
)
def test_a_response_gets_what_it_lacks(given: dict[str, Any]) -> None:
    async def main() -> Exchange:
        exchange = Exchange("/")
        send = security.with_security_headers(exchange.scope, exchange.send)
        await send({"type": "http.response.start", "status": 200, **given})
        await send({"type": "http.response.body", "body": b"tea"})
        return exchange

    with override_settings(MIDDLEWARE=[FRAMES]):
        exchange = asyncio.run(main())
    own = [(b"etag", b"1")] if given.get("headers") else []
    assert exchange.sent == [
        {"type": "http.response.start", "status": 200, "headers": [*own, (b"x-frame-options", b"DENY")]},
        {"type": "http.response.body", "body": b"tea"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "scheme", "headers", "path", "redirects"),
    [
        ({}, "http", {}, "/tea", True),
        ({}, "https", {}, "/tea", False),
        ({"SECURE_SSL_REDIRECT": False}, "http", {}, "/tea", False),
        ({"MIDDLEWARE": [FRAMES]}, "http", {}, "/tea", False),
        ({"SECURE_REDIRECT_EXEMPT": ["^tea$"]}, "http", {}, "/tea", False),
        ({"SECURE_REDIRECT_EXEMPT": ["^tea$"]}, "https", {}, "/tea", False),
        ({"SECURE_REDIRECT_EXEMPT": ["^tea$"]}, "http", {}, "/tea/", True),
        ({"SECURE_PROXY_SSL_HEADER": ("HTTP_X_PROTO", "https")}, "https", {}, "/tea", False),
        ({"SECURE_PROXY_SSL_HEADER": ("HTTP_X_PROTO", "https")}, "http", {"x-proto": "https"}, "/tea", False),
        ({"SECURE_PROXY_SSL_HEADER": ("HTTP_X_PROTO", "https")}, "https", {"x-proto": "http"}, "/tea", True),
    ],
)  # fmt: skip
def test_a_request_is_redirected_as_by_django(
    changed: dict[str, Any], scheme: str, headers: dict[str, str], path: str, redirects: bool
) -> None:
    given = {"MIDDLEWARE": [FRAMES, SECURE], "SECURE_SSL_REDIRECT": True, **changed}
    with override_settings(**given):
        exchange = Exchange(path, headers=headers, scheme=scheme)
        assert security.redirects_to_https(exchange.scope) is redirects


@pytest.mark.parametrize(("scheme", "count"), [("https", 1), ("http", 0), ("wss", 0), (None, 0)])
def test_only_what_came_over_https_is_told_to_stay_there(scheme: str | None, count: int) -> None:
    with override_settings(MIDDLEWARE=[SECURE], SECURE_HSTS_SECONDS=60):
        found = security.security_headers(Exchange("/", scheme=scheme).scope)
    hsts = [value for name, value in found if name == b"strict-transport-security"]
    assert hsts == [b"max-age=60"] * count
