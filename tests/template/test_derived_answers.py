"""What the template derives from the answers, or sets itself, cannot be given from outside."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import template_rules
from tests.conftest import ROOT, bake_into
from tests.support.command import PROGRAMS, generate, home, template_repository

PRIVATE = {
    key: value
    for key, value in json.loads((ROOT / "cookiecutter.json").read_bytes()).items()
    if key.startswith("_") and key != "__prompts__"
}
TEXTS = sorted(key for key, value in PRIVATE.items() if isinstance(value, str))
EVIL = "x\"; DROP TABLE 'y"


def assert_refused(run: subprocess.CompletedProcess[str], key: str, folder: Path) -> None:
    """One line that names the key and the way out, and nothing was made."""
    assert run.returncode == 1
    lines = (run.stdout + run.stderr).strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{key}: ")
    assert "cannot be given" in lines[0]
    assert not (folder / "my-project").exists()


def test_there_is_something_to_give() -> None:
    assert {"__database_name", "__check_workers", "_copy_without_render"} <= PRIVATE.keys()


@pytest.mark.parametrize("key", TEXTS)
@pytest.mark.parametrize("value", [EVIL, ""])
def test_by_the_command_line(tmp_path: Path, key: str, value: str) -> None:
    assert_refused(generate(tmp_path, f"{key}={value}", unknown=True), key, tmp_path)


@pytest.mark.parametrize("hooks", ["yes", "no"])
def test_by_the_command_line_beside_the_check_that_would_find_it(
    tmp_path: Path, hooks: str
) -> None:
    given = ["__check_combination=", f"__database_name={EVIL}"]
    run = generate(tmp_path, "--accept-hooks", hooks, *given, unknown=True)
    assert_refused(run, "__check_combination", tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("__database_name", EVIL),
        ("__database_name", "{{ 'x' }}"),
        ("__database_example", "x"),
        ("__check_project_name", "x"),
        ("_copy_without_render", []),
        ("_copy_without_render", ["packages"]),
        ("_jinja2_env_vars", {"trim_blocks": False}),
        ("_jinja2_env_vars", {"autoescape": True}),
    ],
)
def test_by_a_users_config(tmp_path: Path, key: str, value: Any) -> None:
    (tmp_path / ".cookiecutterrc").write_text(yaml.safe_dump({"default_context": {key: value}}))
    assert_refused(generate(tmp_path), key, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("__check_combination", "x"), ("_extensions", []), ("_extensions", "x")]
)
def test_by_a_users_config_what_only_cookiecutter_or_the_hook_sees(
    tmp_path: Path, key: str, value: Any
) -> None:
    (tmp_path / ".cookiecutterrc").write_text(yaml.safe_dump({"default_context": {key: value}}))
    run = generate(tmp_path)
    if run.returncode == 0:  # overwritten: cookiecutter itself warns of a value that is no choice
        assert key in run.stderr
        return
    assert not (tmp_path / "my-project").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("__database_name", EVIL),
        ("__check_workers", "x"),
        ("_copy_without_render", []),
        ("_jinja2_env_vars", {}),
    ],
)
def test_by_a_replay_file(tmp_path: Path, key: str, value: Any) -> None:
    bake_into(tmp_path, project_slug="first")
    replay = tmp_path / ".cookiecutter" / "replay" / f"{ROOT.name}.json"
    answers = json.loads(replay.read_text())
    answers["cookiecutter"] |= {key: value, "project_slug": "my-project"}
    if key != "__database_name":
        answers["cookiecutter"]["__database_name"] = "my_project"
    replay.write_text(json.dumps(answers))

    run = subprocess.run(
        [PROGRAMS / "cookiecutter", ROOT, "--replay-file", replay],
        cwd=tmp_path, env=home(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert run.returncode == 1
    assert f"{key}: " in run.stdout + run.stderr
    assert "cannot be given" in run.stdout + run.stderr
    assert not (tmp_path / "my-project").exists()


def test_by_a_program(tmp_path: Path) -> None:
    program = (
        "from cookiecutter.main import cookiecutter;"
        f"cookiecutter({str(ROOT)!r}, no_input=True, default_config=True,"
        f"             extra_context={{'__database_name': {EVIL!r}}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env=home(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "__database_name: " in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "my-project").exists()


def test_by_cruft(tmp_path: Path) -> None:
    """On the command line it is refused; what `.cruft.json` holds of it changes nothing."""
    template = tmp_path / "template"
    template.mkdir()
    template_repository(template)
    given = json.dumps({"database": "postgres", "__database_name": EVIL})

    def cruft(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAMS / "cruft", *arguments],
            cwd=folder, env=home(tmp_path), capture_output=True, text=True, check=False,
        )  # fmt: skip

    create = ["create", str(template), "--no-input", "--extra-context"]
    refused = cruft(tmp_path, *create, given)
    assert refused.returncode != 0
    assert "__database_name: " in refused.stdout + refused.stderr
    assert not (tmp_path / "my-project").exists()

    assert cruft(tmp_path, *create, '{"database": "postgres"}').returncode == 0
    project = tmp_path / "my-project"
    stored = json.loads((project / ".cruft.json").read_text())
    stored["context"]["cookiecutter"] |= {"__database_name": EVIL, "_copy_without_render": []}
    (project / ".cruft.json").write_text(json.dumps(stored))
    updated = cruft(project, "update", "-y", "--variables-to-update", given)
    assert updated.returncode == 0, updated.stdout + updated.stderr
    context = json.loads((project / ".cruft.json").read_text())["context"]["cookiecutter"]
    assert context["__database_name"] == "my_project"
    assert context["_copy_without_render"] == PRIVATE["_copy_without_render"]


def test_an_own_value_that_is_given_back_passes() -> None:
    """As older update tools do with all that they stored."""
    answers = {"project_slug": "tea-shop", "database": "sqlite"}
    own = {key: template_rules.derived(key, answers) for key in PRIVATE}
    assert own["__database_name"] == "tea_shop"
    assert not list(template_rules.problems(answers | own))
