"""Secrets from files: settings read them, the log hides them, and Compose gives no other to a container."""

import ast
import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from tests.conftest import Bake, Run, Serve
from tests.support.containers import Compose, composed, docker, locked_project, require_engine
from tests.support.packages import TOOLS
from tests.support.server import SECRET_KEY
from tests.support.sites import put_site

KEY = "file-" + "0123456789abcdef" * 4
SHOW = (
    "import json; from config import settings as s; print(json.dumps([s.SECRET_KEY, s.DATABASES]))"
)


def load_settings(run: Run, project: Path, variables: Mapping[str, str]) -> tuple[int, str]:
    """What the settings hold or say, and the status of a process that imports them."""
    done = run(
        project, "python", "-B", "-c", SHOW.replace("s.DATABASES", "1"), check=False, **variables
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\n\n"])
def test_a_secret_is_read_from_the_file_that_is_named(
    default_project: Path, run: Run, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / "key"
    file.write_bytes(f" {KEY} {ending}".encode())

    status, said = load_settings(run, default_project, {"SECRET_KEY_FILE": str(file)})

    assert status == 0, said
    assert json.loads(said)[0] == f" {KEY} ", "no more than the line break is taken off"


def test_what_is_wrong_with_a_file_is_said_beside_the_other_problems(
    default_project: Path, run: Run, tmp_path: Path
) -> None:
    files = {
        "missing": (None, "can't be read: No such file or directory."),
        "folder": ("", "can't be read: Is a directory."),
        "empty": (b"\n", "is empty."),
        "binary": (b"hunter2\xff\xfe", "does not hold text in UTF-8."),
        "nul": (b"hunter2\0", "does not hold text."),
    }
    for name, (content, problem) in files.items():
        file = tmp_path / name
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif content is not None:
            file.mkdir()
        status, said = load_settings(
            run, default_project, {"SECRET_KEY_FILE": str(file), "LIFESPAN": "on"}
        )
        assert status == 1
        assert f"  SECRET_KEY: SECRET_KEY_FILE={file} {problem}\n" in said
        assert "LIFESPAN='on': Must be one of" in said, "all of it at once"
        assert "hunter2" not in said

    file.write_text(KEY)
    both = {"SECRET_KEY_FILE": str(file), "SECRET_KEY": "hunter2" * 9}
    status, said = load_settings(run, default_project, both)
    assert status == 1
    assert f"SECRET_KEY: SECRET_KEY_FILE={file} is set as well; keep one of the two." in said
    assert "hunter2" not in said
    assert KEY not in said
    assert load_settings(run, default_project, both | {"SECRET_KEY": ""})[0] == 0


def test_a_short_secret_in_a_file_is_refused_without_being_shown(
    default_project: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("hunter2")
    status, said = load_settings(run, default_project, {"SECRET_KEY_FILE": str(tmp_path / "key")})

    assert status == 1
    assert "SECRET_KEY: Shorter than minimum length 50" in said
    assert "hunter2" not in said


def test_a_databases_address_and_its_password_come_from_files(
    widest_project: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("postgres://ada@db/shop\n")
    (tmp_path / "password").write_text("sesame/open:@%\n")
    (tmp_path / "cache").write_text("redis://:hunter2@cache/0\n")
    variables = {
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL_FILE": str(tmp_path / "url"),
        "DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
        "CACHE_URL_FILE": str(tmp_path / "cache"),
    }
    done = run(widest_project, "python", "-B", "-c", SHOW, **variables)

    database = json.loads(done.stdout)[1]["default"]
    assert (database["USER"], database["HOST"]) == ("ada", "db")
    assert database["PASSWORD"] == "sesame/open:@%", "as it is: nothing is quoted as in a URL"
    (tmp_path / "url").write_text("postgres://ada:own@db/shop\n")
    done = run(widest_project, "python", "-B", "-c", SHOW, **variables)
    assert json.loads(done.stdout)[1]["default"]["PASSWORD"] == "own", (
        "an address has the last word"
    )


def test_a_server_hides_what_came_from_files_and_its_environment_holds_paths(
    project: Path, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "mail").write_text("hunter2hunter2\n")
    put_site(project, "leak")
    server = serve(
        project,
        SECRET_KEY="",
        SECRET_KEY_FILE=str(tmp_path / "key"),
        MAIL_PASSWORD_FILE=str(tmp_path / "mail"),
        GRANIAN_LOG_LEVEL="debug",
    ).ready()

    assert server.get("/leak", params={"key": KEY}).status_code == 500
    server.wait_for_log("RuntimeError")
    assert server.stop() == 0
    assert KEY not in server.log
    assert "hunter2" not in server.log
    assert "********" in server.log
    assert str(tmp_path / "mail") not in server.log or "/mail" in server.log


def compose_variables(project: Path) -> dict[str, object]:
    """What compose.yaml gives the server's container."""
    loaded = yaml.safe_load((project / "compose.yaml").read_text())
    variables: dict[str, object] = loaded["services"]["web"]["environment"]
    return variables


def test_compose_names_every_variable_that_a_deployment_may_set(
    default_project: Path, widest_project: Path, bake: Bake
) -> None:
    """One that the settings learn to read later is noticed here."""
    left_out = {
        "DEBUG",  # error pages with code and settings: `make watch` alone passes it on
        "SECRET_KEY",
        "DATABASE_PASSWORD",
        "EMAIL_URL",
        "STORAGE_URL",
        "MEDIA_ROOT",  # the image has a folder for it, and a machine's own is not in a container
        "SENTRY_DSN",
        "OTEL_EXPORTER_OTLP_HEADERS",  # from files
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",  # traces are all that is sent: the other will do
        "RELEASE",  # the image has it
    }
    for project in (default_project, widest_project, bake(telemetry="sentry")):
        settings = (project / "config" / "settings.py").read_text()
        read = set(re.findall(r'\benv\.\w+\(\s*"(\w+)"', settings))
        (helper,) = project.glob("packages/*/src/serving_tools/environment.py")
        read |= set(re.findall(r'\bself\.\w+\("([A-Z_]+)"', helper.read_text()))
        assert {"SECRET_KEY", "ALLOWED_HOSTS", "LOG_LEVELS"} <= read, "the test finds them"
        flags = set(dotenv_values(project / "config" / "granian.env"))
        given = compose_variables(project)
        assert (read | flags) - left_out <= given.keys()
        assert not left_out & given.keys()
        values = {name: value for name, value in given.items() if value is not None}
        assert values.keys() <= {
            "SECRET_KEY_FILE", "DATABASE_URL", "DATABASE_PASSWORD_FILE", "CACHE_URL", "EMAIL_URL_FILE",
            "STORAGE_URL_FILE", "SENTRY_DSN_FILE", "OTEL_EXPORTER_OTLP_HEADERS_FILE",
            "DATABASE_MAX_CONNECTIONS", "MAX_BODY_SIZE", "WEB_REPLICAS",
        }  # fmt: skip


def test_secrets_are_written_for_compose_alone(bake: Bake, run: Run) -> None:
    project = bake(database="postgres")
    folder = project / ".secrets"
    write = ("-I", str(TOOLS), "secret_files", ".secrets", "SECRET_KEY", "POSTGRES_PASSWORD")
    values = {"SECRET_KEY": KEY, "POSTGRES_PASSWORD": "a $b'c"}

    run(project, "python", *write, **values)

    assert (folder / "secret_key").read_text() == KEY
    assert (folder / "postgres_password").read_text() == "a $b'c"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "secret_key").stat().st_mode & 0o777 == 0o444
    assert "/.secrets/" in (project / ".gitignore").read_text()
    changed = (folder / "changed.env").read_text()
    run(project, "python", *write, **values)
    assert (folder / "changed.env").read_text() == changed, "so no container is replaced"
    run(project, "python", *write, **values | {"POSTGRES_PASSWORD": "new"})
    assert (folder / "changed.env").read_text() != changed

    refused = run(project, "python", *write, check=False, SECRET_KEY=KEY)
    assert refused.stderr.splitlines() == [
        "secrets: POSTGRES_PASSWORD: not set; set it in .env (`make secret` prints one)"
    ]
    # Compose would refuse to start anything, were the file missing.
    optional = ("--optional", "EMAIL_URL")
    run(project, "python", *write, *optional, **values)
    assert (folder / "email_url").read_bytes() == b""
    changed = (folder / "changed.env").read_text()
    run(project, "python", *write, *optional, **values, EMAIL_URL="smtp://mail.example")
    assert (folder / "email_url").read_text() == "smtp://mail.example"
    assert (folder / "changed.env").read_text() != changed
    own = project.parent / "own"
    refused = run(project, "python", *write, check=False, **values, SECRET_KEY_FILE=str(own))
    assert refused.returncode == 1
    assert "is set as well" in refused.stderr


def test_a_secret_that_has_changed_is_noticed_whatever_its_files_time(
    bake: Bake, run: Run, tmp_path: Path
) -> None:
    """By its value alone: `mv`, `cp -p` and rsync keep a time, and an old one may be put back."""
    project = bake()
    own, folder = tmp_path / "own", project / ".secrets"
    own.write_text(KEY)

    def changed() -> str:
        run(
            project,
            "python",
            "-I",
            str(TOOLS),
            "secret_files",
            ".secrets",
            "SECRET_KEY",
            SECRET_KEY_FILE=str(own),
        )
        return (folder / "changed.env").read_text()

    first = changed()
    os.utime(own)
    assert changed() == first, "a time is no value"
    for value, age in ((KEY[::-1], 3600), (f"{KEY[::-1]}x", 7200), (KEY, -3600)):
        other = tmp_path / "other"
        other.write_text(value)
        os.utime(other, (time.time() - age,) * 2)
        other.replace(own)
        now = changed()
        assert now != first
        assert changed() == now
        first = now

    kept = folder / "changed.digest"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert KEY not in kept.read_text()
    was = kept.read_text().split()
    kept.write_text("spoilt\n\n")
    assert changed() != first
    assert was[:1] == ["SECRET_KEY"]
    assert not set(was[1:]) & set(kept.read_text().split()), (
        "nobody tells by it that a value is back"
    )

    # One that `.env` has again, as it had before, is another than the file's.
    write = ("python", "-I", str(TOOLS), "secret_files", ".secrets", "SECRET_KEY")
    times = [(run(project, *write, SECRET_KEY=SECRET_KEY), (folder / "changed.env").read_text())[1]]
    times.append(changed())
    run(project, *write, SECRET_KEY=SECRET_KEY)
    times.append((folder / "changed.env").read_text())
    assert len(set(times)) == 3
    # What other secrets are is nothing to `make services`, which writes one alone.
    run(project, *write[:-1], "POSTGRES_PASSWORD", POSTGRES_PASSWORD="tea")
    last = (folder / "changed.env").read_text()
    run(project, *write[:-1], "POSTGRES_PASSWORD", POSTGRES_PASSWORD="tea")
    run(project, *write, SECRET_KEY=SECRET_KEY)
    assert (folder / "changed.env").read_text() == last


@pytest.mark.parametrize(
    "ending", ["", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r\n", " \r\n", "\\r\n", "$\n"]
)
def test_a_server_takes_the_same_from_a_file_as_django_does(
    widest_project: Path, run: Run, tmp_path: Path, ending: str
) -> None:
    """An editor under Windows ends lines by two characters, of which a shell takes one away: two passwords."""
    secret = tmp_path / "password"
    secret.write_bytes(f" se\\same'{ending}".encode())
    services = yaml.safe_load((widest_project / "compose.yaml").read_text())["services"]
    reading = {
        name: service["command"][-1].replace("$$", "$")
        for name, service in services.items()
        if "/run/secrets/" in str(service.get("command"))
    }
    assert reading.keys() == {"db"}, "of another that a shell gives a secret, this knows nothing"
    entrypoint = tmp_path / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\nprintf %s\\| "$POSTGRES_PASSWORD"\n')
    entrypoint.chmod(0o755)
    script = reading["db"].replace("/run/secrets/postgres_password", str(secret))
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = subprocess.run(["sh", "-c", script], env={"PATH": path}, capture_output=True, check=True)

    show = "from serving_tools.secret_files import from_file; print(repr(from_file('PASSWORD')))"
    done = run(widest_project, "python", "-B", "-c", show, PASSWORD_FILE=str(secret))

    assert said.stdout.decode().split("|")[0] == ast.literal_eval(done.stdout)


@pytest.mark.container
@pytest.mark.parametrize(
    "answers", [{}, {"database": "postgres", "cache": "valkey"}], ids=["sqlite", "postgres"]
)
def test_no_secret_is_in_what_the_engine_shows(tmp_path: Path, answers: dict[str, str]) -> None:
    require_engine()
    project = locked_project(tmp_path, **answers)
    env = project / ".env"
    mail = "EMAIL_URL='smtps://ada:sesame$open@mail.example?timeout=3'\n"
    env.write_text(
        env.read_text() + mail + "STRIPE_API_KEY=hunter2hunter2\nLOG_LEVELS=home=debug\n"
    )
    with composed(project) as compose:
        compose.make("build", "up")
        local = dotenv_values(env)
        secrets = [local["SECRET_KEY"], "hunter2hunter2", "sesame"]
        if answers:
            secrets.append(local["POSTGRES_PASSWORD"])
        ids = compose("ps", "--all", "--quiet").splitlines()
        assert len(ids) == (4 if answers else 2)
        shown = [
            docker("inspect", *ids),
            compose("config"),
            docker("image", "inspect", compose.name),
        ]
        shown += [
            docker("exec", "--privileged", each, "cat", "/proc/1/environ")
            for each in running(compose)
        ]
        shown += [docker("exec", each, "env") for each in running(compose)]
        for text in shown:
            for secret in secrets:
                assert secret
                assert secret not in text
        assert '"LOG_LEVELS=home=debug"' in shown[0]
        assert '"SECRET_KEY_FILE=/run/secrets/secret_key"' in shown[0]
        assert '"EMAIL_URL_FILE=/run/secrets/email_url"' in shown[0]
        said = compose(
            "exec", "web", "python", "manage.py", "sendtestemail", "bob@x.example", check=False
        )
        assert "the mail server mail.example:465 has a name that is not found" in said
        assert compose.get("/readyz").json() == {"status": "ok"}
        web = compose.containers("web")[0]
        assert docker("exec", web, "cat", "/run/secrets/secret_key") == local["SECRET_KEY"]

        # A new secret reaches the server, and an unchanged one leaves it alone.
        compose.make("up")
        assert compose.containers("web") == [web]
        env.write_text(env.read_text().replace(str(local["SECRET_KEY"]), KEY))
        compose.make("up")
        new = compose.containers("web")[0]
        assert new != web
        assert docker("exec", new, "cat", "/run/secrets/secret_key") == KEY


def running(compose: Compose) -> list[str]:
    return compose("ps", "--quiet").splitlines()


@pytest.mark.container
def test_the_image_takes_secrets_as_variables_and_as_files(tmp_path: Path) -> None:
    require_engine()
    project = locked_project(tmp_path)
    (tmp_path / "key").write_text(f"{KEY}\n")
    show = ("python", "-c", "from config.settings import SECRET_KEY; print(SECRET_KEY)")
    with composed(project) as compose:
        compose.make("build")
        run = ("run", "--rm", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp")
        assert docker(*run, f"--env=SECRET_KEY={KEY}", compose.name, *show) == KEY
        mounted = (
            f"--volume={tmp_path / 'key'}:/run/secrets/key:ro",
            "--env=SECRET_KEY_FILE=/run/secrets/key",
        )
        assert docker(*run, *mounted, compose.name, *show) == KEY
        (tmp_path / "key").chmod(0o600)
        said = docker(*run, *mounted, compose.name, *show, check=False)
        assert "SECRET_KEY_FILE=/run/secrets/key can't be read: Permission denied." in said
        said = docker(*run, compose.name, *show, check=False)
        assert "SECRET_KEY: Environment variable not set." in said
