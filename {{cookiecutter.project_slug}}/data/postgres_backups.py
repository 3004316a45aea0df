"""Dumps of a PostgreSQL database, and how they are restored: `manage.py backup`, `manage.py restore`."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from psycopg.sql import SQL, Identifier
from serving.media.archives import now, replacing
from serving.media.storage import place

from data.history import stranger
from data.postgres_programs import Config, errors_in_one_line, in_compose, prepared, run


def new_file(config: Config) -> Path:
    """Where a backup goes unless its user says otherwise."""
    return Path("backups", f"{config['NAME']}-{now()}.dump")


def check_address(config: Config) -> None:
    """Raises CommandError where the address is not that of a server and a database that can be replaced.

    A pooler would give the changed session to the site's requests. One schema of a database that others share would
    come back with theirs.
    """
    if settings.DATABASE_POOLER == "transaction":
        raise CommandError(
            "not through a pooler (DATABASE_POOLER=transaction); name the server itself, before the"
            " command: DATABASE_POOLER=none DATABASE_URL=postgres://user:password@host:5432/name"
        )
    if re.search("search[_-]path", config["OPTIONS"].get("options", ""), re.IGNORECASE):
        raise CommandError(
            "DATABASE_URL sets a search_path (as currentSchema does), and a dump has every schema: to restore"
            " it would replace those of others; copy yours by pg_dump --schema=..., or, if the database is"
            " this project's alone, leave it out before the command: DATABASE_URL=postgres://..."
        )


@errors_in_one_line()
def backup(config: Config, target: Path) -> None:
    """Dumps the database in pg_dump's own format. The target appears when it is complete.

    Only its owner may read it: it holds what the server keeps behind a password. Raises CommandError.
    """
    check_address(config)
    if target.exists():
        raise CommandError(f"{target} is there already")
    command = ["pg_dump", "--format=custom"]
    if role := config["OPTIONS"].get("assume_role"):
        command.append(f"--role={role}")
    with replacing(target) as (part, file):
        run(config, command, stdout=file)
        place(part, target)  # as a rename, but it replaces nothing


@errors_in_one_line()
def restore(config: Config, source: Path, *, force: bool = False) -> Path:
    """Replaces the database by a dump, in one transaction: completely, or not at all.

    It must be a dump of this project, judged by its migrations; with `force`, of any Django project.
    Returns where the previous database is kept. Raises CommandError.
    """
    check_address(config)
    if not source.is_file():
        raise CommandError(f"there is no backup {source}")
    with source.open("rb", buffering=0) as file:
        if file.read(5) != b"PGDMP":
            raise CommandError(f"{source} is no dump in pg_dump's own format (--format=custom)")
        file.seek(0)  # and read to its end, or half a dump would be noticed too late
        run(config, READ, stdin=file, stdout=subprocess.DEVNULL)
    applied = migrations(config, source)
    reason = stranger(applied, current_migrations())
    if reason and not (force and applied):
        raise CommandError(f"{source}: {reason}")
    kept = source.parent / f"before-restore-{now()}.dump"
    backup(config, kept)
    write, environment = prepared(config, WRITE)
    with (
        source.open("rb") as file,
        restorable(config, source) as read,
        subprocess.Popen(
            write, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0
        ) as writer,
    ):
        assert writer.stdin  # noqa: S101
        try:
            writer.stdin.write(set_role(config) + b"BEGIN;" + DROP_OWN + QUIETLY)
            run(config, read, stdin=file, stdout=writer.stdin)
        except (BrokenPipeError, subprocess.CalledProcessError):
            writer.stdin.close()
            if writer.wait() == 0:
                raise
    if writer.returncode:
        raise subprocess.CalledProcessError(writer.returncode, write)
    return kept


def set_role(config: Config) -> bytes:
    """What has all that is made belong to the role that Django takes on, where the URL names one."""
    role = config["OPTIONS"].get("assume_role")
    return SQL("SET ROLE {};").format(Identifier(role)).as_bytes() if role else b""


# A row of django_migrations in a dump, with or without `pg_dump --inserts`: id, app, name, and when.
ROW = re.compile(
    r"^(?:INSERT INTO \S*django_migrations .*?VALUES \()?\d+(?:\t|, ')(\w+)(?:\t|', ')(\w+)(?:\t|')",
    re.MULTILINE,
)


def migrations(config: Config, source: Path) -> set[tuple[str, str]]:
    """The migrations that were applied to a dumped database; none if it is not one of Django's."""
    rows = told(config, source, "--data-only", "--table=django_migrations", "--file=-")
    return set(ROW.findall(rows))


def told(config: Config, source: Path, *options: str) -> str:
    """What pg_restore prints of a dump."""
    command, environment = prepared(config, ["pg_restore", *options])
    with source.open("rb") as file:
        done = subprocess.run(
            command, env=environment, check=True, stdin=file, stdout=subprocess.PIPE
        )
    return done.stdout.decode(errors="replace")


def current_migrations() -> set[tuple[str, str]]:
    """The migrations that were applied to the database that is to be replaced."""
    try:
        return set(MigrationRecorder(connection).applied_migrations())
    finally:
        connection.close()


@contextmanager
def restorable(config: Config, source: Path) -> Iterator[list[str]]:
    """The command that reads a dump, less what the user of the database could not restore.

    An extension that another role has made stays, with its comment, for only its owner may drop it. Where a role is
    missing that the dump grants something, all privileges are left out, and that is said.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles")
        roles = {"PUBLIC"} | {name for (name,) in cursor.fetchall()}
        cursor.execute("SELECT extname FROM pg_extension WHERE NOT pg_has_role(extowner, 'USAGE')")
        others = {name for (name,) in cursor.fetchall()}
    connection.close()
    read = [*READ]
    grants = "".join(GRANT.findall(told(config, source, "--schema-only", "--file=-")))
    if missing := sorted(set(map(unquoted, GRANTED.findall(grants))) - roles):
        read.append("--no-privileges")
        names = ", ".join(missing)
        sys.stderr.write(f"without the dump's GRANTs, since there is no role {names} here\n")
    with NamedTemporaryFile("w") as kept:
        # In Compose's container, which has no such file, the user owns every extension.
        if others and not in_compose(config):
            for line in told(config, source, "--list").splitlines(keepends=True):
                entry = EXTENSION.match(line)
                if not (entry and unquoted(entry[1]) in others):
                    kept.write(line)
            kept.flush()
            read.append(f"--use-list={kept.name}")
        yield read


def unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


NAME = r'("(?:[^"]|"")+"|[^\s";]+)'
GRANT = re.compile(r"^(?:GRANT|REVOKE|ALTER DEFAULT PRIVILEGES) .*;\n", re.MULTILINE)
GRANTED = re.compile(rf" (?:TO|FROM|FOR ROLE) {NAME}")
EXTENSION = re.compile(rf"\d+; \d+ \d+ (?:EXTENSION -|COMMENT - EXTENSION) {NAME}")

# In a transaction, or it would end ours with one of its own for large objects. So the last line that it writes is
# the COMMIT, which half a dump does not have.
READ = ["pg_restore", "--single-transaction", "--clean", "--if-exists", "--no-owner", "--file=-"]
WRITE = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]

# Drops tables, sequences and types that are newer than the dump, which does not mention them. They may refer to those
# that it replaces, and the migrations that made them will be run again. What others have made of them is named.
DROP_OWN = b"""
SET LOCAL client_min_messages = warning;
DO $do$
DECLARE
    theirs text := $$(
        SELECT format('%s of %s', pg_describe_object(classid, objid, 0), pg_get_userbyid(relowner))
        FROM (
            SELECT 'pg_class'::regclass AS classid, oid AS objid, oid AS relation
            FROM pg_class WHERE relkind IN ('v', 'm')
            UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid FROM pg_constraint
            UNION ALL SELECT 'pg_attrdef'::regclass, oid, adrelid FROM pg_attrdef
        ) AS made JOIN pg_class ON pg_class.oid = relation
        WHERE pg_get_userbyid(relowner) <> current_user
    )$$;
    before text[];
    command text;
    lost text;
BEGIN
    EXECUTE format('SELECT ARRAY%s', theirs) INTO before;
    FOR command IN
        SELECT format('DROP %s IF EXISTS %I.%I CASCADE', kind, nspname, name)
        FROM (
            SELECT 1 AS turn, CASE relkind WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind, oid,
                'pg_class'::regclass AS classid, relname AS name, relnamespace AS namespace,
                relowner AS owner
            FROM pg_class WHERE relkind IN ('r', 'p', 'f')
            UNION ALL
            SELECT 2, 'SEQUENCE', oid, 'pg_class'::regclass, relname, relnamespace, relowner
            FROM pg_class WHERE relkind = 'S' AND NOT EXISTS (  -- a column's goes with its table
                SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = oid
                AND deptype IN ('a', 'i')
            )
            UNION ALL
            SELECT 3, 'TYPE', oid, 'pg_type'::regclass, typname, typnamespace, typowner
            FROM pg_type WHERE (
                typtype IN ('e', 'd', 'r')
                OR EXISTS (SELECT FROM pg_class WHERE oid = typrelid AND relkind = 'c')
            ) AND NOT EXISTS (  -- or the column would go
                SELECT FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
                WHERE atttypid IN (pg_type.oid, typarray)
                AND (relowner <> typowner OR relnamespace <> typnamespace)
            )
        ) AS made JOIN pg_namespace ON pg_namespace.oid = namespace
        WHERE nspname = ANY (current_schemas(false)) AND pg_get_userbyid(owner) = current_user
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE deptype = 'e' AND objid = made.oid
            AND pg_depend.classid = made.classid
        )
        ORDER BY turn
    LOOP
        EXECUTE command;
    END LOOP;
    FOR lost IN EXECUTE format('SELECT unnest($1) EXCEPT %s', theirs) USING before LOOP
        RAISE WARNING 'dropped, since it depends on what is replaced: %', lost;
    END LOOP;
END $do$;
"""

# Its BEGIN comes within ours, of which PostgreSQL warns; pg_restore's next line sets this again.
QUIETLY = b"SET LOCAL client_min_messages = error;\n"
