"""Puts an older image in the place of the one that runs; `make rollback` calls it.

    python3 -m serving_tools.deploy.rollback [TAG]

Without a tag it is what ran before: where a build has not been deployed, or not everywhere, what still runs;
else `previous`, which the last deployment left. `latest` becomes that image, so that `make up` keeps it.
Containers are replaced as `make deploy` does it, one by one; without the proxy, as `make up` does.

The database stays as it is. Code that lacks a migration which the database has may fail on it, or lose
data in silence; so that is refused, unless MIGRATIONS=keep says that the old code works with it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass

from serving_tools.deploy.engine import (
    ENGINE,
    EngineError,
    ask,
    configuration,
    inspect,
    write_line,
)
from serving_tools.deploy.images import ASKED, LATEST, PREVIOUS, Images
from serving_tools.deploy.replace import Deployment, Failed, Interrupted, Interruption, guarded

UP_WITHIN = 300.0  # seconds

# What an image's code knows of migrations, each app's last, and what the database has. It runs in that image.
MARK = "migrations: "
ASK = """
import json, os, django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()
from django.db import connection
from django.db.migrations.loader import MigrationLoader
loader = MigrationLoader(connection)
found = loader.disk_migrations, loader.graph.leaf_nodes(), loader.applied_migrations
print("migrations: " + json.dumps([sorted(each) for each in found]))
"""

Migration = tuple[str, str]  # app and name


def say(line: str) -> None:
    write_line(f"rollback: {line}")


@dataclass(frozen=True)
class Migrations:
    """What an image's code knows, the last one of each app, and what the database has."""

    known: set[Migration]
    last: dict[str, str]
    has: set[Migration]


class Rollback:
    """One run, to the image of a tag, or to the one before."""

    def __init__(self, tag: str, interruption: Interruption) -> None:
        self.interruption = interruption
        configured = configuration()
        self.has_proxy = "proxy" in configured["services"]
        self.services = [name for name in ("worker", "web") if name in configured["services"]]
        self.images = Images(configured)
        if self.images.tag != LATEST:
            raise Failed(
                f"TAG={self.images.tag} in .env says which image runs: set it to an older one there, and"
                f" `make {'deploy' if self.has_proxy else 'up'}`"
            )
        self.running = self.images.running()
        # A deployment that failed may have left workers of its own beside the servers of before.
        self.everywhere = [*self.running, *self.images.running("worker")]
        self.latest = self.images.id_of(LATEST)
        self.target = self._target(tag)
        self.name = self.images.called(self.target)

    def run(self) -> None:
        """Raises Failed, Interrupted or EngineError; then `latest` is what it was."""
        if set(self.everywhere) == {self.target}:
            if self.latest == self.target:
                raise Failed(f"{self.name} runs already{self._others()}")
            self.images.give(self.target, LATEST)
            say(f"{self.name} still runs, so nothing is replaced; it is `latest` again")
            return
        self._check_migrations()
        replaced = next((image for image in self.everywhere if image != self.target), None)
        say(f"going back to {self.name}; the database stays as it is")
        self.images.give(self.target, LATEST)
        try:
            if self.has_proxy:
                Deployment(self.interruption, back_to=self.target).run()
            else:
                self._up()
        finally:
            # A build that has ended meanwhile keeps the name.
            if sys.exc_info()[0] and self.latest and self._has_its_name():
                self.images.give(self.latest, LATEST)
        self.images.note_replaced(replaced)
        other = self.images.called(replaced) if replaced else ""
        place = (
            f" in the place of {other}; `make rollback TAG={other}` returns to it" if other else ""
        )
        say(
            f"{self.name} runs{place}. `make build` builds what is in this folder, which is as it was"
        )

    def _has_its_name(self) -> bool:
        """Whether `latest` is still what this run has made of it."""
        return self.images.id_of(LATEST) in {self.target, *self.running}

    def _target(self, tag: str) -> str:
        """The id of the image to go back to. Raises Failed if there is none."""
        if tag:
            # A commit's id may be shorter or longer than the tag.
            named = [
                each for each in self.images.tags() if each.startswith(tag) or tag.startswith(each)
            ]
            found = self.images.id_of(named[0] if len(named) == 1 else tag)
            if not found:
                raise Failed(f"there is no image {self.images.repository}:{tag}{self._others()}")
            return found
        if undeployed := [image for image in self.running if image != self.latest]:
            return undeployed[0]
        found = self.images.id_of(PREVIOUS)
        if not found or found == self.latest:
            raise Failed(f"there is nothing to go back to: no other image ran here{self._others()}")
        return found

    def _others(self) -> str:
        tags = [tag for tag, image in self.images.tags().items() if image not in self.running]
        return f"; `make rollback TAG=...` takes {' or '.join(tags)}" if tags else ""

    def _check_migrations(self) -> None:
        """Raises Failed if the database has migrations of the code that runs which the target lacks."""
        wish = os.environ.get("MIGRATIONS", "")
        if wish not in {"", "keep"}:
            raise Failed(f"MIGRATIONS={wish!r} is unknown; it is keep, or not set")
        if wish == "keep":
            return
        target = self._migrations(self.target)
        lacks = target.has - target.known
        if lacks and self.running and inspect("image", self.running[-1]):
            # What the code that runs lacks as well was removed long ago.
            lacks &= self._migrations(self.running[-1]).known
        if not lacks:
            return
        listed = ", ".join(f"{app}.{name}" for app, name in sorted(lacks))
        undo = " and ".join(
            f"`{ENGINE} compose run --rm --no-deps migrate python manage.py migrate {app} {target.last.get(app, 'zero')}`"
            for app in sorted({app for app, _ in lacks})
        )
        raise Failed(
            f"{self.name} does not know what the database has, {listed}: if its code works all the same, since"
            f" they only add, `make rollback TAG={self.name} MIGRATIONS=keep`; else undo them first, which may"
            f" lose data: {undo}"
        )

    def _migrations(self, image: str) -> Migrations:
        """Asks an image, and the database by it. Raises Failed if it can't be told."""
        self.images.give(image, ASKED)
        os.environ["TAG"] = ASKED
        try:
            said = ask("compose", "run", "--rm", "-T", "--no-deps", "migrate", "python", "-c", ASK)
        except EngineError as error:
            raise Failed(
                f"what {self.images.called(image)} knows of migrations can't be told, {error}; if its code works"
                f" with the database as it is, `make rollback TAG={self.name} MIGRATIONS=keep`"
            ) from None
        finally:
            del os.environ["TAG"]
            ask("image", "rm", f"{self.images.repository}:{ASKED}")
        lines = [line for line in said.splitlines() if line.startswith(MARK)]
        known, last, has = json.loads(lines[-1][len(MARK) :])
        return Migrations(
            {(app, name) for app, name in known}, dict(last), {(app, name) for app, name in has}
        )

    def _up(self) -> None:
        """Replaces the server, and where the new one is never ready, puts back what ran."""
        command = (
            "compose",
            "up",
            "--detach",
            "--wait",
            "--no-build",
            "--pull=never",
            *self.services,
        )
        try:
            ask(*command, timeout=UP_WITHIN)
            if set(self.images.running()) != {self.target}:
                raise Failed(
                    f"{self.images.name} is no longer {self.name}: a build has ended meanwhile, and it is what runs now;"
                    f" `make rollback TAG={self.name}` again"
                )
            self.interruption.check()
        except (EngineError, Interrupted):
            if self.running:
                say(
                    f"{self.name} does not serve, so {self.images.called(self.running[0])} is put back"
                )
                self.images.give(self.running[0], LATEST)
                ask(*command, timeout=UP_WITHIN)
            raise


def main() -> int:
    """The exit status: 0, 1 where it failed, 128 and the signal's number where it was interrupted."""
    os.environ.pop("TAG", None)  # Compose would take it for the image that runs
    tag = sys.argv[1] if len(sys.argv) > 1 else ""
    return guarded(lambda interruption: Rollback(tag, interruption).run(), say)


if __name__ == "__main__":
    sys.exit(main())
