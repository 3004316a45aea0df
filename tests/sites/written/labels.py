"""Models whose migration imports from the project, and quotes a quote."""

from django.db import models


def new_label() -> str:
    return "a"


class Tea(models.Model):
    label = models.CharField(default=new_label, max_length=9, choices=[("a", "It's a")])
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE)

    class Meta:
        ordering = ["-label"]
