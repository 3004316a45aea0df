from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from serving.media.archives import save_beside

from data.{{ cookiecutter.database }}_backups import backup, new_file


class Command(BaseCommand):
    help = "Copies the database into a new file, while it is in use, and the uploads beside it."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="default: a new one in backups/")

    def handle(self, *args: str, file: Path | None, **options: Any) -> None:
        config = settings.DATABASES["default"]
        file = file or new_file(config)
        backup(config, file)
        self.stdout.write(f"{file}: {file.stat().st_size:,} bytes; {save_beside(file)}")
