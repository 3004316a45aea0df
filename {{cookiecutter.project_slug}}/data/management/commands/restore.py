from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from serving.media.archives import restoring_beside

from data.{{ cookiecutter.database }}_backups import restore


class Command(BaseCommand):
    help = "Replaces the database by a backup of this project, and keeps the previous one."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--force", action="store_true", help="take any Django project's backup")

    def handle(self, *args: str, file: Path, force: bool, **options: Any) -> None:
        with restoring_beside(file) as uploads:
            kept = restore(settings.DATABASES["default"], file, force=force)
            there = f"; what was there is in {kept}" if kept else ""
            self.stdout.write(f"restored {file}{there}")
            try:
                self.stdout.write(uploads.put_back())
            except CommandError as error:
                raise CommandError(f"the database is restored, but {error}") from error
