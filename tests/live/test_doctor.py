"""`make doctor` finds what is wrong before anything starts, and says what to do, whatever is broken."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, Serve, bake_into, clean_environment
from tests.support.server import SECRET_KEY, free_port
from tests.support.services import PASSWORD, Postgres, Valkey

UV = ROOT / ".venv" / "bin" / "uv"

Doctor = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def doctor(environment: Path, tmp_path: Path) -> Doctor:
    """Runs it as `make doctor` does, with an engine that answers nothing unless a test says else."""

    def run_doctor(
        project: Path, *purpose: str, engine: str = "exit 1", **variables: str
    ) -> tuple[int, list[str]]:
        programs = tmp_path / "programs"
        programs.mkdir(exist_ok=True)
        (programs / "docker").write_text(f"#!/bin/sh\n{engine}\n")
        (programs / "docker").chmod(0o755)
        base = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "UV": str(UV),
            "HOME": str(tmp_path),
            "UV_PROJECT_ENVIRONMENT": str(environment),
            "PORT": str(free_port()),
        }
        done = subprocess.run(
            [sys.executable, "-I", "-S", "packages/serving-tools/src", "doctor", *purpose],
            cwd=project, env=base | variables, capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert SECRET_KEY not in said
        assert PASSWORD not in said
        lines = said.splitlines()
        assert all(line.startswith(("ok ", "warning ", "fatal ")) for line in lines), said
        assert done.returncode == int(any(line.startswith("fatal") for line in lines)), said
        return done.returncode, lines

    return run_doctor


def one(lines: list[str], subject: str) -> str:
    """The line about a subject, without the blanks between its columns."""
    found = [" ".join(line.split()) for line in lines if line[9:].startswith(f"{subject}:")]
    assert len(found) == 1, lines
    return found[0]


@pytest.fixture
def ready(project: Path) -> Path:
    """A project with a database and a .env."""
    write_env(project)
    return project


def write_env(project: Path, *lines: str) -> None:
    file = project / ".env"
    text = (project / ".env.example").read_text()
    text = text.replace("SECRET_KEY=\n", f"SECRET_KEY={SECRET_KEY}\n")
    text = text.replace("POSTGRES_PASSWORD=\n", "POSTGRES_PASSWORD=unused-here\n")
    names = {line.partition("=")[0] for line in lines}
    kept = [line for line in text.splitlines() if line.partition("=")[0] not in names]
    file.write_text("\n".join([*lines, *kept]) + "\n")
    file.chmod(0o600)


@pytest.mark.parametrize("purpose", ["setup", "dev", "run"])
def test_it_is_silent_where_all_is_well_and_needs_no_package(
    ready: Path, doctor: Doctor, purpose: str
) -> None:
    """The fixture runs it without site-packages."""
    assert doctor(ready, purpose) == (0, [])


def test_all_is_told_in_a_line_each(ready: Path, doctor: Doctor) -> None:
    port = str(free_port())
    status, lines = doctor(ready, engine=engine_with(), PORT=port)

    assert status == 0, lines
    assert one(lines, ".env").startswith("ok .env: 8 variables, read alike by make, manage.py, uv")
    assert one(lines, "variables") == "ok variables: SECRET_KEY are set"
    assert one(lines, "interpreter").startswith("ok interpreter: Python 3.")
    assert one(lines, "engine") == "ok engine: docker 26.1.5, Compose 2.26.1"
    assert one(lines, "Compose") == (
        f"ok Compose: nothing stands against `make up` as my-project, with the ports {port}"
    )
    assert not any("PORT" in line for line in lines), "one line is said once"
    assert one(doctor(ready)[1], "PORT").endswith("is free")
    assert "GB are free here" in one(lines, "disk")
    assert one(lines, "settings").startswith("ok settings: loaded")
    assert one(lines, "database default") == "ok database default: answers, and has every migration"
    assert "no proxy is believed" in one(lines, "proxy")


def breaks_nothing_else(project: Path) -> None:
    """For the table below: the project as it is."""


def replace_text(file: Path, text: str) -> None:
    file.write_text(text)


def raises(text: str) -> Callable[[Path], None]:
    def change(project: Path) -> None:
        with (project / "config" / "settings.py").open("a") as settings:
            settings.write(text)

    return change


def a_folder(project: Path) -> None:
    (project / ".env").unlink()
    (project / ".env").mkdir()


BROKEN: dict[str, tuple[Callable[[Path], None], dict[str, str], str, str]] = {
    "no .env": (
        lambda project: (project / ".env").unlink(), {},
        ".env", "fatal .env: is not there; `make .env` writes one",
    ),
    ".env is a folder": (a_folder, {}, ".env", "fatal .env: can't be read: Is a directory"),
    "a line": (
        lambda project: write_env(project, "ALLOWED_HOSTS=localhost, 127.0.0.1"), {},
        ".env", "ALLOWED_HOSTS has a space outside quotes; write ALLOWED_HOSTS='...'",
    ),
    "no secret": (
        lambda project: write_env(project, "SECRET_KEY="), {},
        "SECRET_KEY", "fatal SECRET_KEY: is not set; `make secret` prints one",
    ),
    "a short secret": (
        lambda project: write_env(project, "SECRET_KEY=hunter2"), {},
        "SECRET_KEY", "fatal SECRET_KEY: has 7 characters, 50 are the least",
    ),
    "no environment": (
        breaks_nothing_else, {"UV_PROJECT_ENVIRONMENT": "/nowhere"},
        "interpreter", "fatal interpreter: /nowhere is no environment; `make setup` makes it",
    ),
    "an import": (
        raises("import nosuch\n"), {},
        "settings", "fatal settings: ModuleNotFoundError: No module named 'nosuch' (config/settings.py, line",
    ),
    "a mistake of syntax": (raises("if\n"), {}, "settings", "fatal settings: SyntaxError: invalid syntax"),
    "an exit": (raises("raise SystemExit(3)\n"), {}, "settings", "fatal settings: they end the process: 3"),
    "a crash": (
        raises("import os\nos.kill(os.getpid(), 9)\n"), {},
        "Django", "fatal Django: the check ended with status -9; `make manage ARGS=check` shows why",
    ),
    "a secret in an error": (
        raises("raise ValueError(SECRET_KEY)\n"), {},
        "settings", "fatal settings: ValueError: ********",
    ),
    "an app": (
        raises("INSTALLED_APPS.append('nosuch')\n"), {},
        "settings", "fatal settings: ModuleNotFoundError: No module named 'nosuch'",
    ),
    "a value": (
        lambda project: write_env(project, "LIFESPAN=on"), {},
        "settings", "fatal settings: LIFESPAN='on': Must be one of: required, optional, disabled.",
    ),
    "a flag's line": (
        lambda project: replace_text(project / "config/granian.env", "A=b c\n"), {},
        "config/granian.env", "config/granian.env line 1: A has a space outside quotes",
    ),
    "a port": (breaks_nothing_else, {"PORT": "abc"}, "PORT", "fatal PORT: 'abc' is no port"),
    "a host": (
        breaks_nothing_else, {"HOST": "nosuch.invalid"},
        "PORT", "fatal PORT: nosuch.invalid:",
    ),
    "another machine's address": (
        breaks_nothing_else, {"HOST": "203.0.113.7"},
        "PORT", "Cannot assign requested address; correct HOST or PORT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_whatever_is_broken_is_one_line_without_a_traceback(
    ready: Path, doctor: Doctor, fault: str
) -> None:
    change, variables, subject, words = BROKEN[fault]
    change(ready)

    status, lines = doctor(ready, **variables)

    assert status == 1
    subject = next(line[9:].split(":")[0] for line in lines if line[9:].startswith(subject))
    assert words in one(lines, subject), lines


def test_a_slip_in_a_name_and_what_the_shell_overrides_are_told(
    ready: Path, doctor: Doctor
) -> None:
    write_env(ready, "ALOWED_HOSTS=tea.example", "STRIPE_KEY=x", "SERVING_THREADS=7")
    (ready / ".env").chmod(0o644)

    status, lines = doctor(ready, SERVING_THREADS="9")

    assert status == 0
    warned = [" ".join(line.split()) for line in lines if line[9:].startswith(".env")]
    assert "warning .env: nothing reads ALOWED_HOSTS; did you mean ALLOWED_HOSTS?" in warned
    assert "warning .env: SERVING_THREADS is set in the shell too, which wins" in warned
    assert "warning .env: others on this machine may read it; `chmod 600 .env`" in warned
    assert not any("STRIPE_KEY" in line for line in warned)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        yield port


def test_a_port_that_is_taken_is_told_with_who_listens(
    ready: Path, doctor: Doctor, listener: int
) -> None:
    status, lines = doctor(ready, "run", PORT=str(listener))

    assert status == 1
    (line,) = lines
    assert f"127.0.0.1:{listener} is taken by " in line
    assert f"(process {os.getpid()})" in line
    assert "stop it, or set `make run PORT=" in line
    status, lines = doctor(ready, PORT=str(listener))
    assert one(lines, "PORT").startswith("warning PORT: ")
    status, lines = doctor(
        ready, "run", GRANIAN_METRICS_ENABLED="true", GRANIAN_METRICS_PORT=str(listener)
    )
    # The next port is the worker's own, and may be taken as well.
    told = f"fatal GRANIAN_METRICS_PORT: 127.0.0.1:{listener} is taken by "
    assert any(" ".join(line.split()).startswith(told) for line in lines)


def test_another_server_of_any_kind_is_seen(ready: Path, doctor: Doctor, serve: Serve) -> None:
    """Granian lets others share its port, and IPv6 has a table of its own."""
    server = serve(ready, GRANIAN_HOST="0.0.0.0").ready()  # noqa: S104
    (line,) = doctor(ready, "run", PORT=str(server.port))[1]
    assert f"is taken by serving (process {server.process.pid})" in line, "and no worker of it"
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        (line,) = doctor(ready, "run", PORT=str(port), HOST="::1")[1]
        assert f"::1:{port} is taken by " in line
        assert f"(process {os.getpid()})" in line


def engine_with(*rows: tuple[str, str, str, int]) -> str:
    """An engine that has these containers: name, project, folder, and a port if it is not 0."""
    containers = [
        {
            "Name": f"/{name}",
            "State": {"Running": True},
            "Config": {
                "Labels": {
                    "com.docker.compose.project": project,
                    "com.docker.compose.project.working_dir": folder,
                }
            },
            "NetworkSettings": {"Ports": {"8000/tcp": [{"HostIp": "", "HostPort": str(port)}]}},
        }
        for name, project, folder, port in rows
    ]
    # "ports" as Compose gives them, of a service whose port is .env's or the shell's.
    web = '{"ports": [{"target": 8000, "published": "$PORT", "protocol": "tcp", "host_ip": "127.0.0.1"}]}'
    names = "\n".join(name for name, *_ in rows)
    return f"""case "$*" in
    "container ls --quiet --all") printf '{names}' ;;
    "container ls"*) ;;
    "volume ls"*) ;;
    "container inspect"*) cat <<'X'
{json.dumps(containers)}
X
    ;;
    "compose config"*) cat <<X
{{"name": "$COMPOSE_PROJECT_NAME", "services": {{"web": {web}}}}}
X
    ;;
    version*) echo 26.1.5 ;; "compose version"*) echo 2.26.1 ;; *) exit 1 ;; esac"""


def test_the_containers_of_another_checkout_stop_up(
    ready: Path, doctor: Doctor, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "compose.yaml").touch()
    engine = engine_with(("my-project-web-1", "my-project", str(other), 0))

    status, lines = doctor(ready, "up", engine=engine)

    assert status == 1
    said = one(lines, "Compose")
    assert f"the containers named my-project are those of {other}, and this is {ready}" in said
    assert "give this folder another name in .env, COMPOSE_PROJECT_NAME=my-project-2" in said
    assert len(lines) == 1, "one line is said once"
    assert one(doctor(ready, engine=engine)[1], "Compose").startswith("warning ")
    write_env(ready, "TAKE_OVER=true")
    assert doctor(ready, "up", engine=engine) == (0, []), "who says so takes them over"
    write_env(ready, "COMPOSE_PROJECT_NAME=tea")
    assert doctor(ready, "up", engine=engine) == (0, [])
    write_env(ready)
    own = engine_with(("my-project-web-1", "my-project", str(ready), 0))
    assert doctor(ready, "up", engine=own) == (0, [])
    shutil.rmtree(other)
    assert doctor(ready, "up", engine=engine) == (0, []), "the folder was moved"


def test_up_needs_an_engine_and_knows_its_own_containers(
    ready: Path, doctor: Doctor, listener: int
) -> None:
    status, lines = doctor(ready, "up", engine="exit 1")
    assert status == 1
    assert "fatal engine: docker does not answer" in one(lines, "engine")
    status, lines = doctor(ready, "up", ENGINE="nosuch")
    assert "fatal engine: nosuch is not installed" in one(lines, "engine")
    old = engine_with().replace("26.1.5", "20.10.1")
    assert "is too old" in one(doctor(ready, "up", engine=old)[1], "engine")
    broken = engine_with().replace('"compose config"', '"nothing"')
    assert one(doctor(ready, "up", engine=broken)[1], "Compose").startswith(
        "warning Compose: can't be asked: "
    )

    mine = engine_with(("my-project-web-1", "my-project", str(ready), listener))
    assert doctor(ready, "up", engine=mine, PORT=str(listener)) == (0, [])
    status, lines = doctor(ready, "run", engine=mine, PORT=str(listener))
    assert f"is taken by container my-project-web-1 of {ready};" in one(lines, "PORT")
    other = engine_with(("shop-web-1", "shop", "/srv/shop", listener))
    status, (line,) = doctor(ready, "up", engine=other, PORT=str(listener))
    assert status == 1
    assert (
        f"port {listener} of web is taken by container shop-web-1 of /srv/shop: set PORT in .env"
        in line
    )
    status, (line,) = doctor(ready, "up", engine=engine_with(), PORT=str(listener))
    assert status == 1
    assert f"(process {os.getpid()}): set PORT in .env" in line


@pytest.fixture(scope="module")
def postgres_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake_into(tmp_path_factory.mktemp("doctor"), database="postgres", cache="valkey")


@pytest.fixture
def shop(postgres_project: Path, tmp_path: Path) -> Path:
    return shutil.copytree(postgres_project, tmp_path / "shop")


def test_a_database_is_asked_as_the_server_would(
    shop: Path, doctor: Doctor, run: Run, postgres: Postgres, valkey: Valkey
) -> None:
    postgres.query("CREATE DATABASE doctor")
    try:
        url, cache = postgres.url("doctor"), f"CACHE_URL={valkey.url}"
        write_env(shop, f"DATABASE_URL='{url}'", cache)
        assert "migrations are missing; `make migrate`" in one(doctor(shop)[1], "database default")
        run(shop, "python", "manage.py", "migrate", "-v", "0")
        status, lines = doctor(shop)
        assert status == 0, lines
        assert one(lines, "database default").startswith("ok ")
        assert one(lines, "cache") == "ok cache: answers, and takes a write"

        write_env(shop, f"DATABASE_URL='{postgres.url('doctor', password='hunter2')}'", cache)
        status, lines = doctor(shop)
        assert status == 1
        said = one(lines, "database default")
        assert f"postgres (process {postgres.process.pid if postgres.process else 0})" in said
        assert "refuses the user or the password" in said
        assert (
            "Compose publishes nothing there, so it is another's server; set POSTGRES_PORT" in said
        )
        assert "hunter2" not in said

        write_env(shop, f"DATABASE_URL='{postgres.url('nosuch')}'", cache)
        said = one(doctor(shop)[1], "database default")
        assert "no such database" in said
        assert f"listens on 127.0.0.1:{postgres.port}: this project's Compose publishes" in said
        write_env(shop, f"DATABASE_URL=postgres://ada:x@127.0.0.1:{free_port()}/x", cache)
        assert "`make services` starts" in one(doctor(shop)[1], "database default")

        statement = "INSERT INTO django_migrations (app, name, applied) VALUES ('tea', '1', now())"
        postgres.query(statement, "doctor")
        write_env(shop, f"DATABASE_URL='{url}'", cache)
        assert "migrations of tea, which is no app here" in one(doctor(shop)[1], "database default")
    finally:
        postgres.query("DROP DATABASE doctor WITH (FORCE)")


def test_a_cache_that_takes_no_write_is_told(shop: Path, doctor: Doctor, valkey: Valkey) -> None:
    valkey.ask("CONFIG SET maxmemory 1")
    write_env(
        shop, f"DATABASE_URL=postgres://a@127.0.0.1:{free_port()}/a", f"CACHE_URL={valkey.url}"
    )
    said = one(doctor(shop)[1], "cache")
    assert said.startswith("warning cache: it takes no write: OutOfMemoryError")
    valkey.stop()
    assert "it takes no write: ConnectionError" in one(doctor(shop)[1], "cache")


@pytest.mark.parametrize(
    ("proxies", "words"),
    [
        ("10.0.0.0/8", "ok proxy: a request by 10.0.0.1 with X-Forwarded-For: 203.0.113.7"),
        ("127.0.0.1,::1", "is seen as https from 203.0.113.7"),
        ("::1", "ok proxy: a request by ::1 with"),
        ("unix", "ok proxy: a request by the server's unix socket with X-Forwarded-For"),
        ("unix,127.0.0.1", "ok proxy: a request by 127.0.0.1 with"),
        ("", "warning proxy: no proxy is believed"),
    ],
)
def test_what_is_believed_of_a_proxy_is_tried(
    ready: Path, doctor: Doctor, proxies: str, words: str
) -> None:
    write_env(ready, "SECURE_SSL_REDIRECT=true", f"TRUSTED_PROXIES={proxies}")
    if not proxies:
        write_env(ready, "SECURE_SSL_REDIRECT=true")
    status, lines = doctor(ready)
    assert status == 0
    said = one(lines, "proxy")
    assert words in said
    assert ("redirected to https endlessly" in said) == (not proxies)


def test_a_network_of_everyone_is_told(ready: Path, doctor: Doctor) -> None:
    write_env(ready, "TRUSTED_PROXIES=0.0.0.0/0")
    assert any("anyone is believed, 198.51.100.9 too" in line for line in doctor(ready)[1])


@pytest.mark.parametrize("target", ["run", "dev", "setup", "up"])
def test_targets_run_their_part_before_anything_starts(
    ready: Path, environment: Path, tmp_path: Path, listener: int, target: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/called\nexit 1\n')
    (programs / "docker").chmod(0o755)
    if target == "setup":  # it takes no port; so .env is broken
        write_env(ready, "ALLOWED_HOSTS=a, b")
    done = subprocess.run(
        ["make", "--no-print-directory", f"UV={UV}", target, f"PORT={listener}"],
        cwd=ready, capture_output=True, text=True, check=False,
        env=clean_environment()
        | {"PATH": f"{programs}:{os.environ['PATH']}", "UV_NO_SYNC": "1"}
        | {"UV_PROJECT_ENVIRONMENT": str(environment)},
    )  # fmt: skip
    assert done.returncode != 0
    assert "fatal " in done.stderr
    called = tmp_path / "called"
    assert "run" not in (called.read_text().split() if called.exists() else [])
    assert not (ready / "staticfiles.new").exists()
    assert "granian" not in done.stdout, "the server was not started"
