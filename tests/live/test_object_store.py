"""Uploads in an object store, over real HTTP: moto's server, which looks at no signature."""

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import Run, bake_site, clean_environment, with_packages
from tests.support.server import PATIENCE, Server, free_port, server_environment, wait_for

SECRET = "sesame/open:@%+secret"
CREDENTIALS = "AKIATEA:sesame%2Fopen%3A%40%25%2Bsecret"
EVIL = b"<script>alert(document.domain)</script>"

Start = Callable[..., Server]
Manage = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def store(store_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a store with one bucket, "tea"."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("store") / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [store_environment / "bin" / "moto_server", "--host", "127.0.0.1", "--port", str(port)],
            env=clean_environment(), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{address}/moto-api/", timeout=PATIENCE).status_code == 200
        except httpx.TransportError:
            return False

    wait_for(answers, "the store")
    assert httpx.put(f"{address}/tea", timeout=PATIENCE).status_code == 200
    yield address
    process.terminate()
    process.wait(PATIENCE)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project whose views keep uploads."""
    return bake_site(tmp_path_factory.mktemp("pictures"), run, "pictures")


@pytest.fixture
def start(store: str, store_environment: Path, pictures: Path) -> Iterator[Start]:
    """Starts a server that keeps uploads in the store."""
    servers: list[Server] = []

    def run(query: str = "", **variables: str) -> Server:
        url = f"s3://{CREDENTIALS}@{store.removeprefix('http://')}/tea/up?tls=false{query}"
        variables = {"STORAGE_URL": url} | variables
        base = with_packages(pictures, clean_environment())
        servers.append(Server(store_environment / "bin", pictures, base, variables))
        return servers[-1].ready()

    yield run
    for server in servers:
        server.kill()


@pytest.fixture
def manage(store: str, store_environment: Path, pictures: Path) -> Manage:
    """Runs `manage.py` of a project whose uploads are in the store."""
    variables = with_packages(pictures, clean_environment()) | server_environment(pictures)
    url = f"s3://a:b@{store.removeprefix('http://')}/tea?tls=false"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [store_environment / "bin" / "python", "manage.py", *arguments], cwd=pictures,
            env=variables | {"STORAGE_URL": url}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def keep(server: Server, name: str, content: bytes) -> str:
    """Uploads a file; returns its address."""
    answer = httpx.post(
        f"{server.address}/keep/", files={"file": (name, content)}, timeout=PATIENCE, verify=False  # noqa: S501
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"])


def test_an_upload_is_kept_there_and_a_link_leads_to_it(start: Start, store: str) -> None:
    server = start("&expire=60")
    content = os.urandom(20_000_000)  # in several parts
    address = keep(server, "Zoë's tea.jpg", content)
    assert re.fullmatch(r"/media/pictures/Zo%C3%AB's%20tea_\w{12}\.jpg", address)

    redirect = server.get(address)
    link = httpx.URL(redirect.headers["location"])
    assert redirect.status_code == 302
    assert redirect.headers["cache-control"] == "private, no-store"
    assert str(link).startswith(f"{store}/tea/up/pictures/Zo%C3%AB%27s%20tea_")
    assert link.params["X-Amz-Expires"] == "60"
    assert link.params["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    found = server.get(address, follow_redirects=True)
    assert found.content == content
    assert found.headers["content-type"] == "image/jpeg"
    assert found.headers["content-disposition"].startswith("inline; ")
    part = server.get(address, headers={"Range": "bytes=-5"}, follow_redirects=True)
    assert (part.status_code, part.content) == (206, content[-5:])
    head = httpx.head(
        server.address + address, follow_redirects=True, timeout=PATIENCE, verify=False  # noqa: S501
    )  # fmt: skip
    assert (head.status_code, head.headers["content-length"]) == (200, "20000000")

    policy = server.get("/").headers["content-security-policy"]
    assert f"img-src 'self' {store};" in f"{policy};"
    assert f"media-src 'self' {store};" in f"{policy};"
    other = keep(server, "Zoë's tea.jpg", b"other")
    assert other != address
    assert server.get(address, follow_redirects=True).content == content


def test_those_who_send_one_name_at_once_get_one_each(start: Start) -> None:
    server = start()
    contents = [os.urandom(9_000_000) for _ in range(2)]
    with ThreadPoolExecutor() as threads:
        addresses = list(threads.map(lambda each: keep(server, "image.jpg", each), contents))
    for address, content in zip(addresses, contents, strict=True):
        is_same = server.get(address, follow_redirects=True).content == content
        assert is_same, address  # and pytest compares no millions of bytes
    server.get(f"/remove/{addresses[0].removeprefix('/media/')}")
    assert server.get(addresses[1], follow_redirects=True).status_code == 200


def test_a_name_is_as_long_as_a_field_allows(manage: Manage) -> None:
    for name, length in (("a/bc.tar.gz", 100), ("a/" + "b" * 200 + ".jpg", 100)):
        ask = f"print(storages['default'].get_available_name({name!r}, {length}))"
        said = manage(
            "shell", "-v0", "-c", f"from django.core.files.storage import storages; {ask}"
        )
        assert re.fullmatch(r"a/b+c?(_\w{7})?_\w{12}\.(tar\.gz|jpg)\n", said.stdout), said.stderr
        assert len(said.stdout.strip()) <= length


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x.js", "x.css"])
def test_what_could_run_is_saved_by_a_browser(start: Start, name: str) -> None:
    server = start()
    link = server.get(keep(server, name, EVIL)).headers["location"]
    found = httpx.get(link, timeout=PATIENCE)
    assert found.content == EVIL
    assert found.headers["content-disposition"].startswith("attachment")
    assert found.headers["content-type"] not in ("text/javascript", "text/css")


def test_what_is_removed_is_gone_and_nothing_else_is_asked_for(start: Start) -> None:
    server = start()
    address = keep(server, "gone.jpg", b"tea")
    server.get(f"/remove/{address.removeprefix('/media/')}")
    assert server.get(address, follow_redirects=True).status_code in (403, 404)
    for path in ("/media/..%2fother/x", "/media/%2e%2e/x", "/media//x", "/media/.x"):
        assert server.get(path).status_code == 404, path


def test_browsers_may_find_it_at_another_address(start: Start) -> None:
    server = start("&links=https://files.example")
    location = server.get(keep(server, "tea.jpg", b"tea")).headers["location"]
    assert location.startswith("https://files.example/tea/up/pictures/tea")
    assert "https://files.example" in server.get("/").headers["content-security-policy"]


def test_no_secret_is_shown(start: Start, tmp_path: Path) -> None:
    secret = tmp_path / "storage_url"
    server = start()
    url = next(
        value for name, value in psutil.Process(server.process.pid).environ().items() if name == "STORAGE_URL"
    )  # fmt: skip
    secret.write_text(f"{url}\n")
    server = start(
        STORAGE_URL="", STORAGE_URL_FILE=str(secret), GRANIAN_LOG_LEVEL="debug", DEBUG="true"
    )
    server.get(keep(server, "tea.jpg", b"tea"))
    assert server.get("/media/none.jpg").status_code == 302
    page = server.get("/keep/")  # without a file: Django's page for debugging, with all settings
    assert page.status_code == 500
    assert "link_endpoint_url" in page.text
    for text in (page.text, server.log):
        assert not re.search(r"sesame|AKIATEA", text)


def test_a_large_upload_takes_little_memory(start: Start) -> None:
    """boto3 itself would have ten parts of 8 MB in memory."""
    server = start()
    keep(server, "small.bin", b"x")
    (worker,) = server.workers
    before = worker.memory_info().rss
    keep(server, "large.bin", bytes(95_000_000))
    peak = int(Path(f"/proc/{worker.pid}/status").read_text().partition("VmHWM:")[2].split()[0])
    print(f"{before:,} bytes before, {peak * 1024:,} at most")
    assert peak * 1024 - before < 64 * 2**20


def test_a_store_that_is_gone_is_told_soon(start: Start) -> None:
    server = start(STORAGE_URL=f"s3://a:b@127.0.0.1:{free_port()}/tea?tls=false")
    answer = httpx.post(
        f"{server.address}/keep/", files={"file": ("x.jpg", b"x")}, timeout=PATIENCE, verify=False  # noqa: S501
    )  # fmt: skip
    assert answer.status_code == 500
    assert "Could not connect to the endpoint URL" in server.log


def test_a_store_that_is_silent_is_told_after_three_tries(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system takes connections for it
        silent.setblocking(False)
        server = start(STORAGE_URL=f"s3://a:b@127.0.0.1:{silent.getsockname()[1]}/tea?tls=false")
        answer = httpx.post(
            f"{server.address}/keep/", files={"file": ("x.jpg", b"x")}, timeout=60, verify=False  # noqa: S501
        )  # fmt: skip
        tries = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                tries += 1
    assert answer.status_code == 500
    assert "Read timeout on endpoint URL" in server.log
    assert tries == 3


def test_a_backup_says_that_they_are_not_in_it(manage: Manage, tmp_path: Path) -> None:
    assert manage("migrate", "--verbosity=0").returncode == 0
    done = manage("backup", str(tmp_path / "copy.sqlite3"))
    assert "uploads are in s3://tea, and not in this backup" in done.stdout
    assert (
        "uploads are in no folder of this machine, but in s3://tea" in manage("backup_media").stderr
    )


def test_without_the_packages_the_start_says_which(pictures: Path, run: Run) -> None:
    variables = server_environment(pictures) | {
        "STORAGE_URL": f"s3://{CREDENTIALS}@eu-central-1/tea"
    }
    done = run(pictures, "python", "manage.py", "check", check=False, **variables)
    assert done.returncode == 1
    assert (
        "STORAGE_URL: Not a valid storage URL: django-storages is not installed; `uv sync --extra s3`"
        in done.stderr
    )
    assert "sesame" not in done.stderr
