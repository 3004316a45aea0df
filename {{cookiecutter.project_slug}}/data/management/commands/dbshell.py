{% if cookiecutter.database == "postgres" %}
from typing import Any

from django.core.management.commands import dbshell
from django.db import connections

from data.postgres_programs import errors_in_one_line, run


class Command(dbshell.Command):
    """Django's own, with psql of Compose's `db` where that is the server."""

    def handle(self, *args: str, **options: Any) -> None:
        config = connections[options["database"]].settings_dict
        with errors_in_one_line():
            run(config, ["psql", *options["parameters"]])
{% else %}
import subprocess
import sys
from typing import Any

from django.core.management.commands import dbshell
from django.db import connections


class Command(dbshell.Command):
    """Django's own, with Python's shell for SQLite: Django's wants a program that many machines lack."""

    def handle(self, *args: str, **options: Any) -> None:
        name = connections[options["database"]].settings_dict["NAME"]
        shell = [sys.executable, "-m", "sqlite3", name, *options["parameters"]]
        subprocess.run(shell, check=False)
{% endif %}
