"""Makes the rows that the views read."""

from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Makes the rows that the views read."

    def handle(self, **options: Any) -> None:
        Group.objects.bulk_create(Group(name=f"group {number}") for number in range(100))
