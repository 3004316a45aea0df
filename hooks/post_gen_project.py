"""Removes the files that the answers left out, and says what to do next."""

import json
import shutil
import sys
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

# Files that stay for one of these answers alone.
ONLY_FOR = {
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
    "tests/test_postgres.py": [("database", "postgres")],
    "tests/test_sqlite.py": [("database", "sqlite")],
    "tests/test_valkey.py": [("cache", "valkey")],
}

NEXT = """
Your project is in {project_slug}/. Next:

    cd {project_slug}
    make setup run    # installs, makes .env with a fresh secret, migrates, serves on port 8000

`make` lists the other targets; README.md says what is where.
"""

if __name__ == "__main__":
    for path, reasons in ONLY_FOR.items():
        if not any(ANSWERS[answer] == value for answer, value in reasons):
            Path(path).unlink(missing_ok=True)
    # cookiecutter copies packages/ whole, and in a checkout that somebody works in Python leaves these.
    for cache in list(Path("packages").rglob("__pycache__")):
        shutil.rmtree(cache)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # a Windows console may know fewer letters
    print(NEXT.format(**ANSWERS))
