"""Django's own ASGI application, without a lifespan."""

from django.core.asgi import get_asgi_application

application = get_asgi_application()
