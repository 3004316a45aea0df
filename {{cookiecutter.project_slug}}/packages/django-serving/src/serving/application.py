"""The whole of it: Django, and around it what serves it."""

import json
import logging
import logging.config
import sys
import threading
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from serving.log.hooks import thread_failed, unraisable
from serving.stopping import stopping
from serving.types import ASGIApp

logger = logging.getLogger(__name__)


def get_application(log_config: Path | None = None) -> ASGIApp:
    """The ASGI application, with every layer; `serving.conf` has the settings that they read.

    Takes over the process: its signals, its excepthooks, and its log, by the file `log_config` unless
    the server has done so. Where Django does not start, it logs why and raises SystemExit with status 1.
    """
    logging.captureWarnings(True)
    # What Python itself would write to stderr.
    threading.excepthook = thread_failed
    sys.unraisablehook = unraisable
    if log_config and not logging.getLogger().handlers:
        logging.config.dictConfig(json.loads(log_config.read_bytes()))
    # Before Django is imported, which takes longest: a signal that comes meanwhile would be lost.
    stopping.listen_early()
    try:
        return build()
    except SystemExit as error:
        if isinstance(error.code, str):  # Python would write it to stderr
            logger.critical("Django does not start: %s", error.code)
        else:
            raise
    except ImproperlyConfigured as error:  # the message says it all; a traceback would bury it
        logger.critical("%s", error)
    except Exception:
        logger.critical("Django does not start", exc_info=True)
    raise SystemExit(1)


def build() -> ASGIApp:
    """The layers; a request passes them from the last to the first."""
    import django

    from serving.process.start import refuse_wrong_start, start_as_ever
    from serving.stopping.parent import stop_without_parent

    start_as_ever()
    stop_without_parent()
    refuse_wrong_start()
    django.setup()

    from django.conf import settings
    from django.core.checks.urls import check_url_config

    from serving.conf import conf
    from serving.http.handler import DjangoHandler
    from serving.http.proxy import Proxy
    from serving.http.request_id import RequestId
    from serving.http.static import static_files
    from serving.lifespan import Lifespan
    from serving.log.access import hold_requests
    from serving.probes.probes import Probes
    from serving.process.report import report_configuration
    from serving.stopping.drain import Drain

    check_url_config(None)  # imports all of it: or each request would fail of what is wrong with it
    hold_requests()
    report_configuration()
    if conf.METRICS_ENABLED:
        from serving.metrics import serve_metrics

        serve_metrics(conf.METRICS_ADDRESS, conf.METRICS_PORT, conf.WORKERS)
    required = conf.LIFESPAN == "required"
    app: ASGIApp = static_files(DjangoHandler())
    app = Drain(app, timeout=conf.DRAIN_TIMEOUT)
    app = Probes(app, lifespan_required=required, prefix=conf.URL_PATH_PREFIX)
    app = Proxy(
        app,
        trusted=conf.TRUSTED_PROXIES,
        prefix=conf.URL_PATH_PREFIX,
        redirects=settings.SECURE_SSL_REDIRECT,
    )
    app = RequestId(app)
    return Lifespan(
        app,
        enabled=conf.LIFESPAN != "disabled",
        required=required,
        startup_timeout=conf.LIFESPAN_STARTUP_TIMEOUT,
        shutdown_timeout=conf.LIFESPAN_SHUTDOWN_TIMEOUT,
    )
