"""A project on a real PostgreSQL: what a connection carries, faults and their fixes, backups."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import ROOT, Run, Serve, bake_into, clean_environment
from tests.support.server import PATIENCE, Server, free_port, server_environment
from tests.support.services import PASSWORD, Postgres, running
from tests.support.sites import SITES, program, put_site


@pytest.fixture(scope="session")
def migrated(
    tmp_path_factory: pytest.TempPathFactory, run: Run, postgres: Postgres
) -> tuple[Path, str]:
    """A project whose answers are PostgreSQL, and a migrated database, to be copied."""
    folder = bake_into(tmp_path_factory.mktemp("postgres"), database="postgres")
    put_site(folder, "people")
    postgres.query("CREATE DATABASE migrated")
    variables = server_environment(folder) | {"DATABASE_URL": postgres.url("migrated")}
    run(folder, "python", "manage.py", "migrate", "--verbosity", "0", **variables)
    run(folder, "python", "manage.py", "collectstatic", "--noinput", "-v", "0", **variables)
    return folder, "migrated"


@pytest.fixture
def shop(tmp_path: Path, migrated: tuple[Path, str], postgres: Postgres) -> Iterator[Path]:
    """A project with a database of this test's own, named "shop"."""
    project = shutil.copytree(migrated[0], tmp_path / "project")
    postgres.query("CREATE DATABASE shop TEMPLATE migrated")
    yield project
    postgres.query("DROP DATABASE shop WITH (FORCE)")


Manage = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def manage(run: Run) -> Manage:
    """Runs a program of the project on a database: `manage(shop, url, "manage.py", "migrate")`."""

    def run_python(
        project: Path, url: str, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = server_environment(project) | {"DATABASE_URL": url} | variables
        return run(project, "python", *arguments, check=check, **environment)

    return run_python


def problem(server: Server) -> str:
    """What /readyz says of the database."""
    answer = server.get("/readyz")
    assert answer.status_code == 503, answer.text
    return str(answer.json()["problems"]["database"])


def test_it_serves_from_postgres_and_the_server_sees_who_asks(
    shop: Path, serve: Serve, postgres: Postgres
) -> None:
    url = postgres.url("shop")
    server = serve(shop, DATABASE_URL=url).ready()

    assert server.get("/readyz").json() == {"status": "ok"}
    assert server.get("/people").text == "0"
    assert server.get("/people-async").text == "0"
    (worker,) = server.workers
    names = postgres.query(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = 'shop'"
    )
    assert names == [f"my-project-{worker.pid}"]
    assert server.stop() == 0
    assert PASSWORD not in server.log


def test_a_statement_that_takes_too_long_is_ended(
    shop: Path, serve: Serve, postgres: Postgres
) -> None:
    server = serve(
        shop,
        DATABASE_URL=postgres.url("shop"),
        DATABASE_STATEMENT_TIMEOUT="0.2",
    ).ready()

    assert server.get("/slow").status_code == 500
    assert "canceling statement due to statement timeout" in server.log
    assert server.get("/people").status_code == 200


MISTAKES = {
    "password": ("{url_with_password}", "the server refuses the user or the password"),
    "user": ("{url_with_user}", "the server refuses the user or the password"),
    "database": ("{url}nosuch", "the server has no such database"),
    "port": ("postgres://ada:hunter2@127.0.0.1:{closed}/shop", "no server listens there"),
    "host": ("postgres://ada:hunter2@db.invalid/shop", "the host has no address"),
    "empty": ("{empty}", "run `manage.py migrate`"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_mend_and_no_secret(
    shop: Path, serve: Serve, postgres: Postgres, manage: Manage, mistake: str
) -> None:
    template, fix = MISTAKES[mistake]
    postgres.query("CREATE DATABASE empty")
    try:
        url = template.format(
            url=postgres.url(""),
            url_with_password=postgres.url("shop", password="hunter2"),
            url_with_user=postgres.url("shop", user="eve"),
            closed=free_port(),
            empty=postgres.url("empty"),
        )
        server = serve(shop, DATABASE_URL=url).ready()

        said = problem(server)
        assert fix in said
        server.wait_for_log(fix)
        assert server.get("/livez").status_code == 200, "a restart would not fix it"
        assert server.stop() == 0
        (warning,) = [r for r in server.records if r["log.logger"] == "serving.probes"]
        assert warning["log.level"] == "WARNING"
        for text in (said, server.log):
            assert "hunter2" not in text
            assert PASSWORD not in text
        if mistake != "empty":
            command = manage(shop, url, "manage.py", "migrate", check=False)
            assert command.returncode == 1
            (line,) = command.stderr.splitlines()
            assert line.startswith("manage.py: ")
            assert fix in line
            assert "hunter2" not in line
    finally:
        postgres.query("DROP DATABASE empty WITH (FORCE)")


def test_a_migration_that_is_wrong_is_shown(shop: Path, postgres: Postgres, manage: Manage) -> None:
    """Nobody is told to run `manage.py migrate` by `manage.py migrate`."""
    shutil.copy(SITES / "wrong_migration.py", shop / "accounts" / "migrations" / "0002_wrong.py")
    failed = manage(shop, postgres.url("shop"), "manage.py", "migrate", check=False)

    assert failed.returncode == 1
    assert "Traceback" in failed.stderr
    assert 'relation "nosuch" does not exist' in failed.stderr


def test_a_wrong_url_stops_the_start(shop: Path, serve: Serve) -> None:
    for url in ("", "hunter2", "mysql://ada:hunter2@db/shop", "postgres://ada:hunter2@db"):
        server = serve(shop, DATABASE_URL=url)
        assert server.wait() == 1
        assert "DATABASE_URL: " in server.log
        assert "For example postgres://user:password@host:5432/name" in server.log
        assert "hunter2" not in server.log
        assert "Traceback" not in server.log


def test_a_server_that_is_restarted_is_found_again(
    migrated: tuple[Path, str], tmp_path: Path, serve: Serve, manage: Manage
) -> None:
    project = shutil.copytree(migrated[0], tmp_path / "project")
    with running(Postgres()) as own:
        manage(project, own.url(), "manage.py", "migrate", "--verbosity", "0")
        server = serve(project, DATABASE_URL=own.url()).ready()
        for _ in range(3):
            assert server.get("/people").status_code == 200
            own.stop()
            assert server.get("/people").status_code == 500
            assert server.get("/people-async").status_code == 500
            assert "no server listens there" in problem(server)
            own.start()
            answers = [server.get(path).status_code for path in ("/people", "/people-async") * 8]
            assert answers == [200] * 16, "no request pays for a connection that has died"
            assert server.get("/readyz").status_code == 200


def test_tls_is_asked_for_in_the_url(
    migrated: tuple[Path, str], tmp_path: Path, manage: Manage
) -> None:
    project = migrated[0]
    with running(Postgres()) as own:
        certificate(own.data)
        own.stop()
        own.settings["ssl"] = "on"
        own.start()
        trusted, other = tmp_path / "trusted.pem", tmp_path / "other.pem"
        shutil.copy(own.data / "server.crt", trusted)
        certificate(tmp_path, "other")
        shutil.copy(tmp_path / "other.crt", other)
        ask = "from django.db import connection as c\nwith c.cursor() as q:\n"
        ask += " q.execute('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')\n"
        ask += " print(q.fetchone())"
        shell = ("manage.py", "shell", "--no-imports", "-c", ask)

        url = f"{own.url()}?sslmode=verify-full&sslrootcert="
        assert manage(project, f"{url}{trusted}", *shell).stdout == "(True,)\n"
        assert manage(project, f"{own.url()}?sslmode=disable", *shell).stdout == "(False,)\n"
        refused = manage(project, f"{url}{other}", *shell, check=False)
        assert refused.returncode == 1
        assert "TLS failed" in refused.stderr
        assert PASSWORD not in refused.stderr


def certificate(folder: Path, name: str = "server") -> None:
    """A key and a self-signed certificate of 127.0.0.1, which the folder's owner can read."""
    key, made = folder / f"{name}.key", folder / f"{name}.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key,
         "-out", made, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)
    owner = folder.stat()
    for path in (key, made):
        shutil.chown(path, owner.st_uid, owner.st_gid)


def test_a_backup_is_whole_and_a_restore_is_all_or_nothing(
    shop: Path, postgres: Postgres, manage: Manage, environment: Path
) -> None:
    url = postgres.url("shop")
    data = ("manage.py",)
    programs = {"PATH": f"{postgres.programs}:/usr/bin:/bin"}
    writer = subprocess.Popen(
        [environment / "bin" / "python", "-c", program("count_rows")],
        cwd=shop, text=True, stdout=subprocess.PIPE, stdin=subprocess.PIPE,
        env=clean_environment() | server_environment(shop)
        | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"},
    )  # fmt: skip
    try:
        assert writer.stdout
        writer.stdout.readline()
        done = manage(shop, url, *data, "backup", "saved.dump", **programs)
        assert done.stdout.startswith("saved.dump: ")
    finally:
        writer.communicate("stop\n")
    before = rows(postgres)
    assert before["counted"] == before["counter"]

    postgres.query("DELETE FROM auth_group", "shop")
    manage(shop, url, *data, "restore", "saved.dump", **programs)
    restored = rows(postgres)
    assert 0 < restored["counted"] == restored["counter"] <= before["counter"]
    (shop / "letter.dump").write_text("Dear Ada")
    (shop / "half.dump").write_bytes((shop / "saved.dump").read_bytes()[:-500])
    for file in ("letter.dump", "half.dump", "missing.dump"):
        refused = manage(shop, url, *data, "restore", file, check=False, **programs)
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
        assert "CommandError: " in refused.stderr
        assert rows(postgres) == restored
    refused = manage(shop, url, *data, "backup", "letter.dump", check=False, **programs)
    assert "letter.dump is there already" in refused.stderr
    wrong = postgres.url("nosuch")
    refused = manage(shop, wrong, *data, "backup", "other.dump", check=False, **programs)
    assert refused.returncode == 1
    assert not list(shop.glob("*other.dump*")), "nothing is left behind"
    missing = manage(shop, url, *data, "backup", check=False, PATH="/nowhere")
    assert "install PostgreSQL's client programs" in missing.stderr
    assert (shop / "saved.dump").stat().st_mode & 0o777 == 0o600, (
        "it holds what others may not read"
    )


def test_a_restore_takes_back_what_is_younger_than_the_dump(
    shop: Path, postgres: Postgres, manage: Manage
) -> None:
    """A migration since then has made a table that refers to one of the dump's."""
    url = postgres.url("shop")
    data = ("manage.py",)
    programs = {"PATH": f"{postgres.programs}:/usr/bin:/bin"}
    manage(shop, url, *data, "backup", "saved.dump", **programs)
    postgres.query("CREATE TABLE younger (id int REFERENCES accounts_user)", "shop")
    postgres.query("CREATE VIEW people AS SELECT username FROM accounts_user", "shop")

    restored = manage(shop, url, *data, "restore", "./saved.dump", **programs)

    line, uploads = restored.stdout.splitlines()
    assert uploads == "there are no uploads beside it"
    assert postgres.query("SELECT to_regclass('younger')", "shop") == [""]
    assert postgres.query("SELECT count(*) FROM accounts_user", "shop") == ["0"]
    manage(shop, url, "manage.py", "migrate", "--check")
    kept = line.rpartition(" ")[2]
    manage(shop, url, *data, "restore", kept, **programs)
    assert postgres.query("SELECT to_regclass('younger')", "shop") == ["younger"]
    refused = manage(shop, url, *data, "restore", "./no.dump", check=False, **programs)
    assert refused.stderr == "CommandError: there is no backup no.dump\n"


def test_programs_go_where_the_url_says(shop: Path, postgres: Postgres, manage: Manage) -> None:
    """Not into Compose's server when that is another one, and by all that libpq is told."""
    engine = shop / "engine"
    engine.write_text('#!/bin/sh\n[ "$2 $3" = "port db" ] && echo 127.0.0.1:1 || exit 9\n')
    engine.chmod(0o755)
    variables = {"PATH": f"{postgres.programs}:/usr/bin:/bin", "ENGINE": str(engine)}
    data = ("manage.py", "backup")

    manage(shop, postgres.url("shop"), *data, "one.dump", **variables)
    url = f"postgres:///shop?host=127.0.0.1&port={postgres.port}&user=ada&password="
    manage(shop, url + quote(PASSWORD, safe=""), *data, "two.dump", **variables)

    engine.write_text(f"#!/bin/sh\n[ $2 = port ] && echo 0.0.0.0:{postgres.port} || exit 9\n")
    inside = manage(shop, postgres.url("shop"), *data, "three.dump", check=False, **variables)
    assert "status 9" in inside.stderr


def rows(postgres: Postgres) -> dict[str, Any]:
    """What the counter says, and the rows that were counted."""
    (line,) = postgres.query(
        "SELECT json_build_object('counted', count(*) FILTER (WHERE name LIKE 'counted%'),"
        " 'counter', (max(name) FILTER (WHERE name NOT LIKE 'counted%'))::int) FROM auth_group",
        "shop",
    )
    found: dict[str, Any] = json.loads(line)
    return found


def test_dbshell_opens_the_databases_own(shop: Path, postgres: Postgres, environment: Path) -> None:
    variables = server_environment(shop) | {"DATABASE_URL": postgres.url("shop")}
    done = subprocess.run(
        [environment / "bin" / "python", "manage.py", "dbshell"],
        cwd=shop, env=clean_environment() | variables | {"PATH": f"{postgres.programs}:/bin"},
        text=True, input="SELECT 6 * 7;\n", capture_output=True, check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert "42" in done.stdout


def test_make_says_in_one_line_what_to_set_or_uses_what_answers(
    shop: Path, tmp_path: Path, postgres: Postgres, environment: Path
) -> None:
    no_engine = tmp_path / "docker"
    no_engine.write_text("#!/bin/sh\nexit 1\n")
    no_engine.chmod(0o755)
    variables = clean_environment() | {
        "UV_PROJECT_ENVIRONMENT": str(environment),
        "UV_NO_SYNC": "1",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    make = ["make", f"UV={ROOT / '.venv/bin/uv'}", f"POSTGRES_PORT={free_port()}"]

    def run_make(target: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*make, target], cwd=shop, env=variables | more,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    for target in ("run", "test", "migrate"):
        done = run_make(target)
        assert done.returncode == 2
        said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
        (line,) = said
        assert "set DATABASE_URL=postgres://user:password@host:5432/name in .env" in line
    assert run_make("migrate", DATABASE_URL=postgres.url("shop")).returncode == 0
    assert "passed" in run_make("test", DATABASE_URL=postgres.url("shop")).stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_an_address_is_read_by_a_user_without_a_name(widest_project: Path, run: Run) -> None:
    """As in the image, whose user is a number."""
    code = (
        "import os; from data import postgres; os.setuid(10001);"
        " postgres.check_with_libpq({'OPTIONS': {}});"
        " postgres.check_with_libpq({'OPTIONS': {'sslmode': 'nosuch'}})"
    )
    done = run(widest_project, "python", "-B", "-c", code, check=False)
    assert "Its query has a value for sslmode that libpq refuses" in done.stderr
