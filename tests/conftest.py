"""What the template's tests share: projects, one environment for all of them, live servers."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cookiecutter import hooks
from cookiecutter.main import cookiecutter
from filelock import FileLock

from tests.support import in_process
from tests.support.server import Server, server_environment
from tests.support.services import Postgres, Valkey, running
from tests.support.sites import put_site

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
TEMPLATE = ROOT / "{{cookiecutter.project_slug}}"

# A background job of a shell ignores SIGINT, and one of nohup SIGHUP. So would all that the tests start, to the last
# server that they interrupt: what is ignored is inherited, and a handler that does nothing is not.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda number, frame: None)

Bake = Callable[..., Path]

# What projects run on in these tests: the Python that runs the tests, or another (`make test-pythons`).
INTERPRETER = os.environ.get("PROJECT_PYTHON", sys.executable)

# The answers that ask for the most packages.
WIDEST: Mapping[str, str] = {
    "database": "postgres",
    "cache": "valkey",
    "tasks": "database",
    "telemetry": "opentelemetry",
}

# `make test-slow`: what few edits can break and takes most of the time. What needs a service; faults of
# processes, clients, services and libraries, each against servers of its own; an owner's longer errands;
# installing the packages; updates from older layouts.
SLOW = frozenset(
    f"test_{name}.py"
    for name in """
      addresses bodies celery ci_steps connections conversation demo deploy_faults development documented
      doors foreign_servers garbage healthcheck libraries lifespan_faults logins mail make moving new_app
      numbers object_store orm other_servers own_warnings package pgbouncer plan postgres process readme recipes
      restore secret_files snippets sqlite strangers streams tasks telemetry troubleshooting updates upgrade
      uploads valkey valkey_refuses
    """.split()
)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: much of a test is waiting for the servers that it started."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of these modules."""
    for item in items:
        if item.path.name in SLOW:
            item.add_marker("slow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Fails each test that would be skipped, where SKIPS_FAIL is set: there nothing may be missing."""
    report = yield
    if report.skipped and call.excinfo and "SKIPS_FAIL" in os.environ:
        report.outcome, report.longrepr = "failed", f"would be skipped: {call.excinfo.value}"
    return report


def questions() -> dict[str, Any]:
    """The questions of cookiecutter.json, with their defaults."""
    answers = json.loads((ROOT / "cookiecutter.json").read_bytes())
    return {key: value for key, value in answers.items() if not key.startswith("_")}


def bake_into(folder: Path, **answers: Any) -> Path:
    """Generates a project into a folder. An answer to no question is a mistake of the test."""
    unknown = answers.keys() - questions().keys()
    assert not unknown, f"no such question: {unknown}"
    own = folder / ".cookiecutter"  # no slug starts with a dot
    own.mkdir(exist_ok=True)
    config = own / "config.yaml"
    config.write_text(f"cookiecutters_dir: {own / 'clones'}\nreplay_dir: {own / 'replay'}\n")
    made = cookiecutter(
        str(ROOT),
        no_input=True,
        extra_context=answers,
        output_dir=str(folder),
        config_file=str(config),
    )
    return Path(made)


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    """Generates a project: `bake(workers="2")` gives its folder."""
    return lambda **answers: bake_into(tmp_path, **answers)


@pytest.fixture
def fast_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks run in this process. tests/template/test_hooks.py runs them as cookiecutter does."""
    monkeypatch.setattr(hooks, "run_script", in_process.run_script)


@pytest.fixture(scope="session")
def default_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that the defaults give, exactly as generated: tests must not write into it."""
    return bake_into(tmp_path_factory.mktemp("default"))


@pytest.fixture(scope="session")
def widest_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that asks for the most packages; tests must not write into it."""
    return bake_into(tmp_path_factory.mktemp("widest"), **WIDEST)


@pytest.fixture(scope="session")
def kubernetes_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The widest project, with its manifests; tests must not write into it."""
    return bake_into(tmp_path_factory.mktemp("kubernetes"), **WIDEST, kubernetes=True)


@pytest.fixture(scope="session")
def environment(widest_project: Path) -> Path:
    """One virtual environment with what every generated project needs, kept between runs."""
    return shared_environment(widest_project)


def shared_environment(widest_project: Path) -> Path:
    """Such an environment, with the packages of this project."""
    # Every event loop that the questions offer.
    loops = [loop for loop in questions()["event_loop"] if loop != "asyncio"]
    other = f"-{Path(INTERPRETER).resolve().name}" if sys.executable != INTERPRETER else ""
    return made_environment(f"environment{other}", widest_project, "inside", *loops)


@pytest.fixture(scope="session")
def libraries(widest_project: Path) -> Path:
    """Another, with the error trackers and tracers of tests/live/test_libraries.py."""
    return made_environment("libraries", widest_project, "libraries")


@pytest.fixture(scope="session")
def store_environment(widest_project: Path) -> Path:
    """Another, with an object store and the client for it."""
    return made_environment("store", widest_project, "store")


def made_environment(name: str, widest_project: Path, group: str, *more: str) -> Path:
    """An environment in build/: a project's packages, a group of the template's, and more."""
    venv = BUILD / name
    BUILD.mkdir(exist_ok=True)
    with FileLock(BUILD / f"{name}.lock"):
        stamp = venv / "pyproject.toml"
        own = ROOT / "pyproject.toml"
        theirs = [widest_project, *sorted(widest_project.glob("packages/*"))]
        files = [*(folder / "pyproject.toml" for folder in theirs), own]
        wanted = b"".join(
            [sys.version.encode(), INTERPRETER.encode(), *(file.read_bytes() for file in files)]
        )
        if not (stamp.exists() and stamp.read_bytes() == wanted):
            shutil.rmtree(venv, ignore_errors=True)
            project = BUILD / f"{name}-project"
            shutil.rmtree(project, ignore_errors=True)
            shutil.copytree(widest_project, project)
            uv = ROOT / ".venv" / "bin" / "uv"
            env = clean_environment() | {"UV_PROJECT_ENVIRONMENT": str(venv)}
            subprocess.run(
                [uv, *"sync --quiet --compile-bytecode --no-install-workspace".split()],
                cwd=project,
                env=env,
                check=True,
            )
            install: list[str | Path] = [uv, *"pip install --quiet --compile-bytecode".split()]
            install += ["--python", venv, "--group", f"{own}:{group}", *more]
            subprocess.run(install, env=clean_environment(), check=True)
            # For what takes no PYTHONPATH: a copy, since Python writes bytecode beside what it imports.
            (site,) = venv.glob("lib/*/site-packages")
            (site / "packages.pth").write_text("\n".join(map(str, package_sources(project))))
            stamp.write_bytes(wanted)
        renew_packages(BUILD / f"{name}-project")
    return venv


def renew_packages(project: Path) -> None:
    """Brings a project's own packages up to date with the template's, where they differ."""
    for new, old in zip(package_sources(TEMPLATE), package_sources(project), strict=True):
        for path in [
            path for path in old.rglob("*.py") if not (new / path.relative_to(old)).exists()
        ]:
            path.unlink()
        for path in new.rglob("*"):
            kept = old / path.relative_to(new)
            if path.is_file() and not (kept.is_file() and kept.read_bytes() == path.read_bytes()):
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, kept)


def package_sources(project: Path) -> list[Path]:
    """The folders that a project's own packages are imported from."""
    return [project / "packages" / name / "src" for name in ("django-serving", "serving-tools")]


def with_packages(project: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, and that which has Python import the packages that a project brings."""
    own = ":".join(map(str, package_sources(project)))
    return {"PYTHONPATH": own, **variables}


def clean_environment() -> dict[str, str]:
    """This process's variables, less what points at the template's own environment, and pytest's options.

    uv takes INTERPRETER, whatever a project's .python-version says: the machine may have no other.
    """
    unwanted = (
        "VIRTUAL_ENV", "PYTHONPATH", "PYTEST_ADDOPTS", "DJANGO_", "GRANIAN_", "UV_", "MAKE", "MFLAGS",
    )  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | {"UV_PYTHON": INTERPRETER}


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run(environment: Path) -> Run:
    """Runs a program of the shared environment: `run(project, "ruff", "check")`."""

    def run_program(
        project: Path, program: str, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [environment / "bin" / program, *arguments],
            cwd=project,
            env=with_packages(project, clean_environment() | variables),
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done

    return run_program


def bake_site(folder: Path, run: Run, site: str, **answers: Any) -> Path:
    """A project that is ready to be served with the views of tests/sites/<site>.py."""
    project = bake_into(folder, **answers)
    put_site(project, site)
    variables = server_environment(project)
    run(project, "python", "manage.py", "collectstatic", "--noinput", "-v", "0", **variables)
    return project


def add_ada(project: Path, run: Run) -> None:
    """Migrates a project's SQLite database, and makes a user "ada" in it."""
    variables = server_environment(project) | {"DJANGO_SUPERUSER_PASSWORD": "open sesame"}
    run(project, "python", "manage.py", "migrate", "--verbosity", "0", **variables)
    user = ("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com")
    run(project, "python", "manage.py", *user, **variables)


@pytest.fixture(scope="session")
def prepared_project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project with its database and static files, to be copied."""
    folder = bake_into(tmp_path_factory.mktemp("prepared"))
    variables = server_environment(folder)
    run(folder, "python", "manage.py", "migrate", "--verbosity", "0", **variables)
    run(folder, "python", "manage.py", "collectstatic", "--noinput", "-v", "0", **variables)
    return folder


@pytest.fixture
def project(tmp_path: Path, prepared_project: Path) -> Path:
    """A project of this test's own, ready to be served."""
    return shutil.copytree(prepared_project, tmp_path / "project")


@pytest.fixture
def turn_to_measure() -> Iterator[None]:
    """Benchmarks refuse to run beside others, so tests of them take turns."""
    BUILD.mkdir(exist_ok=True)
    with FileLock(BUILD / "turn-to-measure.lock"):
        yield


Serve = Callable[..., Server]


@pytest.fixture
def serve(environment: Path) -> Iterator[Serve]:
    """Starts a project's server on a free port: `serve(project, LIFESPAN="optional")`."""
    servers: list[Server] = []

    def start(
        folder: Path,
        command: str | None = None,
        output: int | None = None,
        port: int | None = None,
        **variables: str,
    ) -> Server:
        options = {"command": command} if command else {}
        server = Server(
            environment / "bin",
            folder,
            with_packages(folder, clean_environment()),
            variables,
            output=output,
            port=port,
            **options,
        )
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def serve_by_script(serve: Serve, environment: Path) -> Serve:
    """Starts a server through a shell script, whose "$@" are the server's arguments."""

    def start(project: Path, script: str, **variables: str) -> Server:
        program = project.parent / "serve.sh"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        path = f"{environment / 'bin'}:{os.environ['PATH']}"
        command = f"{program} --port {{port}} config.asgi:application"
        return serve(project, command, PATH=path, **variables)

    return start


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for every test that leaves it as it was, but for databases of its own."""
    with running(Postgres()) as service:
        yield service


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A Valkey server of this test's own."""
    with running(Valkey()) as service:
        yield service
