"""A row of each kind that a move could change."""

import uuid

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Tea(models.Model):
    """What is sold."""

    name = models.CharField(max_length=60, unique=True)
    notes = models.TextField(default="")
    price = models.DecimalField(max_digits=9, decimal_places=2)
    key = models.UUIDField(default=uuid.uuid4)
    facts = models.JSONField(default=dict)
    picked_at = models.DateTimeField()
    picked_on = models.DateField()
    opens_at = models.TimeField()
    steeps = models.DurationField()
    picture = models.BinaryField()
    is_sold = models.BooleanField(default=False)
    kin = models.ForeignKey("self", models.CASCADE, null=True)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """Who bought what."""

    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    teas = models.ManyToManyField(Tea)

    def __str__(self) -> str:
        return str(self.pk)


class Remark(models.Model):
    """A word on anything."""

    text = models.CharField(max_length=60)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    about = GenericForeignKey()

    def __str__(self) -> str:
        return self.text
