"""Prints the state of a task behind a word; the argument is its id."""

import sys

import django

django.setup()
# ruff: noqa: E402
from django.tasks import default_task_backend

print("now", default_task_backend.get_result(sys.argv[1]).status)
