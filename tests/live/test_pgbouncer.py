"""A project behind a real PgBouncer, whose one variable is DATABASE_POOLER."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import Run, Serve, bake_site
from tests.support.server import PATIENCE, server_environment
from tests.support.services import PASSWORD, PgBouncer, Postgres, running
from tests.support.sites import program


@pytest.fixture(scope="session")
def pooled_project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project whose answers are PostgreSQL; to be copied."""
    return bake_site(tmp_path_factory.mktemp("pooled"), run, "pooled", database="postgres")


@pytest.fixture
def shop(postgres: Postgres) -> Iterator[str]:
    """The name of an empty database."""
    postgres.query("CREATE DATABASE shop")
    yield "shop"
    postgres.query("DROP DATABASE shop WITH (FORCE)")


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_one_variable_makes_everything_right(
    pooled_project: Path,
    tmp_path: Path,
    run: Run,
    serve: Serve,
    postgres: Postgres,
    shop: str,
    mode: str,
) -> None:
    project = shutil.copytree(pooled_project, tmp_path / "project")
    # In session mode a connection to the server is a client's as long as that is there.
    pool = 5 if mode == "transaction" else 60
    with running(PgBouncer(postgres, mode=mode, pool=pool)) as pooler:
        variables = {
            "DATABASE_URL": pooler.url(shop),
            "DATABASE_POOLER": mode,
        }
        manage = ("python", "manage.py")
        environment = server_environment(project) | variables
        run(project, *manage, "migrate", "--verbosity", "0", **environment)
        run(project, *manage, "migrate", "--check", **environment)
        make = program("make_groups")
        run(project, *manage, "shell", "--no-imports", "-c", make, **environment)
        server = serve(project, **variables).ready()
        assert server.get("/readyz").json() == {"status": "ok"}

        def get(path: str) -> tuple[int, str]:
            answer = httpx.get(server.address + path, timeout=PATIENCE)
            return answer.status_code, answer.text

        with ThreadPoolExecutor(40) as browsers:
            paths = ["/iterate", "/iterate-async", "/add", "/slow", "/readyz"] * 50
            answers = dict.fromkeys(browsers.map(get, paths))
        # A machine whose cores are busy may not answer a probe in the time that it gives the database.
        wrong = [
            answer for answer in answers if answer[0] != 200 and "no answer in" not in answer[1]
        ]
        assert wrong == [], server.log
        assert get("/readyz")[0] == 200
        assert {text for _, text in answers if len(text) == 2} == {"51"}
        assert get("/add") == (200, "count000051"), "no transaction lost another's update"
        names = postgres.query(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop'"
            " AND application_name LIKE 'my-project-%'"
        )
        assert int(names[0]) > 0, "the server sees who asks"
        assert "ERROR" not in server.log
        (warning,) = server.messages("data.connections")
        assert "ALTER ROLE ada SET statement_timeout = '30s'" in warning
        assert server.stop() == 0


def test_limits_of_the_role_are_kept(
    pooled_project: Path, tmp_path: Path, run: Run, serve: Serve, postgres: Postgres, shop: str
) -> None:
    """What the warning says, done."""
    project = shutil.copytree(pooled_project, tmp_path / "project")
    postgres.query("ALTER ROLE ada IN DATABASE shop SET statement_timeout = '30s'")
    with running(PgBouncer(postgres, mode="transaction")) as pooler:
        variables = {
            "DATABASE_URL": pooler.url(shop),
            "DATABASE_POOLER": "transaction",
            "LOG_LEVELS": "serving=debug",
        }
        environment = server_environment(project) | variables
        shell = ("manage.py", "shell", "--no-imports", "-c", program("show_timeout"))
        assert run(project, "python", *shell, **environment).stdout == "('30s',)\n"
        server = serve(project, **variables).ready()
        server.get("/readyz")
        assert server.messages("data.connections") == []


def test_without_the_variable_it_is_named(
    pooled_project: Path, tmp_path: Path, run: Run, serve: Serve, postgres: Postgres, shop: str
) -> None:
    project = shutil.copytree(pooled_project, tmp_path / "project")
    with running(PgBouncer(postgres, mode="transaction", clients=3)) as pooler:
        variables = {"DATABASE_URL": pooler.url(shop)}
        environment = server_environment(project) | variables
        migrate = ("python", "manage.py", "migrate")
        refused = run(project, *migrate, check=False, **environment)
        (line,) = refused.stderr.splitlines()
        assert "DATABASE_POOLER=transaction" in line
        server = serve(project, **variables).ready()
        problem = server.get("/readyz").json()["problems"]["database"]
        assert "DATABASE_POOLER=transaction" in problem

        # It takes the connection where no limit is asked for; then the start says it.
        server = serve(project, **variables, DATABASE_STATEMENT_TIMEOUT="0").ready()
        server.wait_for_log("DATABASE_URL leads to a pooler: set DATABASE_POOLER")
        server.stop()


def test_backups_are_refused_that_would_change_others_sessions(
    pooled_project: Path, tmp_path: Path, run: Run, postgres: Postgres, shop: str
) -> None:
    project = shutil.copytree(pooled_project, tmp_path / "project")
    programs = {"PATH": f"{postgres.programs}:/usr/bin:/bin", "ENGINE": "no-engine"}
    with running(PgBouncer(postgres, mode="transaction", pool=1)) as pooler:
        variables = {"DATABASE_URL": pooler.url(shop), "DATABASE_POOLER": "transaction"}
        environment = server_environment(project) | variables | programs
        run(project, "python", "manage.py", "migrate", "--verbosity", "0", **environment)
        data = ("python", "manage.py")
        for command in (["backup", "saved.dump"], ["restore", "saved.dump"]):
            refused = run(project, *data, *command, check=False, **environment)
            assert refused.returncode == 1
            (line,) = refused.stderr.splitlines()
            assert "DATABASE_POOLER=none DATABASE_URL=postgres://user:password@host" in line
            assert PASSWORD not in line
        direct = environment | {"DATABASE_URL": postgres.url(shop), "DATABASE_POOLER": "none"}
        run(project, *data, "backup", "saved.dump", **direct)
        run(project, *data, "restore", "saved.dump", **direct)
        run(project, "python", "manage.py", "migrate", "--check", **environment)
