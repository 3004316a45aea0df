"""Adds rows until a line comes on stdin; each transaction counts them, so that a copy of any moment agrees."""

import sys
import threading

import django

django.setup()
# ruff: noqa: E402
from django.contrib.auth.models import Group
from django.db import transaction

counter = Group.objects.create(name="0")
stop = threading.Event()
threading.Thread(target=lambda: stop.set() if sys.stdin.readline() else None, daemon=True).start()
while not stop.is_set():
    with transaction.atomic():
        counter.name = str(int(counter.name) + 1)
        counter.save()
        Group.objects.create(name=f"counted {counter.name}")
    if counter.name == "50":
        print("ready", flush=True)
