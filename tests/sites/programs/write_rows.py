"""Writes to SQLite, as told by its arguments: a name, and how often.

Half of the writes are transactions that read first, and would lose updates if two ran at once; each adds a
row, too, so that a copy of any moment has as many rows as it counts.
"""

import sys

import django

django.setup()
# ruff: noqa: E402
from django.contrib.auth.models import Group
from django.db import transaction

me, writes = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(0, writes, 2):
    with transaction.atomic():
        counter = Group.objects.get(pk=1)
        counter.name = str(int(counter.name) + 1)
        counter.save()
        Group.objects.create(name=f"counted {me} {number}")
    Group.objects.create(name=f"alone {me} {number}")
