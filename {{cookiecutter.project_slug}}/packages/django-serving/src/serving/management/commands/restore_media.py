from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from serving.media.archives import Restoring


class Command(BaseCommand):
    help = "Puts back the uploads of an archive; those that came since stay."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: str, file: Path, **options: Any) -> None:
        with Restoring(file) as uploads:
            self.stdout.write(f"restored {file}; {uploads.put_back()}")
