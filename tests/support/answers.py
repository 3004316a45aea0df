"""The answers as tests need them: those that are mere values, the files that some give, typed ones."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.conftest import bake_into, questions

Answers = dict[str, Any]

# Answers that are nothing but the default of a variable: a test proves that they change a value in
# config/granian.env and no more (workers: the limits in compose.yaml, too). Every other choice is taken to change files or code.
PURE_DEFAULTS: Mapping[str, list[Any]] = {
    "log_level": questions()["log_level"],
    "log_format": questions()["log_format"],
    "access_log": [True, False],
    "workers": ["1", "2", "64"],
}

TELEMETRY = (
    "telemetry/__init__.py",
    "telemetry/lifespan.py",
    "telemetry/watching.py",
    "tests/test_telemetry.py",
)

# Files that only some answers give: {(answer, value): paths}. A file that stands here is expected
# in no other project.
FILES_OF: Mapping[tuple[str, Any], frozenset[str]] = {
    ("database", "sqlite"): frozenset(
        {"data/sqlite.py", "data/sqlite_backups.py", "tests/test_sqlite.py"}
    ),
    ("database", "postgres"): frozenset(
        {
            "data/connections.py",
            "data/postgres.py",
            "data/postgres_backups.py",
            "data/postgres_programs.py",
            "data/service_reports.py",
            "tests/test_postgres.py",
        }
    ),
    ("ci", "github"): frozenset(
        {
            ".github/dependabot.yml",
            ".github/workflows/ci.yml",
            ".github/workflows/publish.yml",
            ".github/workflows/template.yml",
        }
    ),
    ("ci", "gitlab"): frozenset({".gitlab-ci.yml", ".gitlab/renovate.json"}),
    ("kubernetes", True): frozenset(
        f"deploy/kubernetes/{path}"
        for path in """
          base/jobs.yaml base/kustomization.yaml base/namespace.yaml base/network.yaml base/server.env
          base/web.yaml overlays/production/kustomization.yaml overlays/production/server.env
          overlays/staging/kustomization.yaml overlays/staging/server.env targets.mk
        """.split()
    ),
    ("tasks", "database"): frozenset(
        {"accounts/forms.py", "accounts/tasks.py", "tests/test_tasks.py"}
    ),
    ("cache", "valkey"): frozenset(
        {
            "data/cache_values.py",
            "data/service_reports.py",
            "data/valkey.py",
            "data/valkey_address.py",
            "data/valkey_refusals.py",
            "tests/test_valkey.py",
        }
    ),
    ("telemetry", "sentry"): frozenset({*TELEMETRY, "telemetry/sentry.py"}),
    ("telemetry", "opentelemetry"): frozenset({*TELEMETRY, "telemetry/opentelemetry.py"}),
}


def choices() -> dict[str, list[Any]]:
    """The values of every question that offers some."""
    found: dict[str, list[Any]] = {}
    for key, default in questions().items():
        if isinstance(default, bool):
            found[key] = [default, not default]
        elif isinstance(default, list):
            found[key] = default
    return found


def text_questions() -> set[str]:
    """The questions that take text."""
    return questions().keys() - choices().keys()


def name_of(answers: Answers) -> str:
    """How a test's name says which combination it is."""
    return "-".join(str(value) for key, value in answers.items() if key not in PURE_DEFAULTS)


def typed(value: Any) -> Any:
    """A text that cookiecutter, which renders what the command line gives, turns into this one."""
    return f"{{{{ {value!a} }}}}" if isinstance(value, str) else value


def bake_typed(folder: Path, **answers: Any) -> Path:
    """Generates a project, each text taken as it is: so it arrives when it is typed at a question."""
    offered = choices()
    out = folder / "out"
    out.mkdir(exist_ok=True)
    return bake_into(
        out, **{key: value if key in offered else typed(value) for key, value in answers.items()}
    )


Once = Callable[[str, Callable[[], object]], None]


def files(project: Path) -> Iterator[tuple[str, Path]]:
    """A project's files with their paths in it, sorted."""
    for path in sorted(project.rglob("*")):
        if path.is_file():
            yield path.relative_to(project).as_posix(), path
