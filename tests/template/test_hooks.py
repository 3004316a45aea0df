"""The hooks, and what a user sees of a refusal."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, bake_into, clean_environment

pytestmark = pytest.mark.quick

CLI = Path(sys.executable).parent / "cookiecutter"


def generate(folder: Path, *answers: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command as a user does."""
    return subprocess.run(
        [CLI, ROOT, "--no-input", "--default-config", "--output-dir", folder, *answers],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("project_slug=My_Shop", ["project_slug", "'My_Shop'", "try 'my-shop'"]),
        ("workers=99", ["workers", "'99'", "from 1 to 64", "try '1'"]),
        ("domain_name=https://tea.example", ["domain_name", "'https://tea.example'", "try 'tea.example'"]),
        ("project_name=", ["project_name", "''", "is empty"]),
    ],
)  # fmt: skip
def test_a_bad_answer_is_one_line_and_leaves_nothing(
    tmp_path: Path, answer: str, words: list[str]
) -> None:
    run = generate(tmp_path, answer)

    assert run.returncode == 1
    (line,) = (run.stdout + run.stderr).strip().splitlines()
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())


def test_answers_that_were_never_checked_are_refused_all_at_once(tmp_path: Path) -> None:
    """A replay skips the questions, and so the checks behind them."""
    bake_into(tmp_path)
    replay = tmp_path / ".cookiecutter" / "replay" / f"{ROOT.name}.json"
    answers = json.loads(replay.read_text())
    answers["cookiecutter"].update(project_slug="bad_slug", workers="0")
    replay.write_text(json.dumps(answers))
    out = tmp_path / "out"

    run = subprocess.run(
        [CLI, ROOT, "--replay-file", replay, "--default-config", "--output-dir", out],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert "project_slug: 'bad_slug'" in run.stderr + run.stdout
    assert "workers: '0'" in run.stderr + run.stdout
    assert not list(out.iterdir())


def test_the_end_says_what_to_do_next(tmp_path: Path) -> None:
    run = generate(tmp_path, "project_name=Café “Zoë”")

    assert run.returncode == 0
    assert f"cd {tmp_path}/cafe-zoe\n    make setup run" in run.stdout
    made = [path for path in (tmp_path / "cafe-zoe").rglob("*") if path.is_file()]
    own = [path for path in made if "packages" not in path.parts]
    assert f"Your project is made: {len(own)} files, " in run.stdout
    folders = ".github/ accounts/ config/ data/ deploy/ home/ packages/ static/ templates/ tests/"
    assert folders in " ".join(run.stdout.split())


def test_the_end_says_the_answers_as_a_command_line_takes_them(tmp_path: Path) -> None:
    run = generate(tmp_path, "database=postgres", "access_log=no")
    said, _, _ = run.stdout.partition("Next:")
    answers = re.findall(r"\w+=\S+", said)
    assert {"database=postgres", "access_log=False", "cache=local"} <= set(answers)

    (tmp_path / "again").mkdir()
    again = generate(tmp_path / "again", *answers)
    assert again.stdout.partition("Next:")[0] == run.stdout.partition("Next:")[0]


@pytest.mark.parametrize(
    ("folder", "shell", "shown"),
    [
        ("here", "here", "my-project"),
        ("here/it's mine", "here", "'it'\"'\"'s mine/my-project'"),
        ("elsewhere", "here", "{}/elsewhere/my-project"),
        ("here and", "here", "'{}/here and/my-project'"),
        ("here", "gone", "{}/here/my-project"),
        ("linked", "linked", "my-project"),
    ],
)
def test_the_end_names_the_folder_as_the_shell_sees_it(
    tmp_path: Path, folder: str, shell: str, shown: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "here")
    (tmp_path / folder).mkdir(exist_ok=True)

    run = generate(tmp_path / folder, env=clean_environment() | {"PWD": str(tmp_path / shell)})

    assert f"\n    cd {shown.format(tmp_path)}\n" in run.stdout, run.stderr


def test_hooks_hold_no_rule_of_their_own_and_reach_for_nothing() -> None:
    hooks = sorted((ROOT / "hooks").glob("*.py"))
    assert [hook.name for hook in hooks] == ["post_gen_project.py", "pre_gen_project.py"]
    for hook in hooks:
        source = hook.read_text(encoding="utf-8")
        assert len(source.splitlines()) < 75  # a line for each file of an answer
        for word in ("subprocess", "urllib", "socket", "random", "datetime", "import re"):
            assert word not in source, f"{hook.name} uses {word}"
