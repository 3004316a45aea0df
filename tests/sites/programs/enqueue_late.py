"""Enqueues a note for two seconds from now; the argument is its file."""

import sys
from datetime import timedelta

import django

django.setup()
# ruff: noqa: E402
from django.utils import timezone
from django.utils.module_loading import import_string

note = import_string("errands.tasks.note")
note.using(run_after=timezone.now() + timedelta(seconds=2)).enqueue(sys.argv[1], "x")
