"""Uploads in containers: on their volume, sent by the proxy, within 384 MB, and in a backup."""

import http.client
import os
import ssl
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.conftest import ROOT, clean_environment
from tests.containers.test_container import Start, built_project, data, image, start  # noqa: F401
from tests.containers.test_container_bodies import MEMORY, at_once, post_form
from tests.containers.test_container_compose import PROXIED, engine, https  # noqa: F401
from tests.support import readme
from tests.support.containers import Compose, Container, composed, locked_project
from tests.support.server import PATIENCE
from tests.support.sites import put_site, site_volume

pytestmark = pytest.mark.container

PAGE = ROOT / "docs" / "backups.md"
OUT, IN, UPLOADS_OUT, UPLOADS_IN = (
    text for heading, text in readme.blocks("sh", PAGE) if heading == "Backups in containers"
)


@pytest.fixture
def keeping(start: Start, tmp_path: Path) -> Callable[..., Container]:  # noqa: F811
    """A container whose views keep uploads: `keeping("--memory=384m")`."""
    volume = site_volume(tmp_path, "pictures")

    def run(*options: str, **variables: str) -> Container:
        variables = {"SECURE_SSL_REDIRECT": "false", "ALLOWED_HOSTS": "*"} | variables
        return start(volume, *options, **variables).ready()

    return run


def test_large_uploads_end_no_container(keeping: Callable[..., Container]) -> None:
    container = keeping(*MEMORY)
    assert at_once(container, 4, lambda: post_form(container, "/keep/", 99)) == {200: 4}
    assert at_once(container, 2, lambda: post_form(container, "/akeep/", 99)) == {200: 2}
    assert post_form(container, "/keep/", 101) == 413
    state = container.state
    assert (state["Running"], state["OOMKilled"]) == (True, False)
    print(container.run("sh", "-c", "grep -h VmHWM /proc/[0-9]*/status"))
    kept = container.run("sh", "-c", "stat -c '%a %U %s' /media/pictures/*").splitlines()
    assert len(kept) == 6
    assert {line.split()[0] for line in kept} == {"644"}
    assert container.run("sh", "-c", "ls -A /tmp /var/tmp | grep -v :; ls -A /media") == "pictures"


def test_a_full_volume_is_a_507(keeping: Callable[..., Container]) -> None:
    container = keeping("--tmpfs=/media:size=20m,uid=10001,mode=755")
    assert post_form(container, "/keep/", 15) == 200
    assert post_form(container, "/keep/", 15) == 507
    assert post_form(container, "/akeep/", 4) == 200
    assert len(container.run("find", "/media", "-type", "f").splitlines()) == 2
    assert "Traceback" not in container.log


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A Compose project behind its proxy, whose views keep uploads."""
    project = locked_project(tmp_path_factory.mktemp("proxied"))
    put_site(project, "pictures")
    with composed(project, **PROXIED | {"WEB_REPLICAS": "2"}) as compose:
        compose.make("build", "up")
        yield compose


@pytest.fixture
def client(proxied: Compose, engine: None) -> Iterator[httpx.Client]:  # noqa: F811
    with httpx.Client(base_url=https(proxied), verify=False, timeout=PATIENCE) as client:  # noqa: S501
        yield client


def keep(client: httpx.Client, name: str, content: bytes) -> str:
    answer = client.post("/keep/", files={"file": (name, content)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"])


def test_the_proxy_sends_what_a_server_allows(proxied: Compose, client: httpx.Client) -> None:
    content = os.urandom(5_000_000)
    address = keep(client, "Zoë's tea 100%.jpg", content)
    whole = client.get(address)
    assert whole.content == content
    assert whole.headers["content-type"] == "image/jpeg"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-disposition"].startswith("inline")
    assert "sandbox" in whole.headers["content-security-policy"]
    assert whole.headers["cache-control"] == "private, max-age=3600"
    assert whole.headers["content-length"] == "5000000"
    assert "strict-transport-security" in whole.headers
    assert "server" not in whole.headers
    assert "x-accel-redirect" not in whole.headers
    names = [name for name, _ in whole.headers.multi_items()]
    assert len(names) == len(set(names)), names

    etag = whole.headers["etag"]
    for wanted, part, where in (
        ("bytes=0-0", content[:1], "0-0"),
        ("bytes=2000000-2999999", content[2_000_000:3_000_000], "2000000-2999999"),
        ("bytes=-3", content[-3:], "4999997-4999999"),
    ):
        for condition in ({}, {"If-Range": etag}, {"If-Range": whole.headers["last-modified"]}):
            answer = client.get(address, headers={"Range": wanted, **condition})
            assert (answer.status_code, answer.content) == (206, part)
            assert answer.headers["content-range"] == f"bytes {where}/5000000"
            assert answer.headers["content-type"] == "image/jpeg"
            assert "sandbox" in answer.headers["content-security-policy"]
    assert client.get(address, headers={"Range": "bytes=0-0", "If-Range": '"x"'}).status_code == 200
    refused = client.get(address, headers={"Range": "bytes=5000000-"})
    assert (refused.status_code, refused.headers["content-range"]) == (416, "bytes */5000000")
    several = client.get(address, headers={"Range": "bytes=0-0,5-5"})
    assert several.status_code in (200, 206)
    many = client.get(address, headers={"Range": "bytes=" + ",".join(["0-"] * 500)})
    assert len(many.content) <= 5_100_000, "no more than the file"
    kept = client.get(address, headers={"If-None-Match": etag})
    assert (kept.status_code, kept.content) == (304, b"")
    head = client.head(address)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "5000000", b"")
    assert client.post(address).status_code in (403, 405)


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x.js", "x.css", "x.json", "index.html"])
def test_what_could_run_is_saved_by_a_browser(client: httpx.Client, name: str) -> None:
    evil = b"<script>alert(document.domain)</script>" * 100
    for encoding in ("identity", "gzip", "zstd"):
        answer = client.get(keep(client, name, evil), headers={"Accept-Encoding": encoding})
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["content-type"] not in ("text/javascript", "text/css")


def test_a_part_of_a_text_is_not_compressed(client: httpx.Client) -> None:
    """Or a client that resumes would put compressed bytes behind plain ones."""
    text = b"".join(f"{number};tea\n".encode() for number in range(10_000))
    address = keep(client, "tea.csv", text)
    assert client.get(address).content == text
    for encoding in ("gzip", "zstd", "identity"):
        part = client.get(
            address, headers={"Range": "bytes=5000-9999", "Accept-Encoding": encoding}
        )
        assert (part.status_code, part.content) == (206, text[5000:10_000]), encoding
        assert part.headers.get("content-encoding") is None
        assert part.headers["content-length"] == "5000"


RAW = """
/media/../srv/media /media/..%2fetc%2fpasswd /media/%2e%2e/%2e%2e/etc/passwd /media/..%2f..%2fetc/passwd
/media/pictures/../../etc/passwd /media//etc/passwd /media/%2fetc%2fpasswd /media/pictures /media/pictures/
/media/ /media /media/.hidden /media/pictures/%00 /media/pictures/tea.jpg%00 /media/..%5cmanage.py
/media/pictures/tea.jpg/ /media/link.jpg /media/folder/passwd /media/%252e%252e/x /media/%ff /media/pictures/index.html/
/media/.deleted /media/.deleted/1/old.jpg
""".split()


def test_nothing_else_is_found(proxied: Compose, client: httpx.Client) -> None:
    keep(client, "tea.jpg", b"tea")
    proxied(
        "exec", "-T", "web", "sh", "-c",
        "cd /media && echo secret >.hidden && ln -sf /etc/passwd link.jpg && ln -sfn /etc folder"
        " && mkdir -p .deleted/1 && echo secret >.deleted/1/old.jpg && echo index >pictures/index.html",
    )  # fmt: skip
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = int(https(proxied).rpartition(":")[2])
    for path in RAW:
        connection = http.client.HTTPSConnection(
            "localhost", port, timeout=PATIENCE, context=context
        )
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status in (301, 308, 400, 404), (path, answer.status, content)
        assert b"root:" not in content, path
        assert b"secret" not in content, path
        connection.close()


def test_odd_names_come_back(proxied: Compose, client: httpx.Client) -> None:
    write = (
        "import pathlib, sys; r = pathlib.Path('/media/odd'); r.mkdir(exist_ok=True);"
        "[(r / n).write_text(n) for n in sys.argv[1:]]"
    )
    names = ["a b.jpg", "100%.jpg", "a?b#c.jpg", "Zoë 茶.jpg", 'a"b;c.jpg', "a'b.jpg", "%41.jpg", "{x}.jpg", "a+b&c=d.jpg", "😀.jpg", "{http.request.host}.jpg"]  # fmt: skip
    proxied("exec", "-T", "web", "python", "-c", write, *names)
    for name in names:
        answer = client.get(f"/media/odd/{quote(name, safe='')}")
        assert (answer.status_code, answer.content) == (200, name.encode()), name


def follow(compose: Compose, script: str, **variables: str) -> str:
    """Runs lines of the documentation in a project's folder, as its owner does; returns what they print."""
    done = subprocess.run(
        ["sh", "-ec", script], cwd=compose.project, env=clean_environment() | compose.variables | variables,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_backup_goes_out_and_comes_back(proxied: Compose, client: httpx.Client) -> None:
    removed = keep(client, "removed.jpg", b"removed")
    client.post(f"/remove/{removed.removeprefix('/media/')}")
    web = ("exec", "-T", "web", "sh", "-c")
    proxied(*web, "find /media/.deleted -name 'removed*' -exec touch -d @1 {} +")  # long ago
    address = keep(client, "first.jpg", b"first")
    follow(proxied, OUT)
    (first,) = proxied.project.glob("copy-*.sqlite3")
    other = keep(client, "second.jpg", b"second")
    follow(proxied, OUT.replace(".sqlite3", "-2.sqlite3"))  # within the same second, perhaps
    (second,) = proxied.project.glob("copy-*-2.sqlite3")
    for copy, number in ((first, 1), (second, 2)):
        with tarfile.open(f"{copy}.media.tar") as archive:
            names = {f"/media/{name}" for name in archive.getnames()}
        assert len(names & {address, other}) == number
        assert removed not in names
    for gone in (address, other):
        client.post(f"/remove/{gone.removeprefix('/media/')}")
        assert client.get(gone).status_code == 404

    assert "2 uploads were put back" in follow(proxied, IN, copy=second.name)
    assert "copy-" not in proxied(*web, "ls -A /data"), "nothing is left on the volume"
    assert client.get(address).content == b"first"
    assert client.get(other).content == b"second"
    assert client.get(removed).status_code == 404

    backup = UPLOADS_OUT.replace("make backup", "mkdir backups")  # which is PostgreSQL's here
    assert "uploads were put back" in follow(proxied, f"{backup}{UPLOADS_IN}")


def test_uploads_outlive_the_containers_and_are_in_a_backup(
    proxied: Compose, client: httpx.Client
) -> None:
    address = keep(client, "kept.jpg", b"kept")
    backup = "/data/copy.sqlite3"
    manage = ("exec", "-T", "web", "python", "manage.py")
    said = proxied(*manage, "backup", backup)
    assert f"uploads are in {backup}.media.tar" in said
    client.post(f"/remove/{address.removeprefix('/media/')}")
    assert client.get(address).status_code == 404
    proxied.make("down")
    proxied.make("up")
    with httpx.Client(base_url=https(proxied), verify=False, timeout=PATIENCE) as again:  # noqa: S501
        other = keep(again, "kept.jpg", b"other")
        assert other != address
        assert "uploads were put back" in proxied(*manage, "restore", backup)
        assert again.get(address).content == b"kept"
        assert again.get(other).content == b"other"
