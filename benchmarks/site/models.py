"""What the views read and write."""

from django.db import models


class Row(models.Model):
    """One of those that are read."""

    name = models.CharField(max_length=40)


class Note(models.Model):
    """One of those that are written."""

    text = models.CharField(max_length=40)
