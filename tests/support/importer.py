"""Imports the settings of generated projects, one after another, in forks of a warm process.

Runs in the environment of the projects. Reads a folder a line, writes a JSON object a line.
"""

import importlib
import json
import os
import sys

for name in ("django.core.cache", "django.core.checks", "django.utils.csp", "environs"):
    importlib.import_module(name)  # once for all forks

# What a project cannot start without, where it holds the file.
ADDRESSES = (
    ("data/postgres.py", "DATABASE_URL", "postgres://ada:secret@db.example/shop"),
    ("data/valkey.py", "CACHE_URL", "redis://cache.example"),
)


def report(folder: str) -> None:
    """Writes what a project's settings hold, or why they cannot be imported."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    for path, variable, address in ADDRESSES:
        if os.path.exists(path):
            os.environ[variable] = address
    try:
        settings = importlib.import_module("config.settings")
        found = {
            "project_name": settings.PROJECT_NAME,
            "domain_name": settings.DOMAIN_NAMES[0],
            "error": None,
        }
    except BaseException as error:
        found = {"error": repr(error)}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            report(json.loads(line))
            os._exit(0)
        os.waitpid(child, 0)
