"""What faults are planted in, and the tests that are to notice: copies of the template and of its projects."""

import io
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from cookiecutter import hooks

from tests.conftest import (
    BUILD,
    ROOT,
    WIDEST,
    bake_into,
    clean_environment,
    shared_environment,
    with_packages,
)
from tests.support import in_process
from tests.support.sites import put_tests

FOLDER = BUILD / "mutants"
# What takes long to import, and knows nothing of the project.
SLOW_TO_IMPORT = ("django.test", "django.db.models", "django.core.handlers.asgi", "django.template.context",
                  "django.core.management", "hypothesis", "httpx", "granian", "rest_framework",
                  "redis", "psycopg", "cookiecutter.main", "uvloop")  # fmt: skip
OPTIONS = (
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "-Wignore::pytest.PytestUnraisableExceptionWarning",
    "-Wignore::pytest.PytestAssertRewriteWarning",  # of plugins that are imported already
)


hooks.run_script = in_process.run_script  # quick, and quiet


@dataclass(frozen=True, eq=False)
class Project:
    """`modules` and `tests` are patterns of paths; a leading "!" takes away what others have found."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    answers: Mapping[str, str] | None = field(default_factory=dict)  # None: the template itself
    options: tuple[str, ...] = ()
    runs_processes: bool = False  # of its own, so nobody sees which lines a test runs

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def make(self, python: Path) -> None:
        """Makes the sound project anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.answers is None:
            own = shutil.ignore_patterns("build", ".*", "__pycache__")
            inner = shutil.ignore_patterns(
                "__pycache__"
            )  # a project's own names begin with a dot, too
            shutil.copytree(
                ROOT,
                self.folder,
                ignore=lambda folder, names: (own if folder == str(ROOT) else inner)(folder, names),
            )
            (self.folder / ".venv").symlink_to(ROOT / ".venv")
        else:
            bake(self.answers).rename(self.folder)
            put_tests(self.folder)
            subprocess.run([python, "-m", "compileall", "-q", self.folder], check=True)

    def found(self, patterns: tuple[str, ...]) -> list[str]:
        paths: set[Path] = set()
        for pattern in patterns:
            matched = set(self.folder.glob(pattern.removeprefix("!")))
            paths = paths - matched if pattern.startswith("!") else paths | matched
        return sorted(str(path.relative_to(self.folder)) for path in paths)


def bake(answers: Mapping[str, str]) -> Path:
    """Generates a project, in silence."""
    folder = FOLDER / "made"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with redirect_stdout(io.StringIO()):
        return bake_into(folder, **answers)


def python_of(project: Project) -> Path:
    """The interpreter that runs a project's tests."""
    if project.answers is None:
        return ROOT / ".venv" / "bin" / "python"
    return shared_environment(bake(WIDEST)) / "bin" / "python"


PROJECTS = (
    Project(
        "template",
        ("template_rules.py",),
        ("tests/template/test_rules.py", "tests/template/test_derived_answers.py",
         "tests/template/test_hooks.py"),
        answers=None,
        options=("-n0", "-k", "not shadows and not cruft"),  # they want more than a copy
        runs_processes=True,
    ),
    Project(
        "serving",
        # What only a real server runs is left to tests/live.
        ("packages/django-serving/src/serving/**/*.py", "!**/__main__.py", "!**/application.py",
         "!**/runserver.py", "data/*sqlite*.py", "data/history.py"),
        ("tests/serving/**/test_*.py", "tests/test_*.py", "tests/data/test_sqlite*.py",
         "tests/data/test_history.py",
         "!tests/serving/upstream/*"),
    ),
    Project(
        "cache",
        ("data/valkey*.py", "data/cache_values.py"),
        ("tests/data/test_valkey*.py", "tests/data/test_cache_values.py"),
        answers={"cache": "valkey"},
    ),
    Project(
        "postgres",
        ("data/postgres.py",),
        ("tests/data/test_postgres.py",),
        answers={"database": "postgres"},
    ),
)  # fmt: skip


class Copy:
    """A copy of a project that faults are planted in, and a process that runs its tests."""

    def __init__(self, project: Project, python: Path, number: int) -> None:
        self.project = project
        self.folder = FOLDER / f"{project.name}-{number}"
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(project.folder, self.folder, symlinks=True)
        variables = with_packages(self.folder, {"PYTHONDONTWRITEBYTECODE": "1", "EXAMPLES": "10"})
        self._process = subprocess.Popen(
            [python, ROOT / "tests" / "mutants" / "warm.py", *SLOW_TO_IMPORT],
            cwd=self.folder,
            env=clean_environment() | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def test(self, test: str, seconds: float, *, lines: bool = False) -> "Run":
        """Runs a module of tests; with the lines of the project that it runs, if they are wanted."""
        process = self._process
        assert process.stdin
        assert process.stdout
        arguments = [*OPTIONS, *self.project.options, test]
        folder = f"{self.folder}/" if lines else None
        process.stdin.write(json.dumps([arguments, seconds, folder]) + "\n")
        process.stdin.flush()
        status, took, ran = json.loads(process.stdout.readline())
        paths = {(os.path.relpath(path, self.folder), line) for path, line in ran}
        return Run(status, took, paths)

    def plant(self, module: str, text: str, test: str, seconds: float) -> bool:
        """Whether a module of tests fails, or takes too long, with this text in the place of a module."""
        path = self.folder / module
        sound, stat = path.read_bytes(), path.stat()
        try:
            path.write_text(text)
            return self.test(test, seconds).status != 0
        finally:
            path.write_bytes(sound)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def close(self) -> None:
        with self._process as process:
            assert process.stdin
            process.stdin.close()
        shutil.rmtree(self.folder)


@dataclass(frozen=True)
class Run:
    status: int | None  # None: it took too long
    seconds: float
    lines: set[tuple[str, int]]
