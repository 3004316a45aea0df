"""The generated projects that are measured, in one environment with every server."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import Site
from tests.conftest import BUILD, ROOT, clean_environment, renew_packages
from tests.support.services import Postgres, running

FOLDER = BUILD / "bench"
UV = ROOT / ".venv" / "bin" / "uv"


def environment() -> Path:
    """The virtual environment of all projects and servers, kept while nothing that it is made of changes."""
    venv = FOLDER / "environment"
    project = FOLDER / "packages"
    stamp = venv / "made-of"
    FOLDER.mkdir(parents=True, exist_ok=True)
    new = bake(FOLDER / "new", "postgres")
    files = [new / "pyproject.toml", *sorted(new.glob("packages/*/pyproject.toml"))]
    made_of = b"".join(file.read_bytes() for file in [*files, ROOT / "pyproject.toml"])
    made_of += sys.version.encode()
    if not (stamp.exists() and stamp.read_bytes() == made_of):
        shutil.rmtree(venv, ignore_errors=True)
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(new, project)
        sync: list[str | Path] = [
            UV,
            *"sync --quiet --compile-bytecode --no-install-workspace".split(),
        ]
        variables = clean_environment() | {"UV_PROJECT_ENVIRONMENT": str(venv)}
        subprocess.run(sync, cwd=project, env=variables, check=True)
        install: list[str | Path] = [
            UV,
            *"pip install --quiet --compile-bytecode --python".split(),
            venv,
        ]
        subprocess.run(
            [*install, "--group", f"{ROOT}/pyproject.toml:servers"],
            env=clean_environment(), check=True,
        )  # fmt: skip
        stamp.write_bytes(made_of)
    renew_packages(project)
    shutil.rmtree(FOLDER / "new")
    return venv


def bake(folder: Path, database: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run(
        [Path(sys.executable).with_name("cookiecutter"), ROOT, "--no-input", f"database={database}"],
        cwd=folder, env=clean_environment() | {"HOME": str(folder)},
        stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return folder / "my-project"


@contextmanager
def site(database: str, venv: Path, cores: str) -> Iterator[Site]:
    """A new project with its database, which has one of its own for as long as the block runs.

    PostgreSQL runs on `cores`, which are the load's.
    """
    project = bake(FOLDER / database, database)
    shutil.copytree(Path(__file__).with_name("site"), project / "bench")
    if database == "sqlite":
        yield prepare(project, venv, f"sqlite:///{project}/bench.sqlite3")
        return
    with running(Postgres()) as postgres:
        assert postgres.process
        pin = ["taskset", "-a", "-p", "-c", cores, str(postgres.process.pid)]
        subprocess.run(pin, check=True, capture_output=True)  # what it starts inherits this
        # Not the superuser, for whom some connections are kept when there are no more.
        postgres.query("CREATE ROLE bench LOGIN PASSWORD 'bench'")
        postgres.query("CREATE DATABASE bench OWNER bench")
        yield prepare(project, venv, postgres.url("bench", user="bench", password="bench"))


def prepare(project: Path, venv: Path, url: str) -> Site:
    """Makes tables and rows, and collects static files."""
    made = Site(project, venv, {"DATABASE_URL": url}, "", "")
    shown = ""
    for command in ("migrate --run-syncdb", "collectstatic --noinput", "bench_prepare"):
        done = subprocess.run(
            [venv / "bin" / "python", "manage.py", *command.split(), "--verbosity=0"],
            cwd=project, env=made.environ("ours"), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"manage.py {command} failed: {done.stderr}")
        shown = done.stdout
    found = json.loads(shown.splitlines()[-1])
    return Site(project, venv, made.variables, found["session"], found["static"])
