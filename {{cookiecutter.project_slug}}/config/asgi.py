"""The ASGI application that Granian serves: `granian config.asgi:application`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402
from granian.utils.proxies import wrap_asgi_with_proxy_headers  # noqa: E402

from serving.drain import Drain  # noqa: E402
from serving.handler import DjangoHandler  # noqa: E402
from serving.lifespan import Lifespan  # noqa: E402
from serving.probes import Probes  # noqa: E402
from serving.static import static_files  # noqa: E402

application = Lifespan(
    Probes(
        Drain(
            wrap_asgi_with_proxy_headers(
                static_files(DjangoHandler()), trusted_hosts=settings.TRUSTED_PROXIES
            ),
            timeout=settings.DRAIN_TIMEOUT,
        ),
        lifespan_required=settings.LIFESPAN == "required",
    ),
    enabled=settings.LIFESPAN != "disabled",
    required=settings.LIFESPAN == "required",
    startup_timeout=settings.LIFESPAN_STARTUP_TIMEOUT,
    shutdown_timeout=settings.LIFESPAN_SHUTDOWN_TIMEOUT,
)
