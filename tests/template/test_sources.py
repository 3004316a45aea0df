"""Every way to run the template: from a clone, a zip, a config file, a replay; over what is there."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tests.conftest import ROOT, Run
from tests.support.answers import files
from tests.support.command import UV, generate, git, home, interpreter, template_repository
from tests.support.server import free_port, listens, wait_for
from tests.template.test_matrix import assert_finished


def contents(project: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files(project)}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository of the template, at the path that a forge would give it."""
    folder = tmp_path_factory.mktemp("forge")
    template = folder / "work"
    template.mkdir()
    template_repository(template)
    bare = folder / "org" / "cookiecutter-django-granian.git"
    bare.parent.mkdir()
    git(folder, "clone", "--quiet", "--bare", str(template), str(bare))
    return bare


@pytest.fixture
def forge(repository: Path) -> Iterator[str]:
    """The address of a git server that serves it."""
    port = free_port()
    base = repository.parent.parent
    server = subprocess.Popen(
        ["git", "daemon", "--export-all", f"--base-path={base}", "--listen=127.0.0.1",
         f"--port={port}", "--reuseaddr", str(base)],
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip

    wait_for(lambda: listens(port), "the git server")
    yield f"git://127.0.0.1:{port}"
    server.terminate()
    server.wait()


def test_a_git_server_by_its_abbreviation(
    tmp_path: Path, forge: str, default_project: Path
) -> None:
    """As `cookiecutter gh:org/cookiecutter-django-granian` does, with gh: pointed at our server."""
    (tmp_path / ".cookiecutterrc").write_text(f'abbreviations: {{gh: "{forge}/{{0}}.git"}}\n')

    run = generate(tmp_path, template="gh:org/cookiecutter-django-granian")

    assert run.returncode == 0, run.stdout
    assert contents(tmp_path / "my-project") == contents(default_project)


def test_a_file_address(tmp_path: Path, repository: Path, default_project: Path) -> None:
    run = generate(tmp_path, template=f"file://{repository}")

    assert run.returncode == 0, run.stdout
    assert contents(tmp_path / "my-project") == contents(default_project)


@pytest.mark.quick
def test_a_zip(tmp_path: Path, repository: Path, default_project: Path) -> None:
    packed = tmp_path / "template.zip"
    git(
        repository,
        "archive",
        "--prefix=cookiecutter-django-granian-main/",
        "-o",
        str(packed),
        "main",
    )
    assert zipfile.is_zipfile(packed)

    run = generate(tmp_path, template=packed)

    assert run.returncode == 0, run.stdout
    assert contents(tmp_path / "my-project") == contents(default_project)


def test_a_checkout_on_windows_gives_the_same_bytes(
    tmp_path: Path, repository: Path, default_project: Path
) -> None:
    git(tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true", "-c", "core.eol=crlf",
        str(repository), "template")  # fmt: skip

    run = generate(tmp_path, template=tmp_path / "template")

    assert run.returncode == 0, run.stdout
    assert contents(tmp_path / "my-project") == contents(default_project)


@pytest.mark.quick
def test_a_users_config_file_gives_defaults(tmp_path: Path) -> None:
    """Keys of other templates stand in it by right: no warning. YAML makes a number of workers."""
    (tmp_path / ".cookiecutterrc").write_text(
        "default_context:\n"
        "  author_name: Zoë O'Brien\n"
        "  github_username: zoe\n"
        "  workers: 4\n"
        "  access_log: no\n"
        "  license: BSD-3-Clause\n"
    )

    run = generate(tmp_path, "project_name=Tea")

    assert run.returncode == 0, run.stdout
    assert run.stderr == ""
    assert "Copyright (c) Zoë O'Brien" in (tmp_path / "tea" / "LICENSE").read_text()
    flags = dotenv_values(tmp_path / "tea" / "config" / "granian.env")
    assert flags["GRANIAN_WORKERS"] == "4"
    assert flags["GRANIAN_LOG_ACCESS_ENABLED"] == "false"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("access_log: 0", "access_log: '0' is neither true nor false"),
        ("author_name:", "author_name: None is not text"),
        ("workers: 1.5", "workers: '1.5' is not a whole number"),
        ("description: {a: b}", "description: {'a': 'b'} is not text"),
    ],
)
def test_a_users_config_file_is_checked_too(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / ".cookiecutterrc").write_text(f"default_context:\n  {line}\n")

    run = generate(tmp_path)

    assert run.returncode == 1
    assert words in run.stdout + run.stderr
    assert not (tmp_path / "my-project").exists()


def test_a_choice_that_is_none_in_a_config_file_is_warned_of_by_cookiecutter(
    tmp_path: Path,
) -> None:
    """It takes its default, and drops the keys below it, as docs/answers.md says."""
    (tmp_path / ".cookiecutterrc").write_text(
        "default_context:\n  workers: 4\n  event_loop: trio\n  license: BSD-3-Clause\n"
    )

    run = generate(tmp_path)

    assert run.returncode == 0, run.stdout
    assert "trio provided for choice variable event_loop" in run.stderr
    flags = dotenv_values(tmp_path / "my-project" / "config" / "granian.env")
    assert (flags["GRANIAN_WORKERS"], flags["GRANIAN_LOOP"]) == ("4", "uvloop")
    assert "MIT License" in (tmp_path / "my-project" / "LICENSE").read_text()


@pytest.mark.quick
def test_a_replay_gives_the_same_project(tmp_path: Path) -> None:
    assert generate(tmp_path, "project_name=Café {1}", "workers=3").returncode == 0
    first = contents(tmp_path / "cafe-1")
    (tmp_path / "cafe-1").rename(tmp_path / "first")

    run = generate(tmp_path, "--replay", no_input=False)

    assert run.returncode == 0, run.stdout
    assert contents(tmp_path / "cafe-1") == first


@pytest.mark.quick
def test_a_folder_that_exists_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine").write_text("mine")

    run = generate(tmp_path, "project_slug=shop")

    assert run.returncode == 1
    (line,) = (run.stdout + run.stderr).strip().splitlines()
    assert line.startswith("project_slug: 'shop' is there already")
    assert contents(tmp_path / "shop") == {"mine": b"mine"}


def test_overwriting_renews_the_templates_files_and_keeps_the_users(tmp_path: Path) -> None:
    assert generate(tmp_path).returncode == 0
    project = tmp_path / "my-project"
    fresh = contents(project)
    own = {
        "home/templates/home/mine.html": b"<p>mine</p>\n",
        "home/static/home/mine.css": b"p {}\n",
        "data/mine.py": b"MINE = True\n",
        "shop/models.py": b"",
        ".env": b"SECRET_KEY=mine\n",
    }
    for name, content in own.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(content)
    (project / "manage.py").write_text("broken")

    refused = generate(tmp_path, "-f", "workers=0")
    assert refused.returncode == 1
    assert (project / "manage.py").read_text() == "broken", "a refusal touches nothing"

    run = generate(tmp_path, "-f")

    assert run.returncode == 0, run.stdout
    assert contents(project) == fresh | own


def test_without_hooks_the_project_is_coherent_and_bad_answers_are_refused(
    tmp_path: Path, run: Run, default_project: Path
) -> None:
    refused = generate(tmp_path, "--accept-hooks", "no", "workers=0")
    assert refused.returncode == 1
    assert "workers: '0'" in refused.stdout + refused.stderr
    assert not (tmp_path / "my-project").exists()

    done = generate(tmp_path, "--accept-hooks", "no")

    assert done.returncode == 0
    project = tmp_path / "my-project"
    assert contents(project).items() >= contents(default_project).items()
    assert_finished(project)
    run(project, "ruff", "check", "--no-cache")
    run(project, "python", "manage.py", "check", DEBUG="true")
    run(project, "pytest", "-p", "no:cacheprovider")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("event_loop=trio", ["trio", "event_loop", "['uvloop', 'asyncio', 'rloop']"]),
        ("access_log=maybe", ["maybe", "access_log", "boolean"]),
    ],
)
def test_a_choice_that_is_none_is_refused_by_cookiecutter(
    tmp_path: Path, answer: str, words: list[str]
) -> None:
    """It does so before it loads the template's own code, with a traceback above the last line."""
    run = generate(tmp_path, answer)

    assert run.returncode == 1
    last = (run.stdout + run.stderr).strip().splitlines()[-1]
    assert all(word in last for word in words), last
    assert not (tmp_path / "my-project").exists()


def test_answers_that_cannot_stand_together_are_refused_by_the_command(tmp_path: Path) -> None:
    """With a made-up pair, in a template of the test's own."""
    template = tmp_path / "template"
    template.mkdir()
    template_repository(template)
    with (template / "template_rules.py").open("a") as rules:
        rules.write(
            "\nREFUSED_COMBINATIONS += "
            '((("event_loop", "rloop"), ("access_log", False), "do not mix; try event_loop=uvloop"),)\n'
        )

    run = generate(tmp_path, "event_loop=rloop", "access_log=no", template=template)

    assert run.returncode == 1
    (line,) = (run.stdout + run.stderr).splitlines()
    assert line == "event_loop=rloop with access_log=false: do not mix; try event_loop=uvloop"
    assert not (tmp_path / "my-project").exists()
    assert generate(tmp_path, "event_loop=rloop", template=template).returncode == 0


@pytest.mark.quick
def test_a_mistyped_key_is_warned_of_once_and_changes_nothing(
    tmp_path: Path, default_project: Path
) -> None:
    run = generate(tmp_path, "event_lop=asyncio", "databse=postgres", unknown=True)

    assert run.returncode == 0
    assert run.stderr.splitlines()[0] == (
        "warning: 'event_lop' is no question and changes nothing; did you mean 'event_loop'?"
    )
    assert len(run.stderr.splitlines()) == 2
    assert contents(tmp_path / "my-project") == contents(default_project)


@pytest.mark.matrix
@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_cookiecutter_may_run_on_every_python_that_it_supports(
    tmp_path: Path, default_project: Path, version: str
) -> None:
    python, cookiecutter = interpreter(version), tmp_path / "venv" / "bin" / "cookiecutter"
    env = home(tmp_path)
    for command in (
        ["venv", "--python", python, "venv"],
        ["pip", "install", "--python", "venv", "cookiecutter>=2.7.1"],
    ):
        subprocess.run([UV, *command, "--quiet"], cwd=tmp_path, env=env, check=True)

    for answer, value in (("project_slug", "a" * 10_000), ("domain_name", "bücher.example")):
        refused = generate(tmp_path, f"{answer}={value}", program=cookiecutter)
        (line,) = (refused.stdout + refused.stderr).splitlines()
        assert line.startswith(f"{answer}: "), line

    run = generate(tmp_path, program=cookiecutter)
    assert run.returncode == 0, run.stderr
    assert contents(tmp_path / "my-project") == contents(default_project)


def test_a_program_may_pass_what_it_likes(tmp_path: Path) -> None:
    """The API has no command line; keys of other versions of the template pass without a word."""
    program = (
        "from cookiecutter.main import cookiecutter;"
        f"cookiecutter({str(ROOT)!r}, no_input=True, default_config=True,"
        "             extra_context={'gone': 'x', 'project_name': 'Tea'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env=home(tmp_path), capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stderr == ""
    assert (tmp_path / "tea").exists()
