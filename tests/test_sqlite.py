"""SQLite under several processes that write at once, and backups taken meanwhile."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from tests.conftest import Run, clean_environment
from tests.server import PATIENCE, server_environment

PROCESSES = 4
WRITES = 5_000

# Half of the writes are transactions that read first, and would lose updates if two ran at once; each
# adds a row, too, so that a copy of any moment has as many rows as it counts.
WRITER = """
import sys
import django
django.setup()
from django.contrib.auth.models import Group
from django.db import transaction

me, writes = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(0, writes, 2):
    with transaction.atomic():
        counter = Group.objects.get(pk=1)
        counter.name = str(int(counter.name) + 1)
        counter.save()
        Group.objects.create(name=f"counted {me} {number}")
    Group.objects.create(name=f"alone {me} {number}")
"""


def counted(database: Path) -> tuple[int, int]:
    """What the counter says, and the rows that were counted."""
    with closing(sqlite3.connect(database)) as opened:
        (counter,) = opened.execute("SELECT name FROM auth_group WHERE id = 1").fetchone()
        (rows,) = opened.execute(
            "SELECT count(*) FROM auth_group WHERE name LIKE 'counted%'"
        ).fetchone()
    return int(counter), rows


def test_four_processes_lose_no_write_and_backups_are_of_one_moment(
    project: Path, environment: Path, run: Run
) -> None:
    variables = server_environment(project) | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    make = "from django.contrib.auth.models import Group; Group.objects.create(pk=1, name='0')"
    run(project, "python", "manage.py", "shell", "--no-imports", "-c", make, **variables)
    writers = [
        subprocess.Popen(
            [environment / "bin" / "python", "-c", WRITER, str(me), str(WRITES)],
            cwd=project, env=clean_environment() | variables, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for me in range(PROCESSES)
    ]  # fmt: skip
    try:
        for writer in writers:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin
            writer.stdin.write("go\n")
            writer.stdin.flush()

        copies: list[tuple[int, int]] = []
        while any(writer.poll() is None for writer in writers):
            copy = project / "backups" / f"{len(copies)}.sqlite3"
            run(project, "python", "-m", "serving.sqlite", "backup", str(copy), **variables)
            copies.append(counted(copy))

        for writer in writers:
            _, errors = writer.communicate(timeout=PATIENCE)
            assert (writer.returncode, errors) == (0, "")
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()

    assert counted(project / "db.sqlite3") == (PROCESSES * WRITES // 2,) * 2
    with closing(sqlite3.connect(project / "db.sqlite3")) as opened:
        (rows,) = opened.execute("SELECT count(*) FROM auth_group").fetchone()
    assert rows == PROCESSES * WRITES + 1
    assert len(copies) > 2
    assert all(counter == rows for counter, rows in copies), copies
    assert copies == sorted(copies)
    assert 0 < copies[len(copies) // 2][0] < PROCESSES * WRITES // 2, "taken while they wrote"
