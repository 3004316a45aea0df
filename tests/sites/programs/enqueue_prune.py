"""Enqueues the task that prunes, and prints its id behind a word."""

import django

django.setup()
# ruff: noqa: E402
from serving.tasks.upkeep import prune

print("task", prune.enqueue().id)
