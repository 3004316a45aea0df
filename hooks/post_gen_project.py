"""Removes the files and folders that the answers left out (ONLY_FOR), and says what to do next."""

import json
import os
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

ONLY_FOR: dict[str, list[tuple[str, str | bool]]] = {
    ".github": [("ci", "github")],
    ".gitlab": [("ci", "gitlab")],
    ".gitlab-ci.yml": [("ci", "gitlab")],
    "accounts/forms.py": [("tasks", "database")],
    "accounts/tasks.py": [("tasks", "database")],
    "data/cache_values.py": [("cache", "valkey")],
    "data/connections.py": [("database", "postgres")],
    "data/postgres.py": [("database", "postgres")],
    "data/postgres_backups.py": [("database", "postgres")],
    "data/postgres_programs.py": [("database", "postgres")],
    "data/service_reports.py": [("database", "postgres"), ("cache", "valkey")],
    "data/sqlite.py": [("database", "sqlite")],
    "data/sqlite_backups.py": [("database", "sqlite")],
    "data/valkey.py": [("cache", "valkey")],
    "data/valkey_address.py": [("cache", "valkey")],
    "data/valkey_refusals.py": [("cache", "valkey")],
    "deploy/kubernetes": [("kubernetes", True)],
    "telemetry": [("telemetry", "sentry"), ("telemetry", "opentelemetry")],
    "telemetry/opentelemetry.py": [("telemetry", "opentelemetry")],
    "telemetry/sentry.py": [("telemetry", "sentry")],
    "tests/test_postgres.py": [("database", "postgres")],
    "tests/test_tasks.py": [("tasks", "database")],
    "tests/test_sqlite.py": [("database", "sqlite")],
    "tests/test_telemetry.py": [("telemetry", "sentry"), ("telemetry", "opentelemetry")],
    "tests/test_valkey.py": [("cache", "valkey")],
}

TEXTS = "project_name project_slug description author_name author_email domain_name".split()

NEXT = """
Your project is made: {} files, and in packages/ what serves it. Its folders and its answers:

{}

Next:

    cd {}
    make setup run    # installs, makes .env with a fresh secret, migrates, serves on http://127.0.0.1:8000/
    make superuser    # who logs in at /admin/, and sees the running server on the first page
    make dev          # serves while you write: reload, debug pages, a log for people

`make` lists the other targets; README.md says what is where.
"""

if __name__ == "__main__":
    for path, reasons in ONLY_FOR.items():
        if not any(ANSWERS[answer] == value for answer, value in reasons):
            shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink(missing_ok=True)
    for cache in list(Path("packages").rglob("__pycache__")):
        shutil.rmtree(cache)  # Python's, of a checkout that is worked in; packages/ is copied whole
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # a Windows console may know fewer letters
    files = [path for path in Path().rglob("*") if path.is_file() and path.parts[0] != "packages"]
    chosen = [f"{key}={ANSWERS[key]}" for key in ANSWERS if key[0] != "_" and key not in TEXTS]
    folders = [path.name + "/" for path in sorted(Path().iterdir()) if path.is_dir()]
    lists = "\n".join(textwrap.fill(" ".join(each), 76) for each in (folders, chosen))
    # As the shell sees it that cookiecutter was started in, where that says its own folder.
    here, shell = Path.cwd(), Path(os.environ.get("PWD", "?")).resolve()
    folder = shlex.quote(str(here.relative_to(shell) if shell in here.parents else here))
    print(NEXT.format(len(files), textwrap.indent(lists, "    "), folder))
