"""Runs tests/serving/ and tests/data/ inside a generated project, with that project's environment."""

import re

import pytest

from tests.conftest import ROOT, Bake, Run
from tests.support.sites import put_tests

INSIDE = ROOT / "tests" / "serving"
# 10 s and more, each by itself: in `make test`, and in `make test-slow`.
LONG = ["http/test_handler.py"]
SLOW = ["lifespan/test_protocol.py", "upstream"]
QUICK = [
    name
    for name in sorted(path.relative_to(INSIDE).as_posix() for path in INSIDE.rglob("test_*.py"))
    if not name.startswith((*LONG, *SLOW))
]
# Django's own handler leaves its connections to the garbage collector, which says so at any time.
OPTIONS = ("-p", "no:cacheprovider", "-Wignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(QUICK, marks=pytest.mark.quick, id="quick"),
        *(pytest.param([name], id=name) for name in LONG),
        *(pytest.param([name], marks=pytest.mark.slow, id=name) for name in SLOW),
    ],
)
def test_inside_a_project(bake: Bake, run: Run, names: list[str]) -> None:
    project = bake()
    put_tests(project)
    done = run(project, "pytest", *OPTIONS, *(f"tests/serving/{name}" for name in names))
    assert re.search(r"\d+ passed", done.stdout)


DATA = {
    "test_cache_values.py": {"cache": "valkey"},
    "test_history.py": {},
    "test_postgres.py": {"database": "postgres"},
    "test_sqlite.py": {},
    "test_sqlite_backups.py": {},
    "test_valkey.py": {"cache": "valkey"},
    "test_valkey_client.py": {"cache": "valkey"},
}


@pytest.mark.quick
@pytest.mark.parametrize("name", DATA)
def test_data_inside_a_project(bake: Bake, run: Run, name: str) -> None:
    project = bake(**DATA[name])
    put_tests(project)
    done = run(project, "pytest", "-p", "no:cacheprovider", f"tests/data/{name}")
    assert re.search(r"\d+ passed", done.stdout)


def test_each_module_for_data_is_run() -> None:
    assert {path.name for path in (ROOT / "tests" / "data").glob("test_*.py")} == DATA.keys()


@pytest.mark.quick
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.parametrize("cache", ["local", "valkey"])
def test_a_projects_own_tests_are_few(bake: Bake, database: str, cache: str) -> None:
    """Its owner reads them; what tests the template's own code alone stands here."""
    project = bake(database=database, cache=cache)
    files = [project / "conftest.py", *(project / "tests").rglob("*.py")]
    assert sum(len(file.read_text().splitlines()) for file in files) < 460


@pytest.mark.quick
def test_what_tests_put_into_projects_is_typed(bake: Bake, run: Run) -> None:
    """Strictly, as a project's own code is, but for what needs packages that a project has not."""
    project = bake()
    put_tests(project)
    others = r"tests/sites/((bare|documented|errands|libraries|moving|owner|shop|warns|written)/|programs/(moving_|judge_headers))"
    exclude = ("--exclude", others)
    run(project, "mypy", "--strict", *exclude, "tests/sites", "tests/serving/client.py")
