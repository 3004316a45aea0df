"""Static files, answered before Django, with the redirect and the headers that a page has."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.headers import Headers

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.handlers.asgi import ASGIHandler
from servestatic import ServeStaticASGI
from servestatic.asgi import FileServerASGI
from servestatic.utils import scantree

from serving.security import redirects_to_https, with_security_headers
from serving.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)


def static_files(app: ASGIHandler) -> ASGIApp:
    """Serves what `collectstatic` gathered; with DEBUG on, the files of each app as they are."""
    if not settings.STATIC_URL:
        return app
    address = urlsplit(settings.STATIC_URL)  # it may name the host of a content delivery network
    path = address.path
    if settings.DEBUG:
        return app if address.netloc else StaticFiles(app, DevelopersFiles(app), path)
    if not settings.STATIC_ROOT or not Path(settings.STATIC_ROOT).is_dir():
        root = settings.STATIC_ROOT
        reason = f"{root} is missing; run collectstatic" if root else "STATIC_ROOT is not set"
        logger.warning("no static files: %s", reason)
        return app
    files = Files(
        app,
        root=settings.STATIC_ROOT,
        prefix=path,
        allow_all_origins=False,
        add_headers_function=add_etag,
    )
    return StaticFiles(app, files, path)


class DevelopersFiles(ASGIStaticFilesHandler):
    """Django's, with the headers of a page."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, with_security_headers(scope, send))


class Files(ServeStaticASGI):  # type: ignore[misc]  # it has no types
    """servestatic, for files with names in any letters.

    The files are those that are there at the start. Each is looked at when it is first asked for: to look at
    all of them, the admin's for the most part, takes a tenth of a start.
    """

    def update_files_dictionary(self, root: str, prefix: str) -> None:
        self._root, self._stats = root, dict(scantree(root))
        self._waiting = {
            prefix + path.removeprefix(root).replace(os.sep, "/"): path for path in self._stats
        }

    # servestatic takes ASGI's path for Latin-1; open in 4.4.0:
    # https://github.com/Archmonger/ServeStatic/blob/4.4.0/src/servestatic/asgi.py#L32

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = scope["path"]
        if path := self._waiting.pop(url, None):
            with suppress(FileNotFoundError):  # it was deleted since
                self.add_file_to_dictionary(url, path, root=self._root, stat_cache=self._stats)
        if not (found := self.files.get(url)):
            await self.application(scope, receive, send)
            return
        headers = scope["headers"]
        if any(name == b"if-range" for name, _ in headers):
            # servestatic does not read If-Range; open in 4.4.0. So the client gets all of the file.
            # https://github.com/Archmonger/ServeStatic/blob/4.4.0/src/servestatic/responders.py#L189
            scope = {**scope, "headers": [item for item in headers if item[0] != b"range"]}
        await FileServerASGI(found)(scope, receive, with_security_headers(scope, send))


class StaticFiles:
    """ASGI middleware: what is asked below `path` goes to `files`, which falls back to the app."""

    def __init__(self, app: ASGIApp, files: ASGIApp, path: str) -> None:
        self.app = app
        self.files = files
        self.path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_static = scope["type"] == "http" and scope["path"].startswith(self.path)
        if not is_static or redirects_to_https(scope):  # Django does that
            await self.app(scope, receive, send)
        else:
            await self.files(scope, receive, send)


def add_etag(headers: Headers, path: str, url: str) -> None:
    """Adds a weak ETag (RFC 9110, section 8.8.1)."""
    # servestatic gives all encodings of a file one strong ETag; open in 4.4.0:
    # https://github.com/Archmonger/ServeStatic/blob/4.4.0/src/servestatic/responders.py#L411-L415
    status = os.stat(path)
    headers["ETag"] = f'W/"{int(status.st_mtime):x}-{status.st_size:x}"'
