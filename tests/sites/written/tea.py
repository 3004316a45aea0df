"""The models of an app, as Django's documentation writes them."""

from django.db import models


class Tea(models.Model):
    name = models.TextField()
