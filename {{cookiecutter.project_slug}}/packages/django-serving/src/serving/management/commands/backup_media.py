from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from serving.media.archives import ENDING, now, save


class Command(BaseCommand):
    help = (
        "Copies the uploads into a new archive. For one moment with the database, copy that first."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="default: a new one in backups/")

    def handle(self, *args: str, file: Path | None, **options: Any) -> None:
        file = file or Path("backups", f"{now()}{ENDING}")
        if number := save(file):
            self.stdout.write(f"{file}: {file.stat().st_size:,} bytes, {number:,} uploads")
        else:
            self.stdout.write("there are no uploads")
