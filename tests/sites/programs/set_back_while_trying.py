"""Locks a user's counts in the order of an attempt, while a new password sets them back."""

import threading
import time

import django

django.setup()
# ruff: noqa: E402
from accounts.models import User
from django.db import connection, transaction
from django.utils import timezone
from serving_tools.login_limits.limits import spelling_key, user_key
from serving_tools.login_limits.models import LoginFailures

USER, HERE = user_key("ada"), "192.0.2.7"
SPELLING = spelling_key("ada")
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


def change_password() -> None:
    ada = User.objects.get(username="ada")
    ada.set_password("green leaves")
    ada.save()


def locked(network: str) -> None:
    LoginFailures.objects.select_for_update().get(user=USER, network=network)


# The table has the one that an attempt locks last first, where whoever reads it through begins.
for network in (HERE, ""):
    LoginFailures.objects.create(
        user=USER, network=network, failures=3, spelling=SPELLING, until=timezone.now()
    )
with transaction.atomic(), connection.cursor() as cursor:
    locked("")
    other = threading.Thread(target=change_password)
    other.start()
    while other.is_alive() and cursor.execute(WAITING) and cursor.fetchone() == (0,):
        time.sleep(0.01)
    locked(HERE)
other.join()
print(*LoginFailures.objects.values_list("failures", flat=True))
