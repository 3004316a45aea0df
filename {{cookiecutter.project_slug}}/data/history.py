"""Whether a backup is one of this project: its list of applied migrations says so."""

from typing import Any

from django.db.migrations.loader import MigrationLoader

Migrations = set[tuple[str, str]]  # of pairs of an app's label and a migration's name

FORCE = "`make restore FILE=... FORCE=yes` restores it all the same"


def stranger(applied: Migrations, there: Migrations) -> str | None:
    """Why a backup with these migrations is none of this project; None where it is one.

    It may be older than the code, for `migrate` takes it on from there. What neither the code nor the
    database that is `there` has heard of is another project's, or of newer code. The apps must be
    loaded.
    """
    if not applied:
        return "it has no migration of Django's, so it is no backup of this project"
    loader = MigrationLoader(None)
    history: Any = applied  # a set will do, where the stubs want a mapping
    # As Django's own check of a database's history does, which asks a connection for it.
    for migration in sorted(applied & loader.graph.nodes.keys()):
        for parent in sorted(node.key for node in loader.graph.node_map[migration].parents):
            if parent not in applied and not loader.all_replaced_applied(parent, history):
                return (
                    f"it is another project's, for it has {'.'.join(migration)} without"
                    f" {'.'.join(parent)}; {FORCE}"
                )
    disk = loader.disk_migrations or {}
    known = set(disk) | {old for migration in disk.values() for old in migration.replaces}
    if unknown := sorted(applied - known - there):
        names = ", ".join(".".join(migration) for migration in unknown[:3])
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        return (
            f"it is another project's, or newer than this code, which does not know {names}{more};"
            f" {FORCE}"
        )
    return None
