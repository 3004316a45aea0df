"""Prints every row of the project, by names and not by the numbers of content types."""

import json

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import models


def shown(row: models.Model, field: models.Field) -> object:
    value = getattr(row, field.attname)
    if field.related_model in {ContentType, Permission}:
        return repr(getattr(row, field.name).natural_key())
    return value.hex() if isinstance(value, (bytes, memoryview)) else repr(value)


rows = {}
for model in apps.get_models(include_auto_created=True):
    if model in {ContentType, Permission}:
        continue
    rows[model._meta.label] = sorted(
        (
            {
                field.name: shown(row, field)
                for field in model._meta.concrete_fields
                # The table of a relation has numbers that nothing refers to.
                if not (model._meta.auto_created and field.primary_key)
            }
            for row in model._base_manager.all()
        ),
        key=json.dumps,
    )
print(json.dumps(rows, sort_keys=True))
