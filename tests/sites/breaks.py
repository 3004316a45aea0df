"""A view that fails on what a form holds, with a secret in the exception's text."""

import os
from typing import Never

from django.http import HttpRequest
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def breaks(request: HttpRequest) -> Never:
    raise RuntimeError(f"no tea for {os.environ['TEA_PASSWORD']}")


urlpatterns = [path("breaks/", breaks)]
