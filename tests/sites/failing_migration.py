"""A migration that fails."""

from typing import ClassVar, Never

from django.db import migrations


def fail(apps: object, schema_editor: object) -> Never:
    raise RuntimeError("no tea today")


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0001_initial")]
    operations: ClassVar = [migrations.RunPython(fail)]
