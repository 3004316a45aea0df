"""Uploads by their address: what a client gets, in which parts, and what it never gets."""

import os
import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.http import Http404
from django.http.response import HttpResponseBase
from django.test import RequestFactory, override_settings
from django.utils.http import http_date
from serving.media import kinds
from serving.media.views import serve_media

pytestmark = pytest.mark.django_db  # a response that is closed tidies up connections

TEA = b"0123456789"
FOLDER = {"default": {"BACKEND": "serving.media.storage.FileStorage"}}
MEMORY = {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """MEDIA_ROOT, with one upload in it."""
    media = tmp_path / "media"
    (media / "cups").mkdir(parents=True)
    (media / "cups" / "tea.jpg").write_bytes(TEA)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    with override_settings(MEDIA_ROOT=media, MEDIA_URL="/media/", STORAGES=FOLDER):
        yield media


def ask(name: str = "cups/tea.jpg", method: str = "GET", **headers: str) -> HttpResponseBase:
    given: Any = {name.replace("_", "-"): value for name, value in headers.items()}
    request = RequestFactory().generic(method, "/media/x", headers=given)
    return serve_media(request, name)


def body(response: Any) -> bytes:
    content = b"".join(response) if response.streaming else response.content
    response.close()
    return bytes(content)


def test_an_image_is_shown_and_runs_nothing(root: Path) -> None:
    response = ask()
    assert response.headers == {
        "Content-Type": "image/jpeg",
        "Content-Disposition": 'inline; filename="tea.jpg"',
        "Content-Length": "10",
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": kinds.POLICY,
        "Cache-Control": "private, max-age=3600",
        "ETag": response["ETag"],
        "Last-Modified": response["Last-Modified"],
    }
    assert body(response) == TEA


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.html", "text/html"),
        ("x.SVG", "image/svg+xml"),
        ("x.xml", "application/xml"),
        ("x.pdf", "application/pdf"),
        ("x.js", kinds.UNKNOWN),
        ("x.mjs", kinds.UNKNOWN),
        ("x.css", kinds.UNKNOWN),
        ("x.wasm", kinds.UNKNOWN),
        ("x.jpg.js", kinds.UNKNOWN),
        ("x.jpg.html", "text/html"),
        ("x.swf", kinds.UNKNOWN),
        ("x.webmanifest", kinds.UNKNOWN),
        ("jpg", kinds.UNKNOWN),
    ],
)
def test_what_is_not_a_picture_is_saved(root: Path, name: str, kind: str) -> None:
    (root / name).write_bytes(b"alert(1)")
    response = ask(name)
    assert response["Content-Type"] == kind
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]
    response.close()


def test_a_sound_and_a_video_can_be_played_by_themselves(root: Path) -> None:
    for name in ("x.mp3", "x.mp4"):
        (root / name).touch()
        response = ask(name)
        assert response["Content-Security-Policy"] == kinds.PLAYER_POLICY
        assert response["Content-Disposition"] == f'inline; filename="{name}"'
        response.close()
    assert "sandbox" not in kinds.PLAYER_POLICY
    assert "default-src 'none'" in kinds.PLAYER_POLICY


def test_no_type_is_one_that_a_browser_runs() -> None:
    active = ("script", "css", "wasm", "manifest")
    for kind in (*kinds.SHOWN.values(), *kinds.SAVED.values(), kinds.UNKNOWN):
        assert not [word for word in active if word in kind]
    shown = {kind.partition("/")[0] for kind in kinds.SHOWN.values()}
    assert shown == {"image", "audio", "video"}
    assert not [kind for kind in kinds.SHOWN.values() if "xml" in kind]


@pytest.mark.parametrize(
    ("wanted", "part", "where"),
    [
        ("bytes=0-0", b"0", "0-0"),
        ("bytes=2-4", b"234", "2-4"),
        ("Bytes=2-", b"23456789", "2-9"),
        ("bytes=-3", b"789", "7-9"),
        ("bytes=-999", TEA, "0-9"),
        ("bytes=0-999", TEA, "0-9"),
        ("bytes=9-999999999999999999", b"9", "9-9"),
        (" bytes=2-4 ", b"234", "2-4"),
    ],
)
def test_a_part_is_sent(root: Path, wanted: str, part: bytes, where: str) -> None:
    response = ask(Range=wanted)
    assert response.status_code == HTTPStatus.PARTIAL_CONTENT
    assert response["Content-Range"] == f"bytes {where}/10"
    assert response["Content-Length"] == str(len(part))
    assert response["Content-Type"] == "image/jpeg"
    assert body(response) == part


@pytest.mark.parametrize(
    "wanted",
    ["", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "items=0-1", "bytes=0-1,4-5",
     "bytes=0-0,-1", "bytes=" + ",".join(["0-"] * 1000), "bytes=" + "9" * 5000 + "-", "bytes=-1-2",
     "bytes=0-1 4", "bytes=٣-٤"],
)  # fmt: skip
def test_a_range_that_says_nothing_and_more_than_one_get_all_of_it(root: Path, wanted: str) -> None:
    response = ask(Range=wanted)
    assert response.status_code == HTTPStatus.OK
    assert "Content-Range" not in response
    assert body(response) == TEA


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=999-"])
def test_a_range_of_no_bytes_is_refused(root: Path, wanted: str) -> None:
    response = ask(Range=wanted)
    assert response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    assert response["Content-Range"] == "bytes */10"
    assert body(response) == b""


def test_of_an_empty_upload_there_is_no_part(root: Path) -> None:
    (root / "empty.jpg").touch()
    assert (ask("empty.jpg").status_code, body(ask("empty.jpg"))) == (200, b"")
    for wanted in ("bytes=0-", "bytes=-1"):
        assert ask("empty.jpg", Range=wanted).status_code == 416


def test_a_part_is_of_the_file_that_the_client_has(root: Path) -> None:
    whole = ask()
    etag, modified = whole["ETag"], whole["Last-Modified"]
    whole.close()
    status = (root / "cups" / "tea.jpg").stat()
    for condition in (etag, modified):
        assert body(ask(Range="bytes=2-4", If_Range=condition)) == b"234"
    others = (
        f"W/{etag}",
        '"other"',
        http_date(status.st_mtime - 1),
        http_date(status.st_mtime + 1),
        "x",
    )
    for condition in others:
        assert body(ask(Range="bytes=2-4", If_Range=condition)) == TEA


def test_what_a_client_has_is_not_sent_again(root: Path) -> None:
    whole = ask()
    etag, modified = whole["ETag"], whole["Last-Modified"]
    whole.close()
    for have in ({"If_None_Match": etag}, {"If_None_Match": "*"}, {"If_Modified_Since": modified}):
        answer = ask(**have, Range="bytes=0-1")
        assert (answer.status_code, body(answer)) == (304, b"")
        assert answer["ETag"] == etag
    assert ask(If_Match='"other"').status_code == 412
    assert ask(If_Unmodified_Since=http_date(1)).status_code == 412
    assert body(ask(If_None_Match='"other"', If_Modified_Since=modified)) == TEA


def test_head_tells_and_sends_nothing(root: Path) -> None:
    response = ask(method="HEAD", Range="bytes=2-4")
    assert (response.status_code, body(response)) == (200, b"")
    assert response["Content-Length"] == "10"


def test_nothing_else_can_be_done_with_it(root: Path) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(method=method).status_code == 405


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../secret.jpg", "cups/../../secret.jpg", "cups/../cups/tea.jpg", "/etc/passwd",
     "cups//tea.jpg", "cups/", "cups", "cups/tea.jpg/", "cups/tea.jpg/x", "./cups/tea.jpg", ".hidden",
     ".deleted/1/old.jpg", "cups/.a.part", "cups\\tea.jpg", "cups/tea.jpg\0", "\0", "cups/tea.jpg ", "x" * 300,
     "a/" * 3000 + "a", "link.jpg", "linked/tea.jpg", "pipe.jpg", "socket.jpg", "cups/tea.JPG", "\ud800"],
)  # fmt: skip
def test_nothing_but_an_upload_is_found(root: Path, name: str) -> None:
    (root / ".hidden").write_bytes(b"secret")
    (root / ".deleted" / "1").mkdir(parents=True)
    (root / ".deleted" / "1" / "old.jpg").write_bytes(b"secret")
    (root / "cups" / ".a.part").write_bytes(b"secret")
    (root / "link.jpg").symlink_to(root.parent / "secret.jpg")
    (root / "linked").symlink_to(root / "cups")
    os.mkfifo(root / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket has a short bound
        try:
            listener.bind("socket.jpg")
        finally:
            os.chdir(here)
        with pytest.raises(Http404):
            ask(name)
    open_files = [
        os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()
    ]
    assert not [path for path in open_files if path.startswith(str(root))]


def test_odd_names_are_found_and_told(root: Path) -> None:
    for name in (
        "a b.jpg",
        "100%.jpg",
        "a?b#c.jpg",
        "Zoë 茶.jpg",
        'a"b;c.jpg',
        "a'b.jpg",
        "a\nb.jpg",
        "😀.jpg",
    ):
        (root / name).write_bytes(name.encode())
        response = ask(name)
        assert body(response) == name.encode()
        assert "\n" not in response["Content-Disposition"]
        assert response["Content-Disposition"].isascii()


def test_the_working_folder_is_served_to_nobody() -> None:
    """Which is what Django takes an empty MEDIA_ROOT for."""
    request = RequestFactory().get("/media/manage.py")
    with (
        override_settings(MEDIA_ROOT="", STORAGES=FOLDER),
        pytest.raises(ImproperlyConfigured, match="MEDIA_ROOT is not set"),
    ):
        serve_media(request, "manage.py")


def test_a_folder_that_is_missing_or_a_link_itself(root: Path, tmp_path: Path) -> None:
    with override_settings(MEDIA_ROOT=tmp_path / "none"), pytest.raises(Http404):
        ask()
    (tmp_path / "elsewhere").symlink_to(root)
    with override_settings(MEDIA_ROOT=tmp_path / "elsewhere"):
        assert body(ask()) == TEA


def test_the_proxy_sends_it_where_there_is_one(root: Path) -> None:
    (root / "a 茶.svg").write_bytes(TEA)
    with override_settings(MEDIA_ACCEL_PREFIX="/media"):
        response = ask("a 茶.svg", Range="bytes=2-4")
        assert (response.status_code, body(response)) == (200, b"")
        assert response["X-Accel-Redirect"].encode("latin-1") == "/media/a 茶.svg".encode()
        assert response["Content-Type"] == "image/svg+xml"
        assert response["Content-Disposition"].startswith("attachment; ")
        assert "ETag" not in response
        for name in (
            "a%20b.jpg",
            "a?b.jpg",
            "a#b.jpg",
            "{x}.jpg",
            "a\nb.jpg",
            "a.jpg ",
            " a.jpg",
            " ",
        ):  # no proxy is asked for
            (root / name).write_bytes(name.encode())
            assert body(ask(name)) == name.encode()
        for name in ("../secret.jpg", "none.jpg", "cups"):
            with pytest.raises(Http404):
                ask(name)


def test_a_store_of_another_kind_is_read(root: Path) -> None:
    with override_settings(STORAGES=MEMORY, MEDIA_ACCEL_PREFIX="/media"):
        storages["default"].save("cups/memory.jpg", ContentFile(TEA))
        assert body(ask("cups/memory.jpg")) == TEA
        part = ask("cups/memory.jpg", Range="bytes=-2")
        assert (part.status_code, body(part)) == (206, b"89")
        assert "ETag" not in part
        with pytest.raises(Http404):
            ask("cups/none.jpg")


def test_an_upload_that_is_replaced_while_it_is_sent_goes_out_as_it_was(root: Path) -> None:
    response = ask()
    (root / "cups" / "tea.jpg").unlink()
    (root / "cups" / "tea.jpg").write_bytes(b"other")
    assert body(response) == TEA
