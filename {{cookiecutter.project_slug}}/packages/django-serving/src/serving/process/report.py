"""What a worker runs with, told at log level debug: Granian's flags and Django's settings."""

import logging
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from django.conf import settings

from serving.log.redaction import HIDDEN, only_tells
from serving.process.flags import granian_flags

logger = logging.getLogger(__name__)

IN_URL = re.compile(r"(://)[^/\s]*@")  # a user's name and password


def report_configuration() -> None:
    """Logs every flag, and every setting of the project's own, with secrets hidden."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    from django.views.debug import (
        SafeExceptionReporterFilter,
        get_default_exception_reporter_filter,
    )

    hidden = get_default_exception_reporter_filter()
    defined = vars(import_module(settings.SETTINGS_MODULE))
    safe: dict[str, Any] = hidden.get_safe_settings()
    if (
        type(hidden) is SafeExceptionReporterFilter
    ):  # it hides AUTH_USER_MODEL and PASSWORD_HASHERS, too
        safe |= {name: getattr(settings, name) for name in safe if only_tells(name)}
    report("settings", {name: value for name, value in safe.items() if name in defined})
    flags = granian_flags()
    report("flags", {name: hidden.cleanse_setting(name, flags[name]) for name in flags})


def report(what: str, items: Mapping[str, Any]) -> None:
    """Logs the items, one a line; as text and no values, so that the console keeps the lines apart."""
    lines = (f"{name} = {items[name]!r}" for name in sorted(items))
    logger.debug(IN_URL.sub(rf"\1{HIDDEN}@", "\n".join([f"{what}:", *lines])))
