"""Django's runtests.py with a generated project's handler in place of Django's; in the project's environment.

    python djangos_own.py DJANGO PROJECT LABEL ...

- What `get_asgi_application` returns is a `DjangoHandler`: the tests in `asgi` speak ASGI to it.
- Both test clients go through its chain of middleware on the event loop, which is where it differs from
  Django's. (For a sync view it runs Django's own sync chain.)
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import django.core.asgi
from asgiref.sync import async_to_sync
from django.core.handlers.base import BaseHandler
from django.test import client

# What serving/ imports needs Django to be set up, so it is imported when it is first used.


def get_asgi_application() -> Any:
    from serving.http.handler import DjangoHandler

    django.setup(set_prefix=False)
    return DjangoHandler()


def adapt_method_mode(self: Any, is_async: bool, method: Any, *args: Any, **kwargs: Any) -> Any:
    from serving.http.inline_middleware import inline

    if is_async and (inlined := inline(method)):
        return inlined
    return BaseHandler.adapt_method_mode(self, is_async, method, *args, **kwargs)


def load_middleware(self: Any, is_async: bool = False) -> None:
    BaseHandler.load_middleware(self, is_async=True)


def get_response(self: Any, request: Any) -> Any:
    return async_to_sync(self.get_response_async)(request)


def main(source: Path, project: Path, labels: list[str]) -> None:
    django.core.asgi.get_asgi_application = get_asgi_application
    for handler in (client.ClientHandler, client.AsyncClientHandler):
        handler.adapt_method_mode = adapt_method_mode
    client.ClientHandler.load_middleware = load_middleware
    client.ClientHandler.get_response = get_response
    os.chdir(source / "tests")
    sys.path[:0] = [str(source / "tests"), str(project)]
    sys.argv = ["runtests.py", "--settings=test_sqlite", "--parallel=1", *labels]
    runpy.run_path("runtests.py", run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
