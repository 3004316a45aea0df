"""PostgreSQL: what every connection sets, backups and how they are restored.

    python -m serving.postgres backup [FILE]
    python -m serving.postgres restore FILE
    python -m serving.postgres shell

https://docs.djangoproject.com/en/6.1/ref/databases/#postgresql-notes
https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dj_database_url
from django.db.backends.postgresql.client import DatabaseClient
from environs import ValidationError

# Seconds after which a connection is opened anew, between two requests: so that servers behind a
# balancer share the load again, and a session on the server does not grow for ever.
CONNECTION_AGE = 600

# Seconds, but for the last: a server that is gone without a word is noticed, whoever waits for it.
NETWORK: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def database(url: str, *, application: str, statement_timeout: float) -> dict[str, Any]:
    """Django's configuration of the database that a URL names.

    The URL's query takes every parameter of libpq, as ?sslmode=verify-full&sslrootcert=/ca.pem does,
    and wins over what is set here. `application` is what the server shows for the process, with its
    id. `statement_timeout` is in seconds, 0 for none.

    Raises ValidationError, whose text shows nothing of the URL.
    """
    try:
        parsed: dict[str, Any] = {
            **dj_database_url.parse(url, conn_max_age=CONNECTION_AGE, conn_health_checks=True)
        }
    except ValueError:
        raise ValidationError("Not a valid database URL.") from None
    if parsed["ENGINE"] != "django.db.backends.postgresql":
        raise ValidationError("Not a database URL of PostgreSQL.")
    if not parsed["NAME"]:
        raise ValidationError("It names no database.")
    options = {**NETWORK, "application_name": f"{application}-{os.getpid()}"}
    if milliseconds := round(statement_timeout * 1000):
        limits = ("statement_timeout", "idle_in_transaction_session_timeout")
        options["options"] = " ".join(f"-c {name}={milliseconds}" for name in limits)
    parsed["OPTIONS"] = options | parsed.get("OPTIONS", {})
    return parsed


def backup(config: dict[str, Any], target: Path) -> None:
    """Dumps a database in pg_dump's own format. The target appears when it is whole.

    Raises FileExistsError, OSError, subprocess.CalledProcessError.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            run(config, ["pg_dump", "--format=custom"], stdout=file)
        os.link(part, target)  # as a rename, but it replaces nothing
    finally:
        part.unlink(missing_ok=True)


def restore(config: dict[str, Any], source: Path) -> None:
    """Puts a dump in the database's place, as one transaction: whole, or not at all.

    Raises OSError, subprocess.CalledProcessError.
    """
    command = ["pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction"]
    with source.open("rb") as file:
        run(config, [*command, f"--dbname={config['NAME']}"], stdin=file)


def run(config: dict[str, Any], command: list[str], **streams: Any) -> None:
    """Runs a program of PostgreSQL: in Compose's `db`, where that is the server; else this machine's.

    Its version must not be older than the server's, and in the server's own container it never is.
    """
    _, secrets = DatabaseClient.settings_to_cmd_args_env(config, [])  # TLS and the password
    variables = {
        "PGHOST": config["HOST"],
        "PGPORT": str(config["PORT"]),
        "PGUSER": config["USER"],
        "PGDATABASE": config["NAME"],
        **(secrets or {}),
    }
    if config["HOST"] in {"127.0.0.1", "localhost", "db"} and compose_runs("db"):
        inside = {"PGUSER": config["USER"], "PGDATABASE": config["NAME"]}
        options = [f"--env={name}={value}" for name, value in inside.items()]
        terminal = [] if sys.stdin.isatty() and not streams else ["-T"]
        command = ["docker", "compose", "exec", *terminal, *options, "db", *command]
    environment = os.environ | {name: value for name, value in variables.items() if value}
    subprocess.run(command, env=environment, check=True, **streams)  # noqa: S603


def compose_runs(service: str) -> bool:
    """Whether Compose runs a service of this project on this machine."""
    command = ["docker", "compose", "ps", "--quiet", "--status=running", service]
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    except FileNotFoundError:
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def main(command: str = "", file: str = "") -> None:
    """The command line. Ends the process with a message where something is wrong."""
    from django.conf import settings

    config = settings.DATABASES["default"]
    try:
        if command == "backup":
            now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
            target = Path(file or f"backups/{config['NAME']}-{now}.dump")
            backup(config, target)
            print(f"{target}: {target.stat().st_size:,} bytes")
        elif command == "restore" and file:
            restore(config, Path(file))
            print(f"restored {file}")
        elif command == "shell":
            run(config, ["psql"])
        else:
            sys.exit("usage: python -m serving.postgres backup [FILE] | restore FILE | shell")
    except FileNotFoundError as error:
        missing = f"{error.filename} is missing"
        hint = "" if error.filename == file else "; install PostgreSQL's client programs"
        sys.exit(f"{command}: {missing}{hint}")
    except OSError as error:
        sys.exit(f"{command}: {error}")
    except subprocess.CalledProcessError as error:  # the program has said why
        sys.exit(f"{command}: {error.cmd[0]} ended with status {error.returncode}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main(*sys.argv[1:3])
