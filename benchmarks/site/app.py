"""One Django, served in three ways."""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.settings"
django.setup()

from django.core.handlers.wsgi import WSGIHandler
from serving.http.handler import DjangoHandler, PlainHandler

wsgi = WSGIHandler()
asgi = PlainHandler()
ours = DjangoHandler()
