"""Prices."""

from django.db import models


class Price(models.Model):
    """What something costs."""

    name = models.CharField(max_length=20)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name
