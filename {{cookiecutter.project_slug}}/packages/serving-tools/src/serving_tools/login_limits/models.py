"""How many logins have failed: of a user, from a network, of a user from a network; and how many resets were asked for."""

from __future__ import annotations  # Django's fields take no [types] while they run

from datetime import datetime

from django.db import models


class LoginFailures(models.Model):
    """One count. `user` is a keyed hash, since people type passwords where their name belongs.

    Without `network` it counts a user's failures from everywhere, without `user` those of a network.
    """

    user: models.CharField[str, str] = models.CharField(max_length=32, blank=True)
    network: models.CharField[str, str] = models.CharField(max_length=43, blank=True)
    failures: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(default=0)
    under_way: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(default=0)
    spelling: models.CharField[str, str] = models.CharField(
        max_length=32, blank=True, default="", db_default="",
        help_text="A keyed hash of the name as it was typed each time; none where it was typed in several ways.",
    )  # fmt: skip
    until: models.DateTimeField[datetime, datetime] = models.DateTimeField(
        db_index=True, help_text="When the count starts again."
    )
    known_until: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        null=True, help_text="Until when this user's last login from here is remembered."
    )
    known_as: models.CharField[str, str] = models.CharField(
        max_length=32, blank=True, default="", db_default="",
        help_text="The spelling of that login.",
    )  # fmt: skip

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("user", "network"), name="login_limits_one"),
        )

    def __str__(self) -> str:
        return f"{self.failures} of {self.user or 'anyone'} from {self.network or 'anywhere'}"
