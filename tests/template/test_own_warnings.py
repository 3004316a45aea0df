"""Warnings of the project's own code are errors, those of plugins and libraries are not."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bake, Run
from tests.support.sites import SITES, program


def outcome(
    project: Path, run: Run, tmp_path: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return run(
        project, "pytest", "-p", "no:cacheprovider", "tests/test_accounts.py", "tests/test_own.py",
        check=False, PYTHONPATH=str(tmp_path), **variables,
    )  # fmt: skip


def warning(name: str) -> str:
    """The text of a module of tests/sites/warns/."""
    return (SITES / "warns" / f"{name}.py").read_text()


@pytest.fixture
def own(bake: Bake) -> Path:
    """A project with an app that a test imports, and a test."""
    made = bake()
    (made / "shop").mkdir()
    for name in ("__init__.py", "models.py", "old.py"):
        (made / "shop" / name).write_text("")
    settings = made / "config" / "settings.py"
    settings.write_text(settings.read_text().replace('    "home",\n', '    "home",\n    "shop",\n'))
    (made / "tests" / "test_own.py").write_text("def test_nothing() -> None: ...\n")
    return made


def test_a_plugin_may_warn_wherever_it_likes(own: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(program("warning_plugin"))
    done = outcome(own, run, tmp_path, PYTEST_PLUGINS="noisy")
    assert done.returncode == 0, done.stdout + done.stderr
    for where in ("import", "configure", "collection", "setup", "fixture", "thread", "teardown"):
        assert f"the plugin's, {where}" in done.stdout + done.stderr, "it is shown all the same"


def test_a_setting_that_is_deprecated_is_no_end_of_the_tests(
    own: Path, run: Run, tmp_path: Path
) -> None:
    """Django itself warns of it, and names no code of the project's."""
    with (own / "config" / "settings.py").open("a") as settings:
        settings.write('\ndel MAILERS\nEMAIL_FILE_PATH = "/tmp/mail"\n')
    done = outcome(own, run, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


OWN = {
    "tests/test_own.py": ("in_a_test", "on_import"),
    "shop/old.py": ("deprecated", "mail", "thread", "coroutine", "unraisable"),
}


@pytest.mark.parametrize(
    ("name", "warns"), [(name, each) for name, all_of_it in OWN.items() for each in all_of_it]
)
def test_own_code_that_warns_fails(
    own: Path, run: Run, tmp_path: Path, name: str, warns: str
) -> None:
    (own / name).write_text(warning(warns))
    if name == "shop/old.py":
        (own / "tests" / "test_own.py").write_text(warning("calls"))
    done = outcome(own, run, tmp_path)
    assert done.returncode != 0
    assert re.search("1 (failed|error)", done.stdout), done.stdout + done.stderr


@pytest.mark.parametrize("name", ["shop/models.py", "config/settings.py", "shop/__init__.py"])
def test_own_code_that_warns_where_django_imports_it_is_named_in_one_line(
    own: Path, run: Run, tmp_path: Path, name: str
) -> None:
    with (own / name).open("a") as module:
        module.write(warning("in_a_module"))
    done = outcome(own, run, tmp_path)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    assert re.search(rf"/{name}:\d+: DeprecationWarning: old", line)


def test_an_app_in_a_folder_of_apps_is_own_code(own: Path, run: Run, tmp_path: Path) -> None:
    (own / "apps").mkdir()  # a namespace package, as Python has it where there is no __init__.py
    (own / "shop").rename(own / "apps" / "shop")
    settings = own / "config" / "settings.py"
    settings.write_text(settings.read_text().replace('"shop"', '"apps.shop"'))
    (own / "apps" / "shop" / "old.py").write_text(warning("deprecated"))
    calls = warning("calls").replace("from shop.", "from apps.shop.")
    (own / "tests" / "test_own.py").write_text(calls)
    assert "1 failed" in outcome(own, run, tmp_path).stdout


def test_an_owner_can_let_a_warning_pass(own: Path, run: Run, tmp_path: Path) -> None:
    (own / "tests" / "test_own.py").write_text(warning("permitted"))
    assert "1 failed" in outcome(own, run, tmp_path).stdout
    pyproject = own / "pyproject.toml"
    section = "[tool.pytest.ini_options]\n"
    text = pyproject.read_text()
    assert section in text
    lets = f'{section}filterwarnings = ["default:old:DeprecationWarning"]\n'
    pyproject.write_text(text.replace(section, lets))
    done = outcome(own, run, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
