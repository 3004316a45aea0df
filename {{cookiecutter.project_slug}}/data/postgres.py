"""PostgreSQL: what every connection sets, backups and how they are restored.

    python -m data.postgres backup [FILE]
    python -m data.postgres restore FILE [--force]
    python -m data.postgres shell

https://docs.djangoproject.com/en/6.1/ref/databases/#postgresql-notes
https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-PARAMKEYWORDS
https://www.pgbouncer.org/features.html
"""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dj_database_url
import psycopg
from environs import ValidationError
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo, PGconn

PROGRAMS = {"pg_dump", "pg_restore", "psql"}
ENGINE = os.environ.get("ENGINE", "docker")  # or podman, as in the Makefile

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


# What Django and dj-database-url take from the URL's query beside libpq's parameters.
DJANGOS = {"assume_role", "server_side_binding", "prepare_threshold", "currentSchema"}

INTEGERS = {"connect_timeout", "tcp_user_timeout", "keepalives"} | {
    f"keepalives_{what}" for what in ("idle", "interval", "count")
}
NOWHERE = "/nonexistent"


def database(
    url: str, *, application: str, statement_timeout: float, pooler: str = "none"
) -> dict[str, Any]:
    """Django's configuration of the database that a URL names.

    The URL's query takes every parameter of libpq, as ?sslmode=verify-full&sslrootcert=/ca.pem does,
    and wins over what is set here. `application` is what the server shows for the process, with its
    id. `statement_timeout` is in seconds, 0 for none. `pooler` says what is between: "session" or
    "transaction", by the mode of PgBouncer or its like, or "none".

    Raises ValidationError, whose text shows nothing of the URL.
    """
    check_url(url)
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
    check_with_libpq(parsed)
    options = {**NETWORK, "application_name": f"{application}-{os.getpid()}"}
    if pooler != "none":
        # It refuses `options`: data/connections.py says how statements are limited then. A cursor
        # of the server's is not there in the next transaction; prepared statements Django has none.
        parsed["DISABLE_SERVER_SIDE_CURSORS"] = pooler == "transaction"
    elif milliseconds := round(statement_timeout * 1000):
        limits = ("statement_timeout", "idle_in_transaction_session_timeout")
        options["options"] = " ".join(f"-c {name}={milliseconds}" for name in limits)
    parsed["OPTIONS"] = options | parsed.get("OPTIONS", {})
    return parsed


def check_url(url: str) -> None:
    """Raises ValidationError where parts of a URL would be taken for something else in silence."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        hint = " Within a password, write / as %2F, ? as %3F, # as %23." if "@" in url else ""
        raise ValidationError(f"Not a valid database URL.{hint}") from None
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValidationError("There is a space in it; within a password, write it as %20.")
    if parts.fragment or url.endswith("#"):
        raise ValidationError("There is a # in it; write it as %23.")
    if port == 0:
        raise ValidationError("Its port is 0.")
    known = {each.keyword.decode() for each in Conninfo.get_defaults()} | DJANGOS
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if not known.issuperset(names):  # and no name is shown: it may be the end of a password
        raise ValidationError("Its query names a parameter that libpq does not know.")
    for name in names:
        if names.count(name) > 1:
            raise ValidationError(f"Its query has {name} twice.")


def check_with_libpq(config: dict[str, Any]) -> None:
    """Raises ValidationError where libpq refuses a parameter's value, as it would in each request."""
    options = config.get("OPTIONS", {})
    parameters = {name: str(options[name]) for name in options.keys() - DJANGOS}
    for name in options.keys() & (INTEGERS | {"prepare_threshold"}):
        if not re.fullmatch(r"-?\d{1,9}", str(options[name])):
            raise ValidationError(f"The {name} in its query is no whole number that can be used.")
    if not isinstance(options.get("server_side_binding", False), bool):
        raise ValidationError("The server_side_binding in its query is neither true nor false.")
    # It looks at all parameters before it connects, and this folder has no server. Without a user it looks
    # for the process's own, whose number has no name in a container.
    parameters.setdefault("user", "nobody")
    hosts = parameters.pop("host", "").count(",") + 1
    for name in ("hostaddr", "service"):
        parameters.pop(name, None)
    info = make_conninfo(**parameters, host=",".join([NOWHERE] * hosts))
    said = PGconn.connect_start(info.encode()).error_message.decode(errors="replace")
    if NOWHERE not in said:
        wrong = next(
            (name for name in parameters if re.search(rf"\b{name}\b", said)), "a parameter"
        )
        raise ValidationError(f"Its query has a value for {wrong} that libpq refuses.")


def greet(url: str) -> str | None:
    """What answers at a URL where that is not the server that it asks for; None where it may be.

    A server that starts, or does not answer in time, may be.
    """
    from django.db.backends.postgresql.features import DatabaseFeatures

    pooler = os.environ.get("DATABASE_POOLER", "none")
    try:
        config = database(url, application="services", statement_timeout=0, pooler=pooler)
    except ValidationError:  # the settings say so
        return None
    asked = parameters(config) | {"connect_timeout": 2}
    try:
        with psycopg.connect(
            **{name: value for name, value in asked.items() if value}
        ) as connected:
            version = connected.info.server_version // 10_000
    except psycopg.OperationalError as error:
        found = (found for pattern, found in GREETINGS.items() if re.search(pattern, str(error)))
        return next(found, None)
    except psycopg.Error:
        return None
    oldest, *_ = DatabaseFeatures.minimum_database_version or (0,)
    if version < oldest:
        return f"PostgreSQL {version}, where this version of Django needs {oldest} or later"
    return None


GREETINGS = {
    r"password authentication failed|no password supplied|role .* does not exist": (
        "a PostgreSQL that refuses this user or password"
    ),
    r"database .* does not exist": "a PostgreSQL that has no database of this name",
    r"invalid response to SSL negotiation|expected authentication request|server closed the": (
        "something that is no PostgreSQL"
    ),
}


def backup(config: dict[str, Any], target: Path) -> None:
    """Dumps a database in pg_dump's own format. The target appears when it is whole.

    Only its owner may read it: it holds what the server keeps behind a password. Raises
    FileExistsError, OSError, subprocess.CalledProcessError.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        with open(part, "wb", opener=partial(os.open, mode=0o600)) as file:
            run(config, ["pg_dump", "--format=custom"], stdout=file)
        os.link(part, target)  # as a rename, but it replaces nothing
    finally:
        part.unlink(missing_ok=True)


def restore(config: dict[str, Any], source: Path, *, force: bool = False) -> Path:
    """Puts a dump in the database's place, as one transaction: whole, or not at all.

    It must be a dump of this project, by its migrations; with `force` any of Django's will do.

    Returns where the database that was there is kept. Raises OSError, ValueError where the dump is
    refused, subprocess.CalledProcessError.
    """
    from data.history import stranger

    if not source.is_file():
        raise FileNotFoundError(f"there is no backup {source}")
    with source.open("rb", buffering=0) as file:
        if file.read(5) != b"PGDMP":
            raise ValueError(f"{source} is no dump in pg_dump's own format (--format=custom)")
        file.seek(0)  # to its end, or half a dump would be found out too late
        run(config, READ, stdin=file, stdout=subprocess.DEVNULL)
    applied = migrations(config, source)
    reason = stranger(applied, migrations_there())
    if reason and not (force and applied):
        raise ValueError(f"{source}: {reason}")
    kept = source.parent / f"before-restore-{now()}.dump"
    backup(config, kept)
    write, environment = prepared(config, WRITE)
    with (
        source.open("rb") as file,
        subprocess.Popen(
            write, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0
        ) as writer,
    ):
        assert writer.stdin  # noqa: S101
        try:
            writer.stdin.write(b"BEGIN;" + DROP_TABLES)
            run(config, READ, stdin=file, stdout=writer.stdin)
            writer.stdin.write(b"COMMIT;\n")  # never reached with half a dump
        except (BrokenPipeError, subprocess.CalledProcessError):
            writer.stdin.close()
            if writer.wait() == 0:
                raise
    if writer.returncode:
        raise subprocess.CalledProcessError(writer.returncode, write)
    return kept


# A row of django_migrations in a dump: id, app, name, and when; of `pg_dump --inserts`, too.
ROW = re.compile(
    r"^(?:INSERT INTO \S*django_migrations .*?VALUES \()?\d+(?:\t|, ')(\w+)(?:\t|', ')(\w+)(?:\t|')",
    re.MULTILINE,
)


def migrations(config: dict[str, Any], source: Path) -> set[tuple[str, str]]:
    """The migrations that a dump has; none where it is of no database of Django's."""
    command, environment = prepared(
        config, ["pg_restore", "--data-only", "--table=django_migrations", "--file=-"]
    )
    with source.open("rb") as file:
        done = subprocess.run(
            command, env=environment, check=True, stdin=file, stdout=subprocess.PIPE
        )
    return set(ROW.findall(done.stdout.decode(errors="replace")))


def migrations_there() -> set[tuple[str, str]]:
    """The migrations of the database that is there."""
    from django.db import connection
    from django.db.migrations.recorder import MigrationRecorder

    try:
        return set(MigrationRecorder(connection).applied_migrations())
    finally:
        connection.close()


READ = ["pg_restore", "--clean", "--if-exists", "--no-owner", "--file=-"]
WRITE = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]

# Tables that are younger than the dump, which knows nothing of them: they may refer to those that it
# replaces, and migrations that it takes back would find them there when they are run again.
DROP_TABLES = b"""
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT schemaname, tablename FROM pg_tables
        WHERE schemaname = ANY (current_schemas(false)) AND tableowner = current_user
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE deptype = 'e' AND classid = 'pg_class'::regclass
            AND objid = format('%I.%I', schemaname, tablename)::regclass
        )
    LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I.%I CASCADE', made.schemaname, made.tablename);
    END LOOP;
END $$;
"""


def run(config: dict[str, Any], command: list[str], **streams: Any) -> None:
    """Runs a program of PostgreSQL, to its end."""
    command, environment = prepared(config, command, terminal=not streams and sys.stdin.isatty())
    subprocess.run(command, env=environment, check=True, **streams)


def prepared(
    config: dict[str, Any], command: list[str], *, terminal: bool = False
) -> tuple[list[str], dict[str, str]]:
    """How a program of PostgreSQL is run: in Compose's `db`, where that is the server; else here.

    Its version must not be older than the server's, and in the server's own container it never is.
    """
    if in_compose(config):
        inside = {"PGUSER": config["USER"], "PGDATABASE": config["NAME"]}
        options = [f"--env={name}={value}" for name, value in inside.items()]
        no_terminal = [] if terminal else ["-T"]
        command = [ENGINE, "compose", "exec", *no_terminal, *options, "db", *command]
    return command, os.environ | variables(config)


def variables(config: dict[str, Any]) -> dict[str, str]:
    """libpq's variables for what a configuration says, so that no list of processes shows it."""
    said = parameters(config)
    names = {each.keyword.decode(): each.envvar for each in Conninfo.get_defaults()}
    # Of a person's shell, or of a dump, nobody wants the name and the time limits of a server's.
    for name in ("application_name", "options"):
        del names[name]
    return {
        variable.decode(): str(said[name])
        for name, variable in names.items()
        if variable and said.get(name)
    }


def parameters(config: dict[str, Any]) -> dict[str, Any]:
    """What a configuration says, as libpq names it."""
    named = {
        "host": config["HOST"],
        "port": config["PORT"],
        "user": config["USER"],
        "password": config["PASSWORD"],
        "dbname": config["NAME"],
        **config["OPTIONS"],
    }
    return {name: value for name, value in named.items() if name not in DJANGOS}


def in_compose(config: dict[str, Any]) -> bool:
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


def now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def main(command: str = "", file: str = "", force: str = "") -> None:
    """The command line. Ends the process with a message where something is wrong."""
    import django
    from django.conf import settings
    from django.db import DatabaseError
    from serving.probes.diagnosis import advice, described

    if command == "restore":
        django.setup()
    config = settings.DATABASES["default"]
    if command in {"backup", "restore"} and settings.DATABASE_POOLER == "transaction":
        # Both change the session, which the pooler then gives to others: to the site's own requests.
        sys.exit(
            f"{command}: not through a pooler (DATABASE_POOLER=transaction); name the server itself:"
            f" DATABASE_POOLER=none DATABASE_URL=postgres://user:password@host:5432/name make {command}"
        )
    try:
        if command == "backup":
            target = Path(file or f"backups/{config['NAME']}-{now()}.dump")
            backup(config, target)
            print(f"{target}: {target.stat().st_size:,} bytes")
        elif command == "restore" and file and force in {"", "--force"}:
            kept = restore(config, Path(file), force=bool(force))
            print(f"restored {file}; what was there is in {kept}")
        elif command == "shell":
            run(config, ["psql"])
        else:
            sys.exit(
                "usage: python -m data.postgres backup [FILE] | restore FILE [--force] | shell"
            )
    except OSError as error:
        missing = isinstance(error, FileNotFoundError) and error.filename in PROGRAMS
        hint = "; install PostgreSQL's client programs" if missing else ""
        sys.exit(f"{command}: {error}{hint}")
    except ValueError as error:
        sys.exit(f"{command}: {error}")
    except DatabaseError as error:
        sys.exit(f"{command}: {advice(error) or described(error, config['PASSWORD'])}")
    except subprocess.CalledProcessError as error:  # the program has said why
        sys.exit(f"{command}: {error.cmd[0]} ended with status {error.returncode}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main(*sys.argv[1:4])
