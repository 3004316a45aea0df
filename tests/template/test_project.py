"""A generated project by itself: its tests, its settings, its Make targets, its secrets."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, WIDEST, Bake, Run, clean_environment, questions
from tests.support.command import UV
from tests.support.server import server_environment
from tests.support.sites import program


def test_its_own_tests_pass(bake: Bake, run: Run) -> None:
    done = run(bake(), "pytest", "-p", "no:cacheprovider")
    assert re.search(r"\d+ passed", done.stdout)


def test_djangos_deployment_check_is_clean_with_production_variables(bake: Bake, run: Run) -> None:
    check = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    variables = {"SECRET_KEY": "0123456789abcdef" * 4, "EMAIL_URL": "smtp://mail.example"}
    done = run(bake(), "python", *check, **variables)
    assert "no issues (2 silenced)" in done.stdout + done.stderr


@pytest.mark.parametrize("answers", [WIDEST, {**WIDEST, "telemetry": "sentry"}])
def test_every_annotation_can_be_evaluated(
    bake: Bake, run: Run, answers: Mapping[str, str]
) -> None:
    """Before Python 3.14 that is done where a function is defined, one in another not before that is called."""
    project = bake(**answers)
    variables = server_environment(project)
    done = run(project, "python", "-c", program("evaluate_annotations"), **variables)
    said = [line for line in done.stdout.splitlines() if not line.startswith("{")]
    assert re.fullmatch(r"\d{3,} annotations", said[-1])
    assert said[:-1] == []


def test_no_secret_can_be_committed(bake: Bake, environment: Path) -> None:
    project = bake(database="postgres")
    make = ["make", "-C", str(project), f"UV={ROOT / '.venv/bin/uv'}", ".env"]
    variables = clean_environment() | {
        "UV_PROJECT_ENVIRONMENT": str(environment),
        "UV_NO_SYNC": "1",
    }
    subprocess.run(make, env=variables, check=True, capture_output=True)
    found = re.search(r"^SECRET_KEY=(\S{50,})$", (project / ".env").read_text(), re.MULTILINE)
    assert found, "`make .env` makes a fresh secret"
    password = re.search(
        r"^POSTGRES_PASSWORD=(\S{50,})$", (project / ".env").read_text(), re.MULTILINE
    )
    assert password, "and another for the database"
    assert password[1] != found[1]
    assert (project / ".env").stat().st_mode & 0o077 == 0, "others can read the secret"
    media = ("copy-20261127.sqlite3.media.tar", "before-restore-20261127.media.tar")
    for name in (".env.production", "db.sqlite3", "db.sqlite3-wal", *media):
        (project / name).write_text(f"SECRET_KEY={found[1]}")

    git = ["git", "-C", str(project), "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    staged = subprocess.run(
        [*git, "diff", "--cached"], check=True, capture_output=True, text=True
    ).stdout

    assert "+++ b/manage.py" in staged
    assert found[1] not in staged
    assert password[1] not in staged
    shown = re.sub(r"^\+\*.*$", "", staged, flags=re.MULTILINE)
    assert "sqlite3-wal" not in shown
    assert not [name for name in media if f"b/{name}" in shown]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_env_is_made_where_no_secret_can_be(bake: Bake, database: str) -> None:
    project = bake(database=database)
    done = subprocess.run(
        ["make", "-C", project, "UV=false", ".env"], capture_output=True, check=False
    )
    assert done.returncode != 0
    assert not (project / ".env").exists()


def test_every_make_target_has_help_and_the_bare_command_prints_it(
    default_project: Path, widest_project: Path, kubernetes_project: Path
) -> None:
    for folder in (default_project, widest_project, kubernetes_project, ROOT):
        files = [folder / "Makefile", *folder.glob("deploy/*/targets.mk")]
        phony = [re.search(r"^\.PHONY: (.*)$", path.read_text(), re.MULTILINE) for path in files]
        targets = [name for found in phony if found for name in found[1].split()]
        assert len(targets) > 10
        shown = subprocess.run(
            ["make", "-C", folder, "--no-print-directory"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert [line.split()[0] for line in shown.splitlines()] == targets


def test_the_readme_names_every_make_target(
    default_project: Path, widest_project: Path, kubernetes_project: Path
) -> None:
    for folder in (default_project, widest_project, kubernetes_project, ROOT):
        readme = (folder / "README.md").read_text()
        files = [folder / "Makefile", *folder.glob("deploy/*/targets.mk")]
        makefile = "\n".join(path.read_text() for path in files)
        for target in re.findall(r"^([a-z0-9-]+):.*##", makefile, re.MULTILINE):
            assert target == "help" or f"make {target}" in readme, target


def test_make_prints_a_secret_alone_where_it_fetches_uv_first(bake: Bake, tmp_path: Path) -> None:
    """So `SECRET_KEY=$(make secret)` holds no more than that, on a fresh machine too."""
    project = bake()
    programs = tmp_path / "programs"
    programs.mkdir()
    scripts = {
        "python3": 'mkdir -p "$3/bin" && cp "$0" "$3/bin/uv" && cp "$0" "$3/bin/pip"',
        "uv": "echo the-secret",
        "pip": "touch .tools/bin/uv",
    }
    lines = [f"{name}) {script} ;;" for name, script in scripts.items()]
    (programs / "python3").write_text(
        "\n".join(["#!/bin/sh", 'case "$(basename "$0")" in', *lines, "esac\n"])
    )
    (programs / "python3").chmod(0o755)
    variables = clean_environment() | {"PATH": f"{programs}:/usr/bin:/bin"}
    make = ["make", "-C", str(project), "--no-print-directory", "UV=.tools/bin/uv", "secret"]
    done = subprocess.run(make, env=variables, check=True, capture_output=True, text=True)

    assert done.stdout == "the-secret\n"
    assert "uv" in done.stderr, "it says what it waits for"


def test_targets_run_one_after_the_other_under_make_jobs_too(bake: Bake, tmp_path: Path) -> None:
    """Or `make -j setup run` serves a database that is being migrated."""
    project = bake()
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\nmkdir busy && echo "$@" >>asked && sleep 0.1 && rmdir busy\n')
    uv.chmod(0o755)
    (project / ".env").touch()
    make = ["make", "-C", str(project), "-j4", f"UV={uv}", "migrate", "lint"]
    done = subprocess.run(
        make, env=clean_environment(), check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, f"two at once: {done.stderr}"
    asked = (project / "asked").read_text().splitlines()
    assert (asked[0], asked[-1]) == ("run python manage.py migrate", "run mypy .")


def test_the_answers_arrive_where_they_act(bake: Bake) -> None:
    project = bake(
        project_name='Say "Tea" \\ & {{ "<b>" }}',
        python_version="3.12",
        lifespan_mode="disabled",
        log_level="error",
        log_format="console",
        access_log="no",
        workers="3",
        event_loop="rloop",
        database="postgres",
        cache="valkey",
    )

    assert (project / ".python-version").read_text() == "3.12\n"
    variables = server_environment(project)
    assert variables["GRANIAN_INTERFACE"] == "asginl"
    assert variables["LIFESPAN"] == "disabled"
    assert variables["GRANIAN_LOG_LEVEL"] == "error"
    assert variables["LOG_FORMAT"] == "console"
    assert variables["GRANIAN_LOG_ACCESS_ENABLED"] == "false"
    assert variables["GRANIAN_WORKERS"] == "3"
    assert variables["GRANIAN_LOOP"] == "rloop"
    dependencies = tomllib.loads((project / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    assert "granian[rloop]>=2.8.7,<3" in dependencies
    assert "psycopg[binary]>=3.3.9,<4" in dependencies
    assert "redis[hiredis]>=8.1,<9" in dependencies
    assert variables["DATABASE_URL"] == "postgres://say_tea_b:@127.0.0.1:5432/say_tea_b"
    assert variables["CACHE_URL"] == "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize("loop", questions()["event_loop"])
def test_make_setup_installs_the_event_loop_that_was_chosen_and_no_other(
    bake: Bake, tmp_path: Path, loop: str
) -> None:
    """By what uv would install: to install it takes longer, and is done in tests/live/test_make.py."""
    project = bake(event_loop=loop)
    assert "\t$(UV) sync\n" in (project / "Makefile").read_text()
    variables = clean_environment() | {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "none")}
    done = subprocess.run(
        [UV, "sync", "--dry-run"], cwd=project, env=variables, capture_output=True, text=True, check=True
    )  # fmt: skip
    installed = set(re.findall(r"^ \+ ([\w-]+)", done.stderr, re.MULTILINE))
    assert "granian" in installed
    assert installed & {"uvloop", "rloop"} == {loop} - {"asyncio"}


def test_the_shell_wins_over_env_and_env_over_the_flags(bake: Bake, environment: Path) -> None:
    """The order that the Makefile and config/granian.env promise."""
    project = bake()
    (project / ".env").write_text("GRANIAN_WORKERS=2\nGRANIAN_LOG_LEVEL=error\n")
    server = "run python -m serving_tools.env_file config/granian.env .env --"
    command = f"{ROOT / '.venv/bin/uv'} {server} printenv"
    assert f"SERVER := $(UV) {server}\n" in (project / "Makefile").read_text()

    shown = subprocess.run(
        command.split(),
        cwd=project,
        env=clean_environment()
        | {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_NO_SYNC": "1"}
        | {"GRANIAN_LOG_LEVEL": "debug"},
        check=True,
        capture_output=True,
        text=True,
    )

    assert shown.stderr == ""
    assert {"GRANIAN_WORKERS=2", "GRANIAN_LOG_LEVEL=debug", "GRANIAN_HTTP=1"} <= set(
        shown.stdout.splitlines()
    )
    shutil.rmtree(project)


def strict(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key.value for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"{keys} at {node.start_mark}"
    return loader.construct_mapping(node, deep=True)


def test_no_key_of_a_compose_file_stands_twice(default_project: Path, widest_project: Path) -> None:
    """Compose refuses such a file; the parser of other tests takes the last one in silence."""

    class Strict(yaml.SafeLoader):
        pass

    Strict.add_constructor("tag:yaml.org,2002:map", strict)
    Strict.add_multi_constructor("!", lambda loader, suffix, node: None)
    for project in (default_project, widest_project):
        for file in project.glob("compose*.yaml"):
            services = yaml.load(file.read_text(), Strict)["services"]  # noqa: S506
            if project == widest_project and file.name == "compose.yaml":
                database = services["db"]["command"][-1]
                assert "-c max_connections=${DATABASE_MAX_CONNECTIONS:-100}" in database


def seconds(text: str) -> float:
    """A duration as Compose and Caddy write it: "30s" is 30, "1m" 60."""
    return float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def test_one_shutdown_budget_holds_from_the_apps_to_the_proxy(
    default_project: Path, run: Run
) -> None:
    """Each layer waits longer than the one inside it, or it would cut that one's end short."""
    show = "from config import settings as s; print(s.DRAIN_TIMEOUT, s.LIFESPAN_SHUTDOWN_TIMEOUT, s.LIFESPAN_STARTUP_TIMEOUT)"
    shown = run(default_project, "python", "-B", "-c", show, DEBUG="true").stdout.split()
    drain, shutdown, startup = map(float, shown)
    kill = float(server_environment(default_project)["GRANIAN_WORKERS_KILL_TIMEOUT"])
    services = yaml.safe_load((default_project / "compose.yaml").read_text())["services"]
    grace = seconds(services["web"]["stop_grace_period"])
    proxied = (default_project / "compose.proxy.yaml").read_text()
    proxy = re.search(r"stop_grace_period: (\w+)", proxied)
    caddy = re.search(r"grace_period (\w+)", (default_project / "deploy/Caddyfile").read_text())
    assert proxy
    assert caddy

    assert drain + shutdown + 1 < kill < grace <= seconds(caddy[1]) < seconds(proxy[1])
    started = re.search(r"--start-period=(\w+)", (default_project / "Dockerfile").read_text())
    assert started
    assert startup < seconds(started[1])


def test_what_an_owner_of_a_default_project_reads_stays_small(bake: Bake) -> None:
    project = bake()
    owned = [
        path
        for path in project.rglob("*")
        if path.is_file() and "packages" not in path.relative_to(project).parts
    ]
    lines = sum(len(path.read_text().splitlines()) for path in owned)
    python = sum(len(path.read_text().splitlines()) for path in owned if path.suffix == ".py")
    # 2,386 without mail, uploads and the limits at the door, which may add 250; the live page, its style and the
    # pages for errors, of which an owner deletes the first, 400; workflows, Dependabot, hooks and AGENTS.md 315; updates,
    # audits and the list of packages, 20.
    assert lines < 2_386 + 250 + 400 + 315 + 20, f"{lines} lines: what may be a package's, or go?"
    assert python <= 1_450, f"{python} lines of Python"
