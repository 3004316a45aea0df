"""Whether a backup is of this project, judged by the migrations that were applied to it."""

from typing import Any

from django.db.migrations.loader import MigrationLoader

Migrations = set[tuple[str, str]]  # of pairs of an app's label and a migration's name

FORCE = "`make restore FILE=... FORCE=yes` restores it anyway"


def stranger(applied: Migrations, current: Migrations) -> str | None:
    """Why a backup with these migrations is not of this project; None if it is.

    It may be older than the code, since `migrate` brings it up to date. A migration that neither the code
    nor the `current` database knows is another project's, or of newer code. The apps must be loaded.
    """
    if not applied:
        return "it has no migration of Django's, so it is no backup of this project"
    loader = MigrationLoader(None)
    history: Any = applied  # the stubs want a mapping; a set will do
    # The same check as Django's MigrationLoader.check_consistent_history, which needs a connection.
    for migration in sorted(applied & loader.graph.nodes.keys()):
        for parent in sorted(node.key for node in loader.graph.node_map[migration].parents):
            if parent not in applied and not loader.all_replaced_applied(parent, history):
                return (
                    f"it is another project's, for it has {'.'.join(migration)} without"
                    f" {'.'.join(parent)}; {FORCE}"
                )
    disk = loader.disk_migrations or {}
    known = set(disk) | {old for migration in disk.values() for old in migration.replaces}
    if unknown := sorted(applied - known - current):
        names = ", ".join(".".join(migration) for migration in unknown[:3])
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        return (
            f"it is another project's, or newer than this code, which does not know {names}{more};"
            f" {FORCE}"
        )
    return None
