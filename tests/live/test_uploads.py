"""Uploads on a real server: what a client sends is kept, and comes back as something that runs nowhere."""

import http.client
import io
import os
import re
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import httpx
import pytest

from tests.conftest import ROOT, Run, Serve, bake_into, bake_site
from tests.support import readme
from tests.support.server import PATIENCE, Server, server_environment, wait_for

PAGE = ROOT / "docs" / "uploads.md"
REPLACING = ROOT / "docs" / "replacing-uploads.md"
USERS = ["ada", "bob", "cleo", "shared"]
PASSWORD = "open sesame"
EVIL = b"<script>alert(document.domain)</script>"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project whose views keep uploads."""
    return bake_site(tmp_path_factory.mktemp("pictures"), run, "pictures")


@pytest.fixture
def server(pictures: Path, serve: Serve, tmp_path: Path) -> Server:
    return serve(pictures, MEDIA_ROOT=str(tmp_path / "media")).ready()


def keep(server: Server, name: str, content: bytes, path: str = "/keep/") -> str:
    """Uploads a file; returns its address."""
    answer = httpx.post(
        server.address + path, files={"file": (name, content)}, timeout=PATIENCE, verify=False  # noqa: S501
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"])


@pytest.mark.parametrize("size", [0, 10, 5_000_000])
@pytest.mark.parametrize("path", ["/keep/", "/akeep/"])
def test_what_is_kept_comes_back(server: Server, tmp_path: Path, size: int, path: str) -> None:
    content = os.urandom(size)
    address = keep(server, "Zoë's tea.jpg", content, path)
    answer = server.get(address)
    assert answer.content == content
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY", "as a page has it"
    if size:
        part = server.get(address, headers={"Range": f"bytes={size // 2}-"})
        assert (part.status_code, part.content) == (206, content[size // 2 :])
    head = httpx.head(server.address + address, timeout=PATIENCE, verify=False)  # noqa: S501
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")
    kept = server.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert (kept.status_code, kept.content) == (304, b"")
    (file,) = (tmp_path / "media" / "pictures").iterdir()
    assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x.js", "x.css", "x.htm", "x.xhtml", "x"])
def test_what_could_run_is_saved_by_a_browser(server: Server, name: str) -> None:
    answer = server.get(keep(server, name, EVIL))
    assert answer.content == EVIL
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] not in ("text/javascript", "text/css")


RAW = """
/media/../manage.py /media/..%2fmanage.py /media/%2e%2e/manage.py /media/%2e%2e%2fmanage.py
/media/pictures/../../manage.py /media//etc/passwd /media/%2fetc%2fpasswd /media/pictures /media/pictures/
/media/ /media /media/.hidden /media/pictures/%00 /media/pictures/tea.jpg%00 /media/..%5cmanage.py
/media/pictures/tea.jpg/ /media/pictures%2F..%2F..%2Fmanage.py /media/%c0%ae%c0%ae/manage.py /media/%ff
/media/link.jpg /media/%252e%252e/manage.py
""".split()


def test_nothing_else_is_found(server: Server, pictures: Path, tmp_path: Path) -> None:
    """As it stands on the wire: a client of Python's would tidy the path up."""
    keep(server, "tea.jpg", b"tea")
    (tmp_path / "media" / ".hidden").write_bytes(b"secret")
    (tmp_path / "media" / "link.jpg").symlink_to(pictures / "manage.py")
    secrets = {(pictures / "manage.py").read_bytes(), b"secret"}
    for path in RAW:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status in (301, 400, 404), path
        assert answer.read() not in secrets, path
        connection.close()
    assert server.get("/media/pictures/tea.jpg").content == b"tea"
    assert "Traceback" not in server.log


def test_a_curl_resumes_a_download(server: Server, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    address = server.address + keep(server, "tea.mp4", content)
    half = tmp_path / "half"
    half.write_bytes(content[:1_000_000])
    subprocess.run(["curl", "--silent", "--fail", "-C", "-", "--output", half, address], check=True)
    assert half.read_bytes() == content


def test_too_many_fields_or_files_are_told_in_a_line(server: Server) -> None:
    data = {f"f{number}": "x" for number in range(1001)}
    files = [("file", (f"{number}.txt", b"x")) for number in range(101)]
    long = {"field": "x" * 3_000_000}
    given = [
        ({"data": data}, 400, "More than 1000 fields.\n"),
        ({"files": files}, 400, "More than 100 files.\n"),
        ({"data": long}, 413, "Without its files, the request is larger than 2621440 bytes.\n"),
    ]
    cookie = {"Cookie": f"csrftoken={'a' * 32}"}  # or the middleware need not look into the form
    for path in ("/fields/", "/checked/", "/afields/"):
        for form, status, text in given:
            answer = httpx.post(
                server.address + path, timeout=PATIENCE, verify=False, headers=cookie, **form  # type: ignore[arg-type]  # noqa: S501
            )  # fmt: skip
            assert (answer.status_code, answer.text) == (status, text), path
    assert httpx.post(f"{server.address}/fields/", data={"a": "b"}, verify=False).text == "1"  # noqa: S501
    assert "Traceback" not in server.log


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("path", ["/keep/", "/akeep/"])
def test_a_full_disk_is_a_507_and_leaves_no_half_file(
    pictures: Path, serve: Serve, small_disk: Path, path: str
) -> None:
    server = serve(pictures, MEDIA_ROOT=str(small_disk)).ready()
    keep(server, "first.jpg", bytes(4_000_000), path)
    for size in (5_000_000, 20_000_000):
        refused = httpx.post(
            server.address + path, files={"file": ("second.jpg", io.BytesIO(bytes(size)))},
            timeout=PATIENCE, verify=False,  # noqa: S501
        )  # fmt: skip
        assert refused.status_code == 507
        assert refused.text == "The server has no room for the file.\n"
    assert [each.name for each in (small_disk / "pictures").iterdir()] == ["first.jpg"]
    keep(server, "third.jpg", bytes(2_000_000), path)
    said = [record for record in server.records if record["log.level"] in ("WARNING", "ERROR")]
    assert {record["log.level"] for record in said} == {"ERROR"}, "so that ADMINS hear of it"
    assert [record["message"] for record in said] == [
        f"can't keep 'pictures/second.jpg' in {small_disk}: No space left on device: {path}"
    ] * 2
    assert "Traceback" not in server.log


# docs/uploads.md and docs/replacing-uploads.md, as an owner copies them


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project with the pages' app in it, a database and four users."""
    project = bake_into(tmp_path_factory.mktemp("people"))
    shown = [*readme.files(PAGE), *readme.files(REPLACING)]
    files = {name: text.partition("\n")[2] for _, name, text in shown}
    run(project, "python", "-m", "serving_tools.new_app", NAME="people")
    for name, text in files.items():
        (project / name).write_text(text)
    (line,) = re.findall(
        r"the first line of `urlpatterns`.*?`(path\(.*?),`", PAGE.read_text(), re.DOTALL
    )
    urls = project / "config" / "urls.py"
    made = '    path("people/", include("people.urls")),\n'
    first = f"urlpatterns = [\n{made}"
    assert first in urls.read_text()
    urls.write_text(urls.read_text().replace(made, f"    {line},\n", 1))
    variables = server_environment(project)
    manage = ("python", "manage.py")
    run(project, *manage, "makemigrations", "people", **variables)
    run(project, *manage, "migrate", "--verbosity=0", **variables)
    made = f"from accounts.models import User; [User.objects.create_superuser(n, '', '{PASSWORD}') for n in {USERS}]"
    run(project, *manage, "shell", "--command", made, **variables)
    run(project, *manage, "collectstatic", "--noinput", "-v", "0", **variables)
    return project


def test_the_pages_are_formatted_linted_and_typed(people: Path, run: Run, tmp_path: Path) -> None:
    for migration in (people / "people" / "migrations").glob("0*.py"):
        migration.unlink()
    run(people, "ruff", "check", "--no-cache", "people")
    run(people, "ruff", "format", "--check", "--no-cache", "people")
    run(people, "mypy", "--cache-dir", str(tmp_path / "mypy"), "people")


def test_a_file_of_ones_own_is_for_its_owner_alone(
    people: Path, serve: Serve, tmp_path: Path
) -> None:
    server = serve(people, MEDIA_ROOT=str(tmp_path / "media")).ready()
    with logged_in(server, "ada") as ada, logged_in(server, "bob") as bob:
        address = replace(ada, b"ada's").headers["location"]
        assert address.startswith("/media/portraits/")
        assert ada.get(address).content == b"ada's"
        assert bob.get(address).status_code == 404
        assert httpx.get(server.address + address).status_code == 302


@contextmanager
def logged_in(server: Server, user: str) -> Iterator[httpx.Client]:
    """A browser of a user who has logged in."""
    with httpx.Client(base_url=server.address, timeout=PATIENCE, verify=False) as client:  # noqa: S501
        log_in(client, user)
        yield client


def log_in(client: httpx.Client, user: str) -> None:
    client.get("/admin/login/")
    form = {
        "username": user,
        "password": PASSWORD,
        "csrfmiddlewaretoken": client.cookies["csrftoken"],
    }
    assert client.post("/admin/login/", data=form).status_code == 302


def replace(client: httpx.Client, content: bytes) -> httpx.Response:
    return client.post(
        "/portrait/",
        files={"picture": ("me.jpg", content)},
        headers={"X-CSRFToken": client.cookies["csrftoken"]},
    )


def test_pictures_are_replaced_under_load_and_none_is_lost(
    people: Path, serve: Serve, tmp_path: Path
) -> None:
    """Also by two at once for one user, and while a backup is made."""
    media = tmp_path / "media"
    server = serve(people, MEDIA_ROOT=str(media)).ready()

    def work(user: str, mark: int) -> None:
        with logged_in(server, user) as client:
            for number in range(25):
                content = f"{user} {mark} {number} ".encode() * 1000
                answer = replace(client, content)
                assert answer.status_code == 302, answer.text
                if user != "shared":  # nobody else has replaced it
                    assert client.get(answer.headers["location"]).content == content

    with ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(work, user, mark) for mark, user in enumerate(USERS + ["shared"] * 3)]
        for task in tasks:
            task.result()
    with closing(sqlite3.connect(people / "db.sqlite3")) as database:
        rows = dict(database.execute("SELECT picture, user_id FROM people_portrait"))
    assert len(rows) == len(USERS)
    assert {
        path.relative_to(media).as_posix() for path in (media / "portraits").iterdir()
    } == rows.keys()
    for name in rows:
        assert len(set((media / name).read_bytes().split()[2::3])) == 1, "of one upload alone"
    with logged_in(server, "ada") as ada, logged_in(server, "bob") as bob:
        address = replace(ada, b"mine").headers["location"]
        assert ada.get(address).content == b"mine"
        assert bob.get(address).status_code == 404
        assert replace(ada, b"").status_code == 400
        assert (
            ada.post(
                "/portrait/",
                files={"picture": ("x.svg", b"x")},
                headers={"X-CSRFToken": ada.cookies["csrftoken"]},
            ).status_code
            == 400
        )
        assert ada.get(address).content == b"mine"
    assert httpx.get(server.address + address, verify=False).status_code == 302  # noqa: S501
    assert "Traceback" not in server.log


def test_a_picture_is_kept_whose_name_the_database_knows_already(
    people: Path, serve: Serve, tmp_path: Path
) -> None:
    """As after a restore of the database alone: what it names is gone, and must not take another with it."""
    for media in (tmp_path / "lost", tmp_path / "media"):
        server = serve(people, MEDIA_ROOT=str(media)).ready()
        for user in USERS:
            with logged_in(server, user) as client:
                address = replace(client, user.encode()).headers["location"]
                assert client.get(address).content == user.encode()
        assert len(list((media / "portraits").iterdir())) == len(USERS)
        server.stop()


def test_a_backup_under_load_has_each_file_that_its_database_names(
    people: Path, serve: Serve, run: Run, tmp_path: Path
) -> None:
    media = tmp_path / "media"
    server = serve(people, MEDIA_ROOT=str(media)).ready()
    done = Event()
    replaced: set[str] = set()

    def work(user: str) -> None:
        with logged_in(server, user) as client:
            number = 0
            while not done.is_set():
                assert replace(client, f"{user} {number} ".encode() * 1000).status_code == 302
                number += 1
                replaced.add(user)

    variables = server_environment(people) | {"MEDIA_ROOT": str(media)}
    copies = [tmp_path / f"{number}.sqlite3" for number in range(5)]
    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(work, user) for user in USERS]
        try:
            wait_for(lambda: len(replaced) == len(USERS), "a picture of each")
            for copy in copies:
                run(people, "python", "manage.py", "backup", str(copy), **variables)
        finally:
            done.set()
        for task in tasks:
            task.result()
    for copy in copies:
        with closing(sqlite3.connect(copy)) as database:
            named = {name for (name,) in database.execute("SELECT picture FROM people_portrait")}
        with tarfile.open(f"{copy}.media.tar") as archive:
            assert named <= set(archive.getnames())
    told = run(people, "python", "manage.py", "restore", str(copies[0]), **variables).stdout
    assert "uploads were put back" in told
    with closing(sqlite3.connect(people / "db.sqlite3")) as database:
        for (name,) in database.execute("SELECT picture FROM people_portrait"):
            assert (media / name).is_file()


@pytest.mark.parametrize("folder", [".", "/", "config"])
def test_a_folder_with_the_project_in_it_is_refused_at_the_start(
    project: Path, serve: Serve, folder: str
) -> None:
    """Else everybody could read the database and the settings."""
    server = serve(project, MEDIA_ROOT=folder)
    assert server.wait() != 0
    (line,) = [line for line in server.log.splitlines() if "everybody could read" in line]
    assert "MEDIA_ROOT = " in line


def test_a_folder_that_is_set_to_nothing_is_the_default(project: Path, serve: Serve) -> None:
    (project / "media").mkdir()
    (project / "media" / "tea.txt").write_text("green")
    server = serve(project, MEDIA_ROOT="").ready()
    assert server.get("/media/tea.txt").text == "green"
    assert server.get("/media/manage.py").status_code == 404
