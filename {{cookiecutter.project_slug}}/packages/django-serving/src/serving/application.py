"""The whole of it: Django, and around it what serves it."""

import logging
import logging.config
from multiprocessing.util import Finalize
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from serving.log.config import CONFIGURATION, logging_config
from serving.log.hooks import log_what_nobody_catches
from serving.stopping.signals import stopping
from serving.types import ASGIApp

logger = logging.getLogger(__name__)

HANDLER = "serving.http.handler.DjangoHandler"


def get_application(
    *, log_config: str | Path | None = CONFIGURATION, handler: str = HANDLER
) -> ASGIApp:
    """The ASGI application, with every layer; `serving.conf` lists the settings that they read.

    Takes over the process: its signals, its hooks for errors, under Granian how its threads share a core (the
    setting SCHED_BATCH), and its log, which the file `log_config` configures unless the server has (None: nobody
    does). `handler` is the dotted name of the class of Django's handler. If Django does not start, logs why and
    raises SystemExit(1); a developer's server answers with the error instead, and waits for an edit.
    """
    take_over_process(log_config)
    problem: BaseException
    try:
        return build(handler)
    except SystemExit as error:
        if not isinstance(error.code, str):
            raise
        logger.critical("Django does not start: %s", error.code)  # Python would write it to stderr
        problem = error
    except ImproperlyConfigured as error:  # whose message is enough: a traceback would bury it
        logger.critical("%s", error)
        problem = error
    except Exception as error:
        logger.critical("Django does not start", exc_info=True)
        problem = error
    from serving.process.development import StartError, is_developers
    from serving.process.start import WrongStart

    if is_developers() and not isinstance(problem, WrongStart):
        return StartError(problem)
    raise SystemExit(1)


def take_over_process(log_config: str | Path | None) -> None:
    """Logs what Python itself would write to stderr, to the end; handles signals before Django is imported."""
    log_what_nobody_catches()
    if log_config and not logging.getLogger().handlers:
        logging.config.dictConfig(logging_config(log_config))
    # A worker that was forked has forgotten what `atexit` held, logging's flush too; open in Python 3.13:
    # https://github.com/python/cpython/blob/v3.13.0/Lib/multiprocessing/popen_fork.py#L70
    Finalize(None, logging.shutdown, exitpriority=0)
    stopping.install()


def build(handler: str) -> ASGIApp:
    """The layers; a request passes them from the last to the first."""
    import django

    from serving.process.development import is_developers, open_terminal
    from serving.process.start import refuse_wrong_start, reset_start_method
    from serving.stopping.parent import stop_without_parent

    stop_without_parent()
    refuse_wrong_start()
    reset_start_method()
    if is_developers():
        open_terminal()
    django.setup()

    from django.apps import apps
    from django.core.checks.urls import check_url_config
    from django.utils.module_loading import import_string

    from serving.checks import refuse_wrong_settings
    from serving.conf import conf
    from serving.http.proxy import Proxy
    from serving.http.request_id import RequestId
    from serving.http.server_name import ServerName
    from serving.http.static import static_files
    from serving.lifespan import Lifespan
    from serving.log.access import hold_requests
    from serving.probes import Probes
    from serving.process.flags import granian_flags
    from serving.process.report import report_configuration
    from serving.process.scheduling import wait_for_turns
    from serving.stopping import Drain
    from serving.stopping.unread import Unread

    refuse_wrong_settings()
    check_url_config(None)  # so that a mistake in a URLconf ends the start, and not each request
    if is_developers() and apps.is_installed("serving.tasks"):
        from serving.tasks.development import run_worker_beside

        run_worker_beside()
    hold_requests()
    report_configuration()
    if conf.METRICS_ENABLED():
        from serving.metrics import serve_metrics

        serve_metrics()
    app: ASGIApp = static_files(import_string(handler)())
    app = Drain(app)
    app = Probes(app)
    app = Proxy(app)
    app = RequestId(app)
    if flags := granian_flags():
        app = Unread(app, flags["port"])
        app = ServerName(app)
        if conf.SCHED_BATCH():
            wait_for_turns()
    return Lifespan(app)
