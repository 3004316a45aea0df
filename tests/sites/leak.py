"""A view that fails with secrets in the exception's text."""

import os
from pathlib import Path
from typing import Never

from django.http import HttpRequest
from django.urls import path


def leak(request: HttpRequest) -> Never:
    raise RuntimeError(Path(os.environ["MAIL_PASSWORD_FILE"]).read_text() + request.GET["key"])


urlpatterns = [path("leak", leak)]
