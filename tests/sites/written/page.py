"""The head of a config/urls.py."""

from django.http import HttpResponse

page = HttpResponse
