"""`manage.py restore` takes backups of this project alone, and a refusal changes nothing."""

import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Run, bake_into, clean_environment
from tests.support.server import server_environment
from tests.support.services import PASSWORD, Postgres
from tests.support.sites import program

Try = Callable[..., subprocess.CompletedProcess[str]]


def plain(path: Path) -> None:
    """A sound database of another program."""
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE places (url)")
        made.execute("INSERT INTO places VALUES ('https://tea.example')")


def of_another_project(path: Path, run: Run) -> None:
    """A plain Django project, with Django's own user model."""
    run(path.parent, "python", "-c", program("make_another_database"), str(path))


def kept(project: Path) -> set[str]:
    """The names of the files, but for those that SQLite lays beside a file that it reads."""
    return {path.name for path in project.iterdir() if not path.name.endswith(("-wal", "-shm"))}


def test_sqlite_files_of_others_are_refused(project: Path, run: Run) -> None:
    database = project / "db.sqlite3"
    variables = server_environment(project)
    data = ("python", "manage.py")
    run(project, *data, "backup", "own.sqlite3", **variables)
    plain(project / "places.sqlite3")
    of_another_project(project / "other.sqlite3", run)
    (project / "secret.sqlite3").write_bytes(bytes(range(256)) * 64)
    (project / "text.sql").write_text("CREATE TABLE tea (name);\n")
    (project / "empty.sqlite3").touch()
    whole = (project / "own.sqlite3").read_bytes()
    (project / "half.sqlite3").write_bytes(whole[: len(whole) // 2])
    (project / "torn.sqlite3").write_bytes(whole[:50_000] + bytes(20_000) + whole[70_000:])
    shutil.copy(project / "own.sqlite3", project / "newer.sqlite3")
    with closing(sqlite3.connect(project / "newer.sqlite3")) as newer, newer:
        newer.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('home', '0007_tea', '')"
        )
    with closing(sqlite3.connect(project / "numbers.sqlite3")) as numbers, numbers:
        numbers.execute("CREATE TABLE django_migrations (app, name)")
        numbers.execute("INSERT INTO django_migrations VALUES (1, NULL)")
    before, files = database.read_bytes(), kept(project)

    for name, reason in {
        "places.sqlite3": "it has no migration of Django's",
        "numbers.sqlite3": "it has no migration of Django's",
        "other.sqlite3": "it is another project's, for it has admin.0001_initial without accounts.0001_initial",
        "newer.sqlite3": "does not know home.0007_tea",
        "secret.sqlite3": "file is not a database",
        "text.sql": "file is not a database",
        "empty.sqlite3": "holds no table",
        "half.sqlite3": "malformed",
        "torn.sqlite3": "",
        "db.sqlite3": "is the database itself",
        "missing.sqlite3": "there is no backup",
        "home": "there is no backup",
    }.items():
        refused = run(project, *data, "restore", name, check=False, **variables)
        assert refused.returncode == 1, (name, refused.stdout)
        *_, line = refused.stderr.splitlines()
        assert len(refused.stderr.splitlines()) == 1, refused.stderr
        assert line.startswith("CommandError: ")
        assert reason in line
        assert database.read_bytes() == before
    assert kept(project) == files

    assert "restored" in run(project, *data, "restore", "own.sqlite3", **variables).stdout
    # An older one, and an app that was removed since.
    removed = "INSERT INTO django_migrations (app, name, applied) VALUES ('removed', '0001', '')"
    shutil.copy(project / "own.sqlite3", project / "older.sqlite3")
    for path in (project / "older.sqlite3", database):
        with closing(sqlite3.connect(path)) as changed, changed:
            changed.execute(removed)
    with closing(sqlite3.connect(project / "older.sqlite3")) as older, older:
        older.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    assert "restored" in run(project, *data, "restore", "older.sqlite3", **variables).stdout
    forced = run(project, *data, "restore", "newer.sqlite3", "--force", **variables)
    assert "restored newer.sqlite3" in forced.stdout


@pytest.fixture
def shop(tmp_path: Path, postgres: Postgres, run: Run) -> Iterator[tuple[Path, Try]]:
    """A project with a migrated database "shop", and what runs its commands."""
    project = bake_into(tmp_path, database="postgres")
    postgres.query("CREATE DATABASE shop")
    variables = server_environment(project) | {
        "DATABASE_URL": postgres.url("shop"),
        "PATH": f"{postgres.programs}:/usr/bin:/bin",
        "ENGINE": "no-engine",
    }

    def attempt(*arguments: str, **others: str) -> subprocess.CompletedProcess[str]:
        return run(project, "python", *arguments, check=False, **variables | others)

    assert attempt("manage.py", "migrate", "--verbosity", "0").returncode == 0
    yield project, attempt
    postgres.query("DROP DATABASE shop WITH (FORCE)")


def test_dumps_of_others_are_refused(shop: tuple[Path, Try], postgres: Postgres) -> None:
    project, attempt = shop
    data = ("manage.py",)
    assert attempt(*data, "backup", "own.dump").returncode == 0
    postgres.query("CREATE DATABASE other")
    try:
        dump(postgres, "other", project / "empty.dump")
        postgres.query("CREATE TABLE places (url text)", "other")
        dump(postgres, "other", project / "places.dump")
        postgres.query(
            "CREATE TABLE django_migrations (id int, app text, name text, applied timestamp);"
            "INSERT INTO django_migrations VALUES (1, 'blog', '0001_initial', now())",
            "other",
        )
        dump(postgres, "other", project / "blog.dump")
        dump(postgres, "other", project / "blog.sql", "--format=plain")
        dump(postgres, "other", project / "inserts.dump", "--format=custom", "--inserts")
    finally:
        postgres.query("DROP DATABASE other")
    dump(postgres, "shop", project / "own-inserts.dump", "--format=custom", "--inserts")
    postgres.query(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('home', '0007_tea', now())",
        "shop",
    )
    dump(postgres, "shop", project / "newer.dump")
    postgres.query("DELETE FROM django_migrations WHERE name = '0007_tea'", "shop")
    postgres.query("INSERT INTO auth_group (name) VALUES ('there')", "shop")
    files = {path.name for path in project.iterdir()}

    for name, reason in {
        "empty.dump": "it has no migration of Django's",
        "places.dump": "it has no migration of Django's",
        "blog.dump": "does not know blog.0001_initial",
        "inserts.dump": "does not know blog.0001_initial",
        "blog.sql": "is no dump in pg_dump's own format",
        "newer.dump": "does not know home.0007_tea",
    }.items():
        refused = attempt(*data, "restore", name)
        assert refused.returncode == 1, name
        *_, line = refused.stderr.splitlines()
        assert len(refused.stderr.splitlines()) == 1, refused.stderr
        assert line.startswith("CommandError: ")
        assert reason in line
        assert postgres.query("SELECT name FROM auth_group", "shop") == ["there"]
    assert {path.name for path in project.iterdir()} == files

    for own in ("own.dump", "own-inserts.dump"):
        done = attempt(*data, "restore", own)
        assert done.returncode == 0, done.stderr
    assert postgres.query("SELECT name FROM auth_group", "shop") == []
    assert attempt(*data, "restore", "newer.dump", "--force").returncode == 0
    assert attempt("manage.py", "migrate", "--check").returncode == 0


def test_a_dump_that_fails_half_way_leaves_the_database_as_it_was(
    shop: tuple[Path, Try], postgres: Postgres
) -> None:
    """What it drops and replaces before its mistake is there again: all of it is one transaction."""
    project, attempt = shop
    postgres.query(
        # The row is put back before the one that its check looks for.
        "CREATE TABLE zzz (x int); INSERT INTO zzz VALUES (1);"
        "CREATE FUNCTION known(int) RETURNS bool AS"
        " 'SELECT EXISTS (SELECT FROM public.zzz WHERE x = $1)' LANGUAGE sql;"
        "CREATE TABLE aaa (x int CHECK (known(x))); INSERT INTO aaa VALUES (1);",
        "shop",
    )
    assert attempt("manage.py", "backup", "broken.dump").returncode == 0
    postgres.query(
        "DROP TABLE aaa; DROP FUNCTION known; DROP TABLE zzz;"
        "INSERT INTO auth_group (name) VALUES ('there'); CREATE TABLE newer (x int)",
        "shop",
    )

    failed = attempt("manage.py", "restore", "broken.dump")

    assert failed.returncode == 1
    assert failed.stderr.count("Traceback") == 0, failed.stderr
    assert postgres.query("SELECT name FROM auth_group", "shop") == ["there"]
    tables = postgres.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", "shop")
    assert "newer" in tables
    assert not {"aaa", "zzz"} & set(tables)
    (kept,) = project.glob("before-restore-*.dump")
    assert attempt("manage.py", "restore", kept.name).returncode == 0
    assert postgres.query("SELECT name FROM auth_group", "shop") == ["there"]


def test_large_objects_are_restored_in_the_same_transaction(
    shop: tuple[Path, Try], postgres: Postgres, tmp_path: Path
) -> None:
    """`pg_restore` ends one of its own behind them: what is killed after it had left tables without keys."""
    _, attempt = shop
    postgres.query("SELECT lo_from_bytea(0, 'tea')", "shop")
    assert attempt("manage.py", "backup", "saved.dump").returncode == 0
    postgres.query("INSERT INTO auth_group (name) VALUES ('there')", "shop")
    whole = constraints(postgres)
    killed = tmp_path / "killed" / "pg_restore"
    killed.parent.mkdir()
    real = postgres.programs / "pg_restore"
    killed.write_text(
        f'#!/bin/sh\nreadlink /proc/$$/fd/1 | grep -q ^pipe && {killing(real)}; exec {real} "$@"\n'
    )
    killed.chmod(0o755)

    failed = attempt("manage.py", "restore", "saved.dump", PATH=f"{killed.parent}:/usr/bin:/bin")

    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == "CommandError: pg_restore ended with status 137"
    assert constraints(postgres) == whole
    assert postgres.query("SELECT name FROM auth_group", "shop") == ["there"]

    done = attempt("manage.py", "restore", "saved.dump")
    assert (done.returncode, done.stderr) == (0, "")
    assert constraints(postgres) == whole
    assert postgres.query("SELECT name FROM auth_group", "shop") == []
    (large,) = postgres.query("SELECT loid FROM pg_largeobject", "shop")
    assert postgres.query(f"SELECT convert_from(lo_get({large}), 'utf8')", "shop") == ["tea"]


@pytest.mark.parametrize("query", ["assume_role=", "options=-crole%3D"])
def test_a_restore_makes_tables_of_the_role_that_the_url_takes_on(
    shop: tuple[Path, Try], postgres: Postgres, query: str
) -> None:
    """Django takes it on for its statements; the tables were those of whoever logs in."""
    _, attempt = shop
    postgres.query(
        'CREATE ROLE "Owners-1"; CREATE ROLE till LOGIN NOINHERIT PASSWORD \'x\' IN ROLE "Owners-1"'
    )
    postgres.query('CREATE DATABASE owned OWNER "Owners-1"')
    tables = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    url = f"{postgres.url('owned', user='till', password='x')}?{query}Owners-1"
    try:
        for command in (["migrate"], ["backup", "saved.dump"]):
            done = attempt("manage.py", *command, DATABASE_URL=url)
            assert done.returncode == 0, done.stderr
        assert postgres.query(tables, "owned") == ["Owners-1"]
        postgres.query("INSERT INTO auth_group (name) VALUES ('there')", "owned")

        done = attempt("manage.py", "restore", "saved.dump", DATABASE_URL=url)

        assert done.returncode == 0, done.stderr
        assert postgres.query(tables, "owned") == ["Owners-1"]
        assert postgres.query("SELECT name FROM auth_group", "owned") == []
    finally:
        postgres.query("DROP DATABASE owned WITH (FORCE)")
        postgres.query('DROP ROLE till, "Owners-1"')


@pytest.mark.parametrize(
    "query",
    [
        "currentSchema=tea",
        "options=-csearch_path%3Dtea",
        "options=-c%20geqo%3Doff%20--SEARCH-PATH%3Dtea,public",
    ],
)
def test_a_schema_beside_others_is_not_restored(
    shop: tuple[Path, Try], postgres: Postgres, query: str
) -> None:
    """A dump has all schemas: one of the database that others share came back with theirs, and over them."""
    project, attempt = shop
    assert attempt("manage.py", "backup", "saved.dump").returncode == 0
    postgres.query("CREATE SCHEMA tea; INSERT INTO auth_group (name) VALUES ('there')", "shop")
    url = f"{postgres.url('shop')}?{query}"
    files = set(project.iterdir())

    for command in ("backup", "restore"):
        file = {"backup": "new.dump", "restore": "saved.dump"}[command]
        refused = attempt("manage.py", command, file, DATABASE_URL=url)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert line.startswith(
            "CommandError: DATABASE_URL sets a search_path (as currentSchema does)"
        )
        assert PASSWORD not in line

    assert postgres.query("SELECT name FROM auth_group", "shop") == ["there"]
    assert set(project.iterdir()) == files


def test_an_ordinary_role_restores_beside_what_a_superuser_has_made(
    shop: tuple[Path, Try], postgres: Postgres
) -> None:
    """Extensions of theirs stay, and what a missing role was granted is left out with a word."""
    _, attempt = shop
    postgres.query("CREATE ROLE \"Report-1\"; CREATE ROLE till LOGIN PASSWORD 'x'")
    for name in ("owned", "fresh"):
        postgres.query(f"CREATE DATABASE {name} OWNER till")
    url = {name: postgres.url(name, user="till", password="x") for name in ("owned", "fresh")}
    extensions = (
        "SELECT extname, extowner::regrole FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
    )
    kept = ["citext|ada", "uuid-ossp|ada"]
    try:
        postgres.query('CREATE EXTENSION citext; CREATE EXTENSION "uuid-ossp"', "owned")
        assert attempt("manage.py", "migrate", DATABASE_URL=url["owned"]).returncode == 0
        postgres.query(
            "SET ROLE till; CREATE TABLE tea (name citext);"
            "INSERT INTO tea VALUES ('Oolong'); GRANT SELECT ON tea TO \"Report-1\"",
            "owned",
        )
        made = attempt("manage.py", "backup", "saved.dump", DATABASE_URL=url["owned"])
        assert made.returncode == 0, made.stderr

        done = attempt("manage.py", "restore", "saved.dump", DATABASE_URL=url["owned"])

        assert done.returncode == 0, done.stderr
        assert "GRANT" not in done.stderr
        assert postgres.query(extensions, "owned") == kept
        assert postgres.query("SELECT name = 'OOLONG' FROM tea", "owned") == ["t"]
        may = "SELECT has_table_privilege('Report-1', 'tea', 'SELECT')"
        assert postgres.query(may, "owned") == ["t"]

        postgres.query('DROP OWNED BY "Report-1"', "owned")
        postgres.query('DROP ROLE "Report-1"')
        done = attempt("manage.py", "restore", "saved.dump", DATABASE_URL=url["fresh"])
        assert done.returncode == 0, done.stderr
        assert "without the dump's GRANTs, since there is no role Report-1 here\n" in done.stderr
        assert postgres.query(extensions, "fresh") == ["citext|till", "uuid-ossp|till"]
        assert postgres.query("SELECT name = 'OOLONG' FROM tea", "fresh") == ["t"]
    finally:
        for name in url:
            postgres.query(f"DROP DATABASE {name} WITH (FORCE)")
        postgres.query('DROP ROLE IF EXISTS "Report-1"')
        postgres.query("DROP ROLE till")


def test_nothing_of_ones_own_that_is_newer_stays_and_what_others_lose_is_named(
    shop: tuple[Path, Try], postgres: Postgres
) -> None:
    _, attempt = shop
    postgres.query("CREATE TYPE kept AS ENUM ('a'); CREATE TABLE tea (x kept, y serial)", "shop")
    made = (
        "SELECT typname::text FROM pg_type WHERE typnamespace = 'public'::regnamespace UNION ALL"
        " SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' ORDER BY 1"
    )
    before = postgres.query(made, "shop")
    assert attempt("manage.py", "backup", "saved.dump").returncode == 0
    postgres.query(
        "CREATE TYPE mood AS ENUM ('a'); CREATE TYPE pair AS (x int); CREATE DOMAIN few AS int;"
        "CREATE SEQUENCE counter; CREATE TABLE newer (x mood, y pair, z few DEFAULT nextval('counter'));"
        "CREATE FUNCTION cheer(mood) RETURNS int AS 'SELECT 1' LANGUAGE sql;"
        "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;"
        "CREATE FOREIGN TABLE far (x mood) SERVER far;"
        "CREATE TYPE shared AS ENUM ('a'); CREATE SCHEMA other;"
        "CREATE TABLE other.tea AS SELECT 'a'::shared AS x;"
        "CREATE ROLE boss; CREATE SCHEMA bosses AUTHORIZATION boss; SET search_path = bosses;"
        "GRANT SELECT, REFERENCES ON public.accounts_user TO boss; SET ROLE boss;"
        "CREATE VIEW people AS SELECT * FROM public.accounts_user;"
        "CREATE VIEW fewer AS SELECT username FROM people;"
        "CREATE TABLE badges (id int CONSTRAINT worn REFERENCES public.accounts_user, x public.shared);"
        "INSERT INTO badges VALUES (NULL, 'a')",
        "shop",
    )
    try:
        done = attempt("manage.py", "restore", "saved.dump")

        assert done.returncode == 0, done.stderr
        assert sorted(done.stderr.splitlines()) == [
            f"WARNING:  dropped, since it depends on what is replaced: {what} of boss"
            for what in (
                "constraint worn on table bosses.badges",
                "view bosses.fewer",
                "view bosses.people",
            )
        ]
        left = postgres.query(made, "shop")
        assert [name for name in left if name not in ("shared", "_shared")] == before
        assert postgres.query("SELECT to_regclass('far'), to_regclass('newer')", "shop") == ["|"]
        assert "shared" in left, "a column of a table that stays is kept"
        for rows in ("SELECT x FROM bosses.badges", "SELECT x FROM other.tea"):
            assert postgres.query(rows, "shop") == ["a"]
        assert attempt("manage.py", "migrate", "--check").returncode == 0
    finally:
        postgres.query("DROP OWNED BY boss", "shop")
        postgres.query("DROP ROLE boss")


def test_of_two_dumps_at_once_one_is_made(
    shop: tuple[Path, Try], postgres: Postgres, environment: Path, tmp_path: Path
) -> None:
    """The second must not write into the first one's file."""
    project, attempt = shop
    slow = tmp_path / "slow" / "pg_dump"
    slow.parent.mkdir()
    # It dumps when another has begun and ended meanwhile.
    other = f"PATH={postgres.programs}:$PATH {environment}/bin/python manage.py backup saved.dump"
    slow.write_text(f"#!/bin/sh\n{other} >&2; sha256sum saved.dump >sum; echo late\n")
    slow.chmod(0o755)

    late = attempt("manage.py", "backup", "saved.dump", PATH=f"{slow.parent}:/usr/bin:/bin")

    assert late.returncode == 1, late.stdout
    assert "saved.dump" in late.stderr.splitlines()[-1]
    subprocess.run(["sha256sum", "--check", "--quiet", "sum"], cwd=project, check=True)
    assert not list(project.glob(".*.part"))


def killing(real: Path) -> str:
    """The whole dump but for its keys, as if it had been killed there; the list of migrations as ever."""
    return (
        f'case "$*" in *--data-only*) ;; *) {real} "$@" | sed "/ADD CONSTRAINT/q"; exit 137; esac'
    )


def constraints(postgres: Postgres) -> list[str]:
    return sorted(postgres.query("SELECT conname FROM pg_constraint", "shop"))


def dump(postgres: Postgres, name: str, target: Path, *options: str) -> None:
    subprocess.run(
        [postgres.programs / "pg_dump", *(options or ("--format=custom",)), f"--file={target}",
         f"--dbname={postgres.url(name)}"],
        check=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "force", "words"),
    [
        ("backup", "no", ["backup", "my own.sqlite3"]),
        ("restore", "no", ["restore", "my own.sqlite3"]),
        ("restore", "yes", ["restore", "my own.sqlite3", "--force"]),
    ],
)
def test_make_passes_a_file_on_as_one_word(
    default_project: Path, target: str, force: str, words: list[str]
) -> None:
    """Else a backup is named by the first word alone. And nothing but FORCE=yes forces."""
    make = [
        "make", "--dry-run", "--assume-old=.env", target, "FILE=my own.sqlite3", f"FORCE={force}",
    ]  # fmt: skip
    done = subprocess.run(
        make,
        cwd=default_project,
        env=clean_environment(),  # or make, run by make, says which folder it leaves
        capture_output=True,
        text=True,
        check=True,
    )
    assert shlex.split(done.stdout.splitlines()[-1])[-len(words) :] == words
