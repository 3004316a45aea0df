"""System checks of the settings in `serving.conf`, for `manage.py check` and for each start of a server.

https://docs.djangoproject.com/en/6.1/topics/checks/
"""

import logging
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from ipaddress import ip_address
from math import isfinite
from typing import Any

from django.conf import global_settings, settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured

from serving.conf import Conf, conf
from serving.http.proxy import check_prefix, check_proxy
from serving.process.address import PORT_MAX
from serving.process.flags import granian_flags

logger = logging.getLogger(__name__)

# Raises ValueError, which says what is wrong, unless a setting may have a value.
type Rule = Callable[[Any], None]


def must(be: str, test: Callable[[Any], bool]) -> Rule:
    """The rule of a value that passes a test."""

    def rule(value: Any) -> None:
        if not test(value):
            raise ValueError(f"must be {be}")

    return rule


def text(like: str, check: Callable[[str], object]) -> Rule:
    """The rule of a text that `check` has no objection to."""

    def rule(value: Any) -> None:
        if not isinstance(value, str):
            raise ValueError(f"must be a text, such as {like!r}")
        check(value)

    return rule


def proxies(value: Any) -> None:
    """The rule of TRUSTED_PROXIES."""
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of addresses, networks and the word unix")
    for item in value:
        text("10.0.0.2", check_proxy)(item)


def is_whole(value: Any) -> bool:
    return type(value) is int  # True is an instance of int, too


def is_number(value: Any) -> bool:
    return is_whole(value) or (isinstance(value, float) and isfinite(value))


MODES = ("required", "optional", "disabled")
MODE = must(f"one of {', '.join(MODES)}", MODES.__contains__)
SECONDS = must("a number of seconds, more than 0", lambda value: is_number(value) and value > 0)
COUNT = must("a whole number, 1 or more", lambda value: is_whole(value) and value > 0)
RATE = must("a number, 0 or more", lambda value: is_number(value) and value >= 0)
SPACE = must("a whole number, or None", lambda value: value is None or is_whole(value))
SWITCH = must("True or False", lambda value: isinstance(value, bool))
PORT = must(f"from 1 to {PORT_MAX}", lambda value: is_whole(value) and 0 < value <= PORT_MAX)

# An id stays with its setting: projects silence a check by it.
RULES: dict[str, tuple[str, Rule]] = {
    "LIFESPAN": ("serving.E001", MODE),
    "LIFESPAN_STARTUP_TIMEOUT": ("serving.E002", SECONDS),
    "LIFESPAN_SHUTDOWN_TIMEOUT": ("serving.E003", SECONDS),
    "DRAIN_TIMEOUT": ("serving.E004", SECONDS),
    "SEND_TIMEOUT": ("serving.E005", SECONDS),
    "SERVING_THREADS": ("serving.E006", COUNT),
    "MAX_BODY_SIZE": ("serving.E007", COUNT),
    "BODY_SPACE": ("serving.E008", SPACE),
    "BODY_TIMEOUT": ("serving.E009", SECONDS),
    "BODY_MIN_RATE": ("serving.E010", RATE),
    "TRUSTED_PROXIES": ("serving.E011", proxies),
    "URL_PATH_PREFIX": ("serving.E012", text("/app", check_prefix)),
    "METRICS_ENABLED": ("serving.E013", SWITCH),
    "METRICS_ADDRESS": ("serving.E014", text("127.0.0.1", ip_address)),
    "METRICS_PORT": ("serving.E015", PORT),
    "WORKERS": ("serving.E016", COUNT),
}


def check_settings(app_configs: object = None, **options: object) -> list[CheckMessage]:
    """What is wrong with the settings that this package reads, as Django's checks report it."""
    if wrong := list(wrong_values()):
        return wrong
    return [*wrong_together(), *app(), *misspelled()]


def refuse_wrong_settings() -> None:
    """Raises ImproperlyConfigured, with all that is wrong, unless these settings can be served with."""
    found = [message for message in check_settings() if not message.is_silenced()]
    if errors := [in_one_line(message) for message in found if message.is_serious()]:
        raise ImproperlyConfigured("\n".join(errors))
    for message in found:
        logger.warning("%s", in_one_line(message))


def in_one_line(message: CheckMessage) -> str:
    return f"{message.msg} {message.hint} ({message.id})"


def wrong_values() -> Iterator[CheckMessage]:
    """The values that break the rule of their setting."""
    for name, (check, rule) in RULES.items():
        value = getattr(conf, name)
        try:
            rule(value)
        except ValueError as error:
            default = f"Correct it, or remove it: the default is {vars(Conf)[name]!r}."
            reason = str(error).rstrip(".")
            yield Error(f"{name} = {value!r}: {reason}.", default, id=check)


def wrong_together() -> Iterator[CheckMessage]:
    """Values that are right by themselves, and not beside others."""
    prefix, script = conf.URL_PATH_PREFIX, settings.FORCE_SCRIPT_NAME
    if prefix and script is None:
        yield CheckWarning(
            f"URL_PATH_PREFIX = {prefix!r} and FORCE_SCRIPT_NAME is not set: links that are made"
            " outside of a request, by a command, lack the path.",
            "Set FORCE_SCRIPT_NAME = URL_PATH_PREFIX.",
            id="serving.W001",
        )
    elif prefix and script.rstrip("/") != prefix:
        yield Error(
            f"URL_PATH_PREFIX = {prefix!r} and FORCE_SCRIPT_NAME = {script!r}: no address is found.",
            "Set FORCE_SCRIPT_NAME = URL_PATH_PREFIX.",
            id="serving.E017",
        )
    if conf.BODY_SPACE is not None and conf.BODY_SPACE < 2 * conf.MAX_BODY_SIZE:
        yield Error(
            f"BODY_SPACE = {conf.BODY_SPACE} is less than twice MAX_BODY_SIZE, {conf.MAX_BODY_SIZE}: a"
            " form with files is on disk twice, as it came and as the files that a view gets.",
            "Raise it, or remove it: the default is ten times MAX_BODY_SIZE.",
            id="serving.E018",
        )
    if conf.METRICS_ENABLED and conf.METRICS_PORT + conf.WORKERS > PORT_MAX:
        yield Error(
            f"METRICS_PORT = {conf.METRICS_PORT}: each of {conf.WORKERS} workers (WORKERS) takes one"
            f" of the ports behind it, and they end at {PORT_MAX}.",
            f"Set it to {PORT_MAX - conf.WORKERS} or less.",
            id="serving.E019",
        )
    if conf.METRICS_ENABLED and find_spec("prometheus_client") is None:
        yield Error(
            "METRICS_ENABLED = True, and the package prometheus-client is not installed.",
            "Install django-serving[metrics].",
            id="serving.E020",
        )
    limit = granian_flags().get("workers_kill_timeout")  # None in any process but a worker
    if limit is not None and limit <= conf.DRAIN_TIMEOUT + conf.LIFESPAN_SHUTDOWN_TIMEOUT:
        yield CheckWarning(
            f"DRAIN_TIMEOUT = {conf.DRAIN_TIMEOUT:g} and LIFESPAN_SHUTDOWN_TIMEOUT ="
            f" {conf.LIFESPAN_SHUTDOWN_TIMEOUT:g} leave no time within GRANIAN_WORKERS_KILL_TIMEOUT ="
            f" {limit:g}: a worker may be killed before the apps' lifespans are left.",
            "Raise GRANIAN_WORKERS_KILL_TIMEOUT above their sum.",
            id="serving.W002",
        )


def app() -> Iterator[CheckMessage]:
    """Whether it is an installed app, in front of what it overrides."""
    names = [name.partition(".apps.")[0] for name in settings.INSTALLED_APPS]
    if "serving" not in names:
        yield CheckWarning(
            "INSTALLED_APPS lacks 'serving': requests that the server did not make (a test client's)"
            " have no `state`, and `manage.py check` looks at no setting of it.",
            "Put 'serving' first.",
            id="serving.W003",
        )
    elif "django.contrib.staticfiles" in names[: names.index("serving")]:
        yield CheckWarning(
            "INSTALLED_APPS has 'serving' behind 'django.contrib.staticfiles', whose runserver is used"
            " then: it does not say that it runs no lifespan.",
            "Put 'serving' first.",
            id="serving.W004",
        )


def misspelled() -> Iterator[CheckMessage]:
    """Settings that nobody knows, with a name close to one of this package's."""
    unknown = {name for name in dir(settings) if name.isupper()} - {*RULES, *dir(global_settings)}
    for name in sorted(unknown):
        if close := get_close_matches(name, RULES, n=1, cutoff=0.88):
            yield CheckWarning(
                f"{name} is no setting of Django's or of django-serving's.",
                f"Write {close[0]}, if that is meant.",
                id="serving.W005",
            )
