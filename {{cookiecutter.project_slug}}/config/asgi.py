"""The ASGI application that Granian serves: `granian config.asgi:application`."""

import json
import logging
import logging.config
import os
import sys
import threading
from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured

from serving.asgi import ASGIApp
from serving.drain import Drain, stopping
from serving.logs import thread_failed, unraisable
from serving.parent import stop_without_parent
from serving.start import refuse_wrong_start


def build() -> ASGIApp:
    """Django, and around it what serves it: a request passes from the outside to the inside."""
    django.setup()

    from django.conf import settings
    from django.core.checks.urls import check_url_config

    from serving.access_log import hold_requests
    from serving.handler import DjangoHandler
    from serving.lifespan import Lifespan
    from serving.probes import Probes
    from serving.proxy import Proxy
    from serving.report import report_configuration
    from serving.request_id import RequestId
{% if cookiecutter.database == "postgres" or cookiecutter.cache == "valkey" %}
    from serving.service_reports import report_services
{% endif %}
    from serving.static import static_files

    check_url_config(None)  # imports all of it: or each request would fail of what is wrong with it
    hold_requests()
    report_configuration()
{% if cookiecutter.database == "postgres" or cookiecutter.cache == "valkey" %}
    report_services(settings.START_REPORTS)
{% endif %}
    if settings.METRICS_ENABLED:
        from serving.metrics import serve_metrics

        serve_metrics(settings.METRICS_ADDRESS, settings.METRICS_PORT, settings.WORKERS)
    return Lifespan(
        RequestId(
            Proxy(
                Probes(
                    Drain(static_files(DjangoHandler()), timeout=settings.DRAIN_TIMEOUT),
                    lifespan_required=settings.LIFESPAN == "required",
                    prefix=settings.URL_PATH_PREFIX,
                ),
                trusted=settings.TRUSTED_PROXIES,
                prefix=settings.URL_PATH_PREFIX,
                redirects=settings.SECURE_SSL_REDIRECT,
            )
        ),
        enabled=settings.LIFESPAN != "disabled",
        required=settings.LIFESPAN == "required",
        startup_timeout=settings.LIFESPAN_STARTUP_TIMEOUT,
        shutdown_timeout=settings.LIFESPAN_SHUTDOWN_TIMEOUT,
    )


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
logging.captureWarnings(True)
# What Python itself would write to stderr.
threading.excepthook = thread_failed
sys.unraisablehook = unraisable
if not logging.getLogger().handlers:  # as Granian has done, and other servers have not
    logging.config.dictConfig(json.loads(Path(__file__).with_name("logging.json").read_bytes()))
try:
    stopping.listen_early()
    stop_without_parent()
    refuse_wrong_start()
    application = build()
except ImproperlyConfigured as error:  # the message says it all; a traceback would bury it
    logging.getLogger(__name__).critical("%s", error)
    raise SystemExit(1) from None
except SystemExit as error:
    if isinstance(error.code, str):  # Python would write it to stderr
        logging.getLogger(__name__).critical("Django does not start: %s", error.code)
        raise SystemExit(1) from None
    raise
except Exception:
    logging.getLogger(__name__).critical("Django does not start", exc_info=True)
    raise SystemExit(1) from None
