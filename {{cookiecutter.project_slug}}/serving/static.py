"""Static files, answered before Django."""

import logging
from wsgiref.headers import Headers

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.handlers.asgi import ASGIHandler
from servestatic import ServeStaticASGI

from serving.asgi import ASGIApp

logger = logging.getLogger(__name__)


def static_files(app: ASGIHandler) -> ASGIApp:
    """Serves what `collectstatic` gathered; with DEBUG on, the files of each app as they are."""
    if settings.DEBUG:
        return ASGIStaticFilesHandler(app)
    if not settings.STATIC_ROOT.is_dir():
        logger.warning("no static files: %s is missing; run collectstatic", settings.STATIC_ROOT)
        return app
    files: ASGIApp = ServeStaticASGI(
        app,
        root=settings.STATIC_ROOT,
        prefix=settings.STATIC_URL,
        allow_all_origins=False,
        add_headers_function=add_headers,
    )
    return files


def add_headers(headers: Headers, path: str, url: str) -> None:
    """Django's SecurityMiddleware does not see these responses."""
    headers["X-Content-Type-Options"] = "nosniff"
