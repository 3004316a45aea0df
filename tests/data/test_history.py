"""Whose backup it is, by the migrations that were applied to it."""

from pathlib import Path

import pytest
from data.history import FORCE, Migrations, stranger
from django.conf import settings
from django.db.migrations.loader import MigrationLoader

OWN = set(MigrationLoader(None).graph.nodes)
FIRST, SECOND, SQUASHED, THIRD = (
    ("sessions", name)
    for name in ("0001_initial", "0002_cups", "0001_squashed_0002_cups", "0003_milk")
)
WITHOUT = (
    "it is another project's, for it has sessions.0003_milk without sessions.0001_squashed_0002_cups;"
    f" {FORCE}"
)


def write(
    folder: Path,
    migration: tuple[str, str],
    after: list[tuple[str, str]],
    replaces: list[tuple[str, str]],
) -> None:
    members = {"dependencies": after, "replaces": replaces}
    (folder / f"{migration[1]}.py").write_text(
        "from django.db import migrations\n"
        f"Migration = type('Migration', (migrations.Migration,), {members!r})\n"
    )


@pytest.fixture(params=["kept", "removed"])
def squashed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app whose first two migrations were squashed; their files are kept for a while, or removed."""
    package = tmp_path / f"of_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").touch()
    if request.param == "kept":
        write(package, FIRST, [], [])
        write(package, SECOND, [FIRST], [])
    write(package, SQUASHED, [], [FIRST, SECOND])
    write(package, THIRD, [SQUASHED], [])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(settings, "MIGRATION_MODULES", {"sessions": package.name})


@pytest.mark.usefixtures("squashed")
@pytest.mark.parametrize(
    ("applied", "reason"),
    [
        ({FIRST}, None),
        ({FIRST, SECOND}, None),
        ({FIRST, SECOND, THIRD}, None),
        ({SQUASHED}, None),
        ({SQUASHED, THIRD}, None),
        ({THIRD}, WITHOUT),
        ({FIRST, THIRD}, WITHOUT),
    ],
)
def test_squashed_migrations_are_as_good_as_those_that_they_replace(
    applied: Migrations, reason: str | None
) -> None:
    assert stranger(applied, set()) == reason


def test_a_backup_that_is_older_than_the_code_is_the_projects() -> None:
    assert stranger(OWN, set()) is None
    assert stranger({("contenttypes", "0001_initial")}, OWN) is None


def test_what_has_no_migration_is_no_backup() -> None:
    assert str(stranger(set(), OWN)).startswith("it has no migration of Django's")


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ("1", "shop.1"),
        ("321", "shop.1, shop.2, shop.3"),
        ("4321", "shop.1, shop.2, shop.3 and 1 more"),
        ("54321", "shop.1, shop.2, shop.3 and 2 more"),
    ],
)
def test_migrations_that_nobody_knows_are_named(numbers: str, named: str) -> None:
    unknown = {("shop", number) for number in numbers}
    assert stranger(OWN | unknown, OWN) == (
        f"it is another project's, or newer than this code, which does not know {named}; {FORCE}"
    )
    assert stranger(OWN | unknown, unknown) is None, (
        "a part of the code is gone, but not its tables"
    )
    assert named.partition(",")[0] in str(stranger(OWN | unknown, unknown - {("shop", "1")}))
