"""What a worker runs with, logged at level debug: Granian's flags and the project's settings."""

import logging
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from django.conf import settings

from serving.log.formats import shown_field
from serving.process.flags import granian_flags

logger = logging.getLogger(__name__)


def report_configuration() -> None:
    """Logs every flag, and every setting of the project's own, with secrets hidden."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    names = filter(str.isupper, vars(import_module(settings.SETTINGS_MODULE)))
    log_items("settings", {name: getattr(settings, name) for name in names})
    log_items("flags", granian_flags())


def log_items(what: str, items: Mapping[str, Any]) -> None:
    """Logs the items as one text, so that the console keeps the lines apart."""
    lines = [f"{name} = {shown_field(items[name], name)!r}" for name in sorted(items)]
    logger.debug("\n".join([f"{what}:", *lines]))
