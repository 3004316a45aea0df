"""Django as an ASGI application."""

from django.core.handlers.asgi import ASGIHandler

from serving.request import Request


class DjangoHandler(ASGIHandler):
    """Django's handler, whose requests carry the lifespan's state."""

    request_class = Request
