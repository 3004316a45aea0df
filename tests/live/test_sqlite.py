"""SQLite under several processes that write at once, and backups taken meanwhile."""

import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.conftest import Run, Serve, add_ada, clean_environment
from tests.support.server import PATIENCE, server_environment
from tests.support.sites import program

PROCESSES = 4
WRITES = 5_000


def counted(database: Path) -> tuple[int, int]:
    """What the counter says, and the rows that were counted."""
    with closing(sqlite3.connect(database)) as opened:
        (counter,) = opened.execute("SELECT name FROM auth_group WHERE id = 1").fetchone()
        (rows,) = opened.execute(
            "SELECT count(*) FROM auth_group WHERE name LIKE 'counted%'"
        ).fetchone()
    return int(counter), rows


Writing = Callable[[int], list[subprocess.Popen[str]]]


@pytest.fixture
def writing(project: Path, environment: Path, run: Run) -> Iterator[Writing]:
    """Starts processes that write so many times each: all at the same moment."""
    variables = server_environment(project) | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    make = "from django.contrib.auth.models import Group; Group.objects.create(pk=1, name='0')"
    run(project, "python", "manage.py", "shell", "--no-imports", "-c", make, **variables)
    writers: list[subprocess.Popen[str]] = []

    def start(writes: int) -> list[subprocess.Popen[str]]:
        for me in range(PROCESSES):
            python = str(environment / "bin" / "python")
            command = [python, "-c", program("write_rows"), str(me), str(writes)]
            writers.append(
                subprocess.Popen(
                    command, cwd=project, env=clean_environment() | variables, text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                )
            )  # fmt: skip
        for writer in writers:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin
            writer.stdin.write("go\n")
            writer.stdin.flush()
        return writers

    yield start
    for writer in writers:
        writer.kill()
        writer.communicate()


def finish(writers: list[subprocess.Popen[str]]) -> None:
    """Waits until all have written, without one error."""
    for writer in writers:
        _, errors = writer.communicate(timeout=PATIENCE)
        assert (writer.returncode, errors) == (0, "")


Data = Callable[..., str]


@pytest.fixture
def data(project: Path, run: Run) -> Data:
    """Runs `manage.py` with these arguments."""
    variables = server_environment(project)
    return lambda *arguments: run(project, "python", "manage.py", *arguments, **variables).stdout


def test_four_processes_lose_no_write_and_backups_are_of_one_moment(
    project: Path, writing: Writing, data: Data
) -> None:
    writers = writing(WRITES)
    copies: list[tuple[int, int]] = []
    while any(writer.poll() is None for writer in writers):
        copy = project / "backups" / f"{len(copies)}.sqlite3"
        data("backup", str(copy))
        copies.append(counted(copy))
    finish(writers)

    assert counted(project / "db.sqlite3") == (PROCESSES * WRITES // 2,) * 2
    with closing(sqlite3.connect(project / "db.sqlite3")) as opened:
        (rows,) = opened.execute("SELECT count(*) FROM auth_group").fetchone()
    assert rows == PROCESSES * WRITES + 1
    assert len(copies) > 2
    assert all(counter == rows for counter, rows in copies), copies
    assert copies == sorted(copies)
    assert 0 < copies[len(copies) // 2][0] < PROCESSES * WRITES // 2, "taken while they wrote"


def test_a_backup_is_put_back_while_others_write(
    project: Path, writing: Writing, data: Data
) -> None:
    saved = str(project / "saved.sqlite3")
    data("backup", saved)
    writers = writing(WRITES)
    assert "restored" in data("restore", saved)
    assert any(writer.poll() is None for writer in writers), "put back while they wrote"
    finish(writers)

    counter, rows = counted(project / "db.sqlite3")
    assert 0 < counter == rows < PROCESSES * WRITES // 2, "what was written before it is gone"
    with closing(sqlite3.connect(project / "db.sqlite3")) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (kept,) = project.glob("before-restore-*.sqlite3")
    before, its_rows = counted(kept)
    assert before == its_rows
    assert counter + before <= PROCESSES * WRITES // 2


def modes(folder: Path) -> dict[str, int]:
    """The permissions of the database's files."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.glob("*.sqlite3*")}


@pytest.fixture
def _open_umask() -> Iterator[None]:
    """As where a group shares a folder."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_umask")
def test_the_database_is_for_its_owners_eyes_alone_as_backups_are(
    project: Path, run: Run, serve: Serve
) -> None:
    for path in project.glob("db.sqlite3*"):
        path.unlink()
    add_ada(project, run)
    server = serve(project).ready()
    with httpx.Client(base_url=server.address, timeout=PATIENCE, verify=False) as page:  # noqa: S501
        login = page.get("/admin/login/").text
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', login)
        assert token
        form = {"csrfmiddlewaretoken": token[1], "username": "ada", "password": "open sesame"}
        assert page.post("/admin/login/?next=/admin/", data=form).status_code == 302, "a write"

    names = {"db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm"}
    assert modes(project) == dict.fromkeys(names, 0o600)

    run(project, "python", "manage.py", "backup", "saved.sqlite3", **server_environment(project))
    server.stop()
    for name in names:
        (project / name).unlink(missing_ok=True)
    run(project, "python", "manage.py", "restore", "saved.sqlite3", **server_environment(project))
    assert set(modes(project).values()) == {0o600}, "one that a restore has made, too"


def test_who_opened_the_database_to_others_keeps_it_so(project: Path, data: Data) -> None:
    for path in project.glob("db.sqlite3*"):
        path.chmod(0o660)
    data("migrate", "--verbosity=0")
    assert modes(project)["db.sqlite3"] == 0o660


def test_a_folder_that_is_missing_is_still_said(project: Path, run: Run) -> None:
    variables = server_environment(project) | {"DATABASE_URL": "sqlite:///nosuch/db.sqlite3"}
    done = run(project, "python", "manage.py", "migrate", check=False, **variables)
    assert done.returncode == 1
    assert "the file can't be opened; make its folder" in done.stderr


TAKEN = {
    "sqlite:///db.sqlite3": "/srv/db.sqlite3 20.0 IMMEDIATE",
    "sqlite:////data/a%23b.sqlite3?timeout=2.5&transaction_mode=exclusive": "/data/a#b.sqlite3 2.5 exclusive",
}
REFUSED = [
    "sqlite:///a?hunter2=1", "sqlite:///a?hunter2=", "sqlite:///a?timeout=soon", "sqlite:///a?timeout=-1",
    "sqlite:///a?transaction_mode=tea", "sqlite:///a?timeout=1&timeout=2", "sqlite://db.sqlite3",
    "sqlite:///a#b.sqlite3", "sqlite:///", "mysql://a/b",
]  # fmt: skip


def test_an_address_is_taken_as_it_is_meant_or_refused(default_project: Path, run: Run) -> None:
    said = run(
        default_project, "python", "-B", "-c", program("judge_addresses"), *TAKEN, *REFUSED
    ).stdout

    taken, refused = said.splitlines()[: len(TAKEN)], said.splitlines()[len(TAKEN) :]
    assert taken == list(TAKEN.values())
    assert [line for line in refused if not line.startswith("refused: ")] == []
    assert len(refused) == len(REFUSED)
    assert "hunter2" not in said
