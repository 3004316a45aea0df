from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from serving.media.archives import ENDING, folder, now, save


class Command(BaseCommand):
    help = (
        "Copies the uploads into a new archive. For one moment with the database, copy that first."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="default: a new one in backups/")
        parser.add_argument(
            "--since",
            type=float,
            help="a moment before the database was copied, by `date +%%s`: what was deleted since is in it, too",
        )

    def handle(
        self, *args: str, file: Path | None, since: float | None = None, **options: Any
    ) -> None:
        file = file or Path("backups", f"{now()}{ENDING}")
        if number := save(file, since):
            self.stdout.write(f"{file}: {file.stat().st_size:,} bytes, {number:,} uploads")
        else:
            self.stdout.write(f"no uploads are in {folder()}")
