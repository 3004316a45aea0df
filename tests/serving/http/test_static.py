"""Static files, and the headers that Django's middleware would give to what never reaches it."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from serving import security
from serving.http import static
from serving.http.static import static_files

from tests.serving.client import Exchange


async def django(scope: Any, receive: Any, send: Any) -> None:
    """Stands for Django, which has answered where this is the body."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"django {scope['type']}".encode()})


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder of static files."""
    (tmp_path / "tea.css").write_bytes(b"0123456789")
    (tmp_path / "茶.txt").write_bytes(b"oolong")
    with override_settings(STATIC_ROOT=tmp_path, STATIC_URL="https://cdn.example/static/"):
        yield tmp_path


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Nothing that was worked out with other settings."""
    for function in vars(security).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    yield
    for function in vars(security).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def ask(path: str, headers: dict[str, str] | None = None, **scope: Any) -> Exchange:
    async def main() -> Exchange:
        return await Exchange(path, headers=headers, **scope).run(static_files(django))  # type: ignore[arg-type]

    return asyncio.run(main())


def test_a_file_is_served_and_everything_else_is_djangos(root: Path) -> None:
    found = ask("/static/tea.css")
    headers = {name.lower(): value for name, value in found.headers}
    assert (found.status, found.body) == (200, b"0123456789")
    assert headers["content-type"].startswith("text/css")
    stat = (root / "tea.css").stat()
    assert headers["etag"] == f'W/"{int(stat.st_mtime):x}-a"'
    assert "access-control-allow-origin" not in headers
    assert ask("/static/茶.txt").body == b"oolong"
    for path in ("/static/missing.css", "/tea.css", "/other/static/tea.css"):
        assert ask(path).body == b"django http"
    assert ask("/static/tea.css", type="websocket").body == b"django websocket"


def test_a_file_is_looked_at_when_it_is_asked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    looked_at = static.add_etag
    monkeypatch.setattr(
        static,
        "add_etag",
        lambda headers, path, url: (seen.append(url), looked_at(headers, path, url)),
    )

    async def main() -> None:
        app = static_files(django)  # type: ignore[arg-type]
        assert seen == []
        for path in ("/static/tea.css", "/static/tea.css", "/static/missing.css"):
            await Exchange(path).run(app)
        assert seen == ["/static/tea.css"]

    asyncio.run(main())


def test_files_are_those_of_the_start(root: Path) -> None:
    (root / "tea.css.gz").write_bytes(b"compressed")
    outside = root.parent / "secret.txt"
    outside.write_bytes(b"secret")
    (root / "link.txt").symlink_to(outside)

    async def main() -> None:
        app = static_files(django)  # type: ignore[arg-type]
        (root / "new.css").write_bytes(b"new")
        (root / "tea.css").unlink()
        for name in (
            "new.css",
            "tea.css",
            "tea.css",
            "tea.css.gz",
            "link.txt",
            "../secret.txt",
            "",
        ):
            assert (await Exchange(f"/static/{name}").run(app)).body == b"django http", name

    asyncio.run(main())


def test_while_one_develops_the_files_of_each_app_are_served(root: Path) -> None:
    given = {"STATIC_URL": "/static/", "MIDDLEWARE": [SECURE], "SECURE_SSL_REDIRECT": False}
    with override_settings(DEBUG=True, **given):
        found = ask("/static/admin/css/base.css")
        names = [name.lower() for name, _ in found.headers]
        assert found.status == 200
        assert dict(found.headers).get("Content-Type", "").startswith("text/css")
        assert "x-content-type-options" in names
        assert ask("/tea.css").body == b"django http"
        assert ask("/static/admin/css/base.css", type="websocket").body == b"django websocket"


def test_django_reads_the_body_of_what_is_no_file(root: Path) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": (await receive())["body"]})

    async def main() -> None:
        app = static_files(echo)  # type: ignore[arg-type]
        for path in ("/static/missing/", "/"):
            assert (await Exchange(path, "POST", b"tea").run(app)).body == b"tea"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "status", "body"),
    [
        ({"range": "bytes=2-3"}, 206, b"23"),
        ({"range": "bytes=2-3", "if-range": '"another"'}, 200, b"0123456789"),
        ({"if-none-match": 'W/"1-1"', "if-range": '"another"'}, 200, b"0123456789"),
    ],
)
def test_a_part_is_sent_unless_it_may_be_of_another_file(
    root: Path, headers: dict[str, str], status: int, body: bytes
) -> None:
    found = ask("/static/tea.css", headers)
    assert (found.status, found.body) == (status, body)


def test_a_client_that_has_it_gets_nothing(root: Path) -> None:
    etag = dict(ask("/static/tea.css").headers)["etag"]
    again = ask("/static/tea.css", {"if-none-match": etag})
    assert (again.status, again.body) == (304, b"")


def test_without_a_folder_it_is_said_and_django_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for changed in ({"STATIC_ROOT": tmp_path / "none"}, {"STATIC_ROOT": None}):
        with override_settings(STATIC_URL="/static/", **changed):
            assert static_files(django) is django  # type: ignore[arg-type]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert f"no static files: {tmp_path / 'none'} is missing" in caplog.messages[0]
    assert caplog.messages[1] == "no static files: STATIC_ROOT is not set"
    caplog.clear()
    with override_settings(STATIC_URL=None):
        assert static_files(django) is django  # type: ignore[arg-type]
    assert caplog.messages == []


SECURE = "django.middleware.security.SecurityMiddleware"
FRAMES = "django.middleware.clickjacking.XFrameOptionsMiddleware"
HSTS = {"SECURE_HSTS_SECONDS": 60, "SECURE_SSL_REDIRECT": False}


@pytest.mark.parametrize(
    ("changed", "scheme", "wanted", "unwanted"),
    [
        ({"MIDDLEWARE": [SECURE], **HSTS}, "https", "strict-transport-security", "x-frame-options"),
        ({"MIDDLEWARE": [SECURE], **HSTS}, "http", "referrer-policy", "strict-transport-security"),
        ({"MIDDLEWARE": [FRAMES]}, "http", "x-frame-options", "x-content-type-options"),
        ({"MIDDLEWARE": []}, "http", "etag", "x-frame-options"),
    ],
)
def test_a_file_has_the_headers_of_a_page(
    root: Path, changed: dict[str, Any], scheme: str, wanted: str, unwanted: str
) -> None:
    with override_settings(**changed):
        names = [name.lower() for name, _ in ask("/static/tea.css", scheme=scheme).headers]
    assert wanted in names
    assert unwanted not in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("changed", "scheme", "path", "answer"),
    [
        ({}, "http", "/static/tea.css", b"django http"),
        ({}, "https", "/static/tea.css", b"0123456789"),
        ({"SECURE_REDIRECT_EXEMPT": [r"^static/tea"]}, "http", "/static/tea.css", b"0123456789"),
        ({"MIDDLEWARE": [FRAMES]}, "http", "/static/tea.css", b"0123456789"),
        ({"SECURE_PROXY_SSL_HEADER": ("HTTP_X_PROTO", "https")}, "http", "/static/tea.css", b"django http"),
    ],
)  # fmt: skip
def test_django_redirects_to_https(
    root: Path, changed: dict[str, Any], scheme: str, path: str, answer: bytes
) -> None:
    given = {"MIDDLEWARE": [SECURE], "SECURE_SSL_REDIRECT": True, **changed}
    with override_settings(**given):
        assert ask(path, scheme=scheme).body == answer
        if "SECURE_PROXY_SSL_HEADER" in changed:
            through = {"x-proto": "https", "content-type": "text/html; charset=hunter2"}
            assert ask(path, through).body == b"0123456789"
            assert ask(path, {"x-proto": "http"}, scheme="https").body == b"django http"


def test_what_a_response_has_is_not_given_twice() -> None:
    async def main() -> None:
        exchange = Exchange("/")
        send = security.with_security_headers(exchange.scope, exchange.send)
        own = [(b"X-Frame-Options", b"SAMEORIGIN")]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": b"tea"})
        frames = [value for name, value in exchange.headers if name.lower() == "x-frame-options"]
        assert frames == ["SAMEORIGIN"]
        assert exchange.body == b"tea"

    with override_settings(MIDDLEWARE=[FRAMES]):
        asyncio.run(main())


@pytest.mark.parametrize("debug", [False, True])
def test_where_every_path_may_be_a_files_a_page_keeps_its_own_headers(
    root: Path, debug: bool
) -> None:
    """A view may have dropped some of them, so that another site shows it in a frame, say."""
    ranges = {"range": "bytes=0-1", "if-range": "x"}
    seen: list[Any] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]))
        await django(scope, receive, send)

    async def main() -> Exchange:
        return await Exchange("/tea/", headers=ranges).run(static_files(page))  # type: ignore[arg-type]

    with override_settings(STATIC_URL="https://cdn.example/", DEBUG=debug):
        answer = asyncio.run(main())
    assert answer.body == b"django http"
    assert not answer.headers
    assert b"range" in seen[0]
