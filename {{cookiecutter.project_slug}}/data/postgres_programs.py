"""Runs PostgreSQL's own programs: in Compose's `db` where that is the server, else this machine's."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError
from psycopg.pq import Conninfo

from data.postgres import LIMITS, parameters

Config = Mapping[str, Any]  # one of DATABASES

PROGRAMS = {"pg_dump", "pg_restore", "psql"}
ENGINE = os.environ.get("ENGINE", "docker")  # or podman, as in the Makefile


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Raises CommandError, which `manage.py` prints as one line, for what a user can correct."""
    try:
        yield
    except OSError as error:
        missing = isinstance(error, FileNotFoundError) and error.filename in PROGRAMS
        hint = "; install PostgreSQL's client programs" if missing else ""
        raise CommandError(f"{error}{hint}") from error
    except subprocess.CalledProcessError as error:  # the program has said why
        raise CommandError(f"{error.cmd[0]} ended with status {error.returncode}") from error


def run(config: Config, command: list[str], **streams: Any) -> None:
    """Runs a program of PostgreSQL and waits for its end. Raises subprocess.CalledProcessError, OSError."""
    command, environment = prepared(config, command, terminal=not streams and sys.stdin.isatty())
    subprocess.run(command, env=environment, check=True, **streams)


def prepared(
    config: Config, command: list[str], *, terminal: bool = False
) -> tuple[list[str], dict[str, str]]:
    """The command and the variables to run a program of PostgreSQL with.

    Its version must not be older than the server's; in the server's own container it never is.
    """
    if in_compose(config):
        inside = {"PGUSER": config["USER"], "PGDATABASE": config["NAME"]}
        inside["PGOPTIONS"] = variables(config).get("PGOPTIONS", "")
        options = [f"--env={name}={value}" for name, value in inside.items()]
        no_terminal = [] if terminal else ["-T"]
        command = [ENGINE, "compose", "exec", *no_terminal, *options, "db", *command]
    return command, os.environ | variables(config)


def variables(config: Config) -> dict[str, str]:
    """A configuration as libpq's variables: an argument would show the password in process listings."""
    said = parameters(config)
    names = {each.keyword.decode(): each.envvar for each in Conninfo.get_defaults()}
    # The server's name and its time limits are not those of a shell or a dump; a role and a schema are.
    del names["application_name"]
    if said.get("options"):
        said["options"] += "".join(f" -c {limit}=0" for limit in LIMITS)
    return {
        variable.decode(): str(said[name])
        for name, variable in names.items()
        if variable and said.get(name)
    }


def in_compose(config: Config) -> bool:
    """Whether the server is Compose's `db`, and not another that this machine has."""
    if config["HOST"] not in {"127.0.0.1", "localhost"}:
        return False
    command = [ENGINE, "compose", "port", "db", "5432"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    port = done.stdout.strip().rpartition(":")[2]
    return done.returncode == 0 and port == str(config["PORT"] or 5432)
