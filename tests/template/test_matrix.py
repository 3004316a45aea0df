"""Combinations of answers give projects that are whole, finished, and pass their own checks.

tests/support/combinations.py chooses them. Generating is cheap and is done for each. A check is dear and is done
once for all projects that are alike, byte for byte, in everything that it reads.
"""

import hashlib
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from filelock import FileLock

from tests.conftest import BUILD, TEMPLATE, Bake, Run, bake_into, clean_environment, questions
from tests.support.answers import (
    FILES_OF,
    PURE_DEFAULTS,
    Answers,
    Once,
    choices,
    files,
    name_of,
)
from tests.support.combinations import every_combination, of_files, quick_combinations
from tests.support.command import UV
from tests.support.server import server_environment
from tests.support.sites import program
from tests.template.test_generation import DEFAULT_TREE

# What the project's own tests and Django's checks do not read: a test below takes it away.
UNREAD = frozenset(
    """
    .dockerignore .gitattributes .github/dependabot.yml .github/workflows/ci.yml .github/workflows/publish.yml
    .github/workflows/template.yml .gitignore .gitlab-ci.yml .gitlab/renovate.json
    .pre-commit-config.yaml .python-version AGENTS.md Dockerfile LICENSE README.md compose.override.yaml
    compose.proxy.yaml compose.yaml config/granian.env deploy/Caddyfile
    """.split()
)

PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "macos")


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Once:
    """Does a check once a session for a key, in whichever test process comes first.

    A check that failed fails for each project of that key.
    """
    folder = tmp_path_factory.getbasetemp().parent / f"once-{testrun_uid}"
    folder.mkdir(exist_ok=True)

    def check_once(key: str, check: Callable[[], object]) -> None:
        result = folder / hashlib.sha256(key.encode()).hexdigest()
        with FileLock(f"{result}.lock"):
            if not result.exists():
                failure = ""
                try:
                    check()
                except AssertionError as error:
                    failure = str(error) or "failed"
                result.write_text(failure)
        assert not result.read_text(), result.read_text()

    return check_once


def expected_files(answers: Answers) -> set[str]:
    """The files that a combination gives, and no other."""
    of_answers = frozenset[str]().union(*FILES_OF.values())
    chosen = (paths for (answer, value), paths in FILES_OF.items() if answers[answer] == value)
    return (set(DEFAULT_TREE) - of_answers).union(*chosen)


def assert_finished(project: Path) -> None:
    """No tag of the template is left, lines end as they should, and what has a syntax follows it."""
    for name, path in files(project):
        text = path.read_bytes().decode()
        assert "cookiecutter." not in text.replace("cookiecutter.json", ""), (
            name
        )  # what `make update` reads
        assert "\r" not in text, name
        assert text.endswith("\n") or not text, name
        assert not text.endswith("\n\n"), name
        # Django's own tags stand in its templates, and in what packages/, copied as it is, makes of them.
        if "templates/" not in name and not name.startswith("packages/"):
            assert not re.search(r"(?<!\$)\{\{|\{%|\{#", text), name
        if path.suffix == ".toml":
            tomllib.loads(text)
        elif path.suffix == ".json":
            json.loads(text)
        elif path.suffix in {".yaml", ".yml"}:
            for document in yaml.compose_all(text, Loader=yaml.SafeLoader):  # Compose has own tags
                no_key_twice(document, name)
        elif path.suffix == ".py":
            compile(text, name, "exec")


def no_key_twice(node: yaml.Node | None, name: str) -> None:
    """Compose refuses a file with such a key, where PyYAML takes the last one."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{name}: {keys}"
        for _, value in node.value:
            no_key_twice(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            no_key_twice(item, name)


def pyproject_that_tools_read(project: Path, requires: str = "") -> str:
    """pyproject.toml without what differs by answers and is read by installers alone.

    `requires`: the Python in the place of its own, for what does not read that either.
    """
    text = (project / "pyproject.toml").read_text()
    requires = requires or tomllib.loads(text)["project"]["requires-python"]
    tools = text[text.index("[tool.") :]
    return f'[project]\nname = "x"\nversion = "0"\nrequires-python = "{requires}"\n\n{tools}'


def fingerprint(project: Path, reads: Callable[[str], bool], requires: str = "") -> str:
    """One text for all projects whose files are the same, as far as a check reads them."""
    state = hashlib.sha256(pyproject_that_tools_read(project, requires).encode())
    for name, path in files(project):
        if name != "pyproject.toml" and reads(name):
            state.update(f"\0{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()


def prove(answers: Answers, bake: Bake, run: Run, once: Once, request: Any) -> Path:
    """Generates a combination and makes every check on it but that of its types."""
    project = bake(**answers)
    own = {name for name, _ in files(project) if not name.startswith("packages/")}
    assert own == expected_files(answers)
    assert not [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert_finished(project)

    python = fingerprint(project, lambda name: name.endswith(".py"))
    once(f"ruff {python}", lambda: run(project, "ruff", "check", "--no-cache"))
    once(f"format {python}", lambda: run(project, "ruff", "format", "--check", "--no-cache"))

    code = fingerprint(project, lambda name: name not in UNREAD, ">=3")
    once(f"deploy {code}", lambda: check_deployment(project, run, **addresses(answers)))

    # Granian reads each flag by itself, but for these two.
    flags = dotenv_values(project / "config" / "granian.env")
    pair = f"{flags['GRANIAN_INTERFACE']} {flags['GRANIAN_LOOP']}"
    for flag in (pair, *map(str, flags.items())):
        once(f"flags {flag}", lambda: check_flags(project, answers, run))

    server = {}
    if answers["database"] == "postgres":
        server["DATABASE_URL"] = request.getfixturevalue("postgres").url()
    once(f"suite {code}", lambda: run(project, "pytest", "-p", "no:cacheprovider", **server))
    return project


def check_types(project: Path, version: str, run: Run) -> None:
    """Stricter than `make lint`. One cache for every project: mypy itself finds what has changed."""
    cache = ["--cache-dir", str(BUILD / "mypy")]
    with FileLock(BUILD / "mypy.lock"):
        run(project, "mypy", "--strict", *cache, "--python-version", version, ".")


def addresses(answers: Answers) -> dict[str, str]:
    """The variables that a server of the project can't do without, beside SECRET_KEY."""
    wanted = {}
    if answers["database"] == "postgres":
        wanted["DATABASE_URL"] = "postgres://ada@db.example/shop"
    if answers["cache"] == "valkey":
        wanted["CACHE_URL"] = "redis://cache.example/0"
    return wanted


def check_deployment(project: Path, run: Run, **variables: str) -> None:
    command = ("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    variables |= {"SECRET_KEY": "0123456789abcdef" * 4, "EMAIL_URL": "smtp://mail.example"}
    run(project, "python", *command, **variables)


def check_flags(project: Path, answers: Answers, run: Run) -> None:
    """Granian takes every flag, and as it was answered."""
    done = run(project, "python", "-c", program("read_flags"), **server_environment(project))
    assert json.loads(done.stdout) == {
        "interface": "asginl" if answers["lifespan_mode"] == "disabled" else "asgi",
        "loop": answers["event_loop"],
        "workers": int(answers["workers"]),
        "log_access_enabled": answers["access_log"],
        "log_level": answers["log_level"],
    }


def types_once(answers: Answers, project: Path, run: Run, once: Once) -> None:
    python = fingerprint(project, lambda name: name.endswith(".py"))
    version = answers["python_version"]
    once(f"types {version} {python}", lambda: check_types(project, version, run))


@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("answers", quick_combinations(), ids=name_of)
def test_a_few_combinations_with_every_value(
    answers: Answers, bake: Bake, run: Run, once: Once, request: Any
) -> None:
    project = prove(answers, bake, run, once, request)
    types_once(answers, project, run, once)


@pytest.mark.matrix
@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("answers", every_combination(), ids=name_of)
def test_every_combination_that_matters(
    answers: Answers, bake: Bake, run: Run, once: Once, request: Any
) -> None:
    prove(answers, bake, run, once, request)


@pytest.mark.matrix
@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("answers", of_files(".py"), ids=name_of)
def test_types_on_every_python(answers: Answers, bake: Bake, run: Run, once: Once) -> None:
    """By mypy's --python-version: what differs is what the standard library's types say."""
    types_once(answers, bake(**answers), run, once)


@pytest.mark.matrix
@pytest.mark.usefixtures("fast_hooks")
def test_nothing_is_compiled_by_make_setup(tmp_path: Path, environment: Path) -> None:
    """Every package that any project asks for has a wheel: where all resolve together, some of them do."""
    projects = []
    for number, answers in enumerate(of_files("pyproject.toml", strength=2)):
        (tmp_path / str(number)).mkdir()
        projects.append(bake_into(tmp_path / str(number), **answers))
    requirements = [tomllib.loads((each / "pyproject.toml").read_text()) for each in projects]
    asked = sorted({line for each in requirements for line in each["project"]["dependencies"]})
    assert {"psycopg", "redis", "sentry-sdk"} <= {re.split(r"\W*[\[>]", line)[0] for line in asked}
    own = projects[0] / "pyproject.toml"
    listed = re.compile(r"^dependencies = \[\n.*?^\]", re.MULTILINE | re.DOTALL)
    own.write_text(listed.sub(lambda found: f"dependencies = {json.dumps(asked)}", own.read_text()))
    for version in choices()["python_version"]:
        command = f"pip compile --quiet --only-binary :all: --python-version {version} --group dev"
        for platform in PLATFORMS:
            done = subprocess.run(
                [UV, *command.split(), "--python-platform", platform, "--no-python-downloads",
                 "--python", environment / "bin" / "python", "pyproject.toml"],
                cwd=projects[0], env=clean_environment(), capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"Python {version} on {platform}: {done.stderr}"


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_suite_reads_nothing_that_the_fingerprint_leaves_out(
    bake: Bake, run: Run, ci: str
) -> None:
    project = bake(ci=ci)
    for name in UNREAD:
        assert (TEMPLATE / name).is_file()
        (project / name).unlink(missing_ok=True)  # each is a file of one of the two
    (project / "pyproject.toml").write_text(pyproject_that_tools_read(project, ">=3"))

    run(project, "pytest", "-p", "no:cacheprovider")
    check_deployment(project, run)


@pytest.mark.parametrize(
    ("answer", "value"),
    [(answer, value) for answer, values in PURE_DEFAULTS.items() for value in values],
)
@pytest.mark.usefixtures("fast_hooks")
def test_a_pure_default_is_a_value_in_the_servers_flags(
    default_project: Path, tmp_path: Path, bake: Bake, answer: str, value: Any
) -> None:
    project = bake(**{answer: value})

    changed = {
        name
        for name, path in files(project)
        if path.read_bytes() != (default_project / name).read_bytes()
    }
    wanted = {"config/granian.env"} | ({"compose.yaml"} if answer == "workers" else set())
    assert changed == (set() if value == defaults()[answer] else wanted)
    flags, defaulted = (
        dotenv_values(folder / "config" / "granian.env") for folder in (project, default_project)
    )
    assert flags.keys() == defaulted.keys()
    assert sum(flags[name] != defaulted[name] for name in flags) == bool(changed)


def defaults() -> Answers:
    """The answer to each question that is taken when none is given."""
    return {
        key: default[0] if isinstance(default, list) else default
        for key, default in questions().items()
    }
