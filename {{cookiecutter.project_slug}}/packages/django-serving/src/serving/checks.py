"""System checks of the settings in `serving.conf`, for `manage.py check` and for each start of a server.

https://docs.djangoproject.com/en/6.1/topics/checks/
"""

import logging
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from ipaddress import ip_address
from math import isfinite
from typing import Any, NamedTuple

from django.conf import global_settings, settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured

from serving.conf import Conf, conf
from serving.http.proxy import check_prefix, check_proxy
from serving.process.flags import granian_flags

logger = logging.getLogger(__name__)

MODES = ("required", "optional", "disabled")
PORT_MAX = 65535
CLOSE = 0.88  # how alike two names are, of which one may be the other's misspelling


class Rule(NamedTuple):
    """What a setting must be, as a phrase and as a test of a value; `id` names its check."""

    id: str
    must: str
    holds: Callable[[Any], bool]


def is_whole(value: Any) -> bool:
    """Whether it is an integer: Python takes True for one."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a number that can be compared."""
    return is_whole(value) or (isinstance(value, float) and isfinite(value))


def seconds(number: int) -> Rule:
    """The rule of a time."""
    must = "must be a number of seconds, more than 0"
    return Rule(f"serving.E{number:03}", must, lambda value: is_number(value) and value > 0)


def positive(number: int, what: str) -> Rule:
    """The rule of a count."""
    must = f"must be a number of {what}, 1 or more"
    return Rule(f"serving.E{number:03}", must, lambda value: is_whole(value) and value > 0)


def is_address(value: Any) -> bool:
    """Whether it is an IP address."""
    try:
        ip_address(value)
    except ValueError:
        return False
    return isinstance(value, str)


# What each setting must be by itself. An id stays with its setting: projects silence checks by it.
RULES: dict[str, Rule] = {
    "LIFESPAN": Rule("serving.E001", f"must be one of {', '.join(MODES)}", MODES.__contains__),
    "LIFESPAN_STARTUP_TIMEOUT": seconds(2),
    "LIFESPAN_SHUTDOWN_TIMEOUT": seconds(3),
    "DRAIN_TIMEOUT": seconds(4),
    "SEND_TIMEOUT": seconds(5),
    "SERVING_THREADS": positive(6, "threads"),
    "MAX_BODY_SIZE": positive(7, "bytes"),
    "BODY_SPACE": Rule(
        "serving.E008",
        "must be a number of bytes, or None",
        lambda value: value is None or is_whole(value),
    ),
    "BODY_TIMEOUT": seconds(9),
    "BODY_MIN_RATE": Rule(
        "serving.E010",
        "must be a number of bytes a second, 0 or more",
        lambda value: is_number(value) and value >= 0,
    ),
    "TRUSTED_PROXIES": Rule(
        "serving.E011",
        "must be a list of texts: addresses, networks and the word unix",
        lambda value: (
            isinstance(value, list | tuple | set | frozenset)
            and all(isinstance(item, str) for item in value)
        ),
    ),
    "URL_PATH_PREFIX": Rule(
        "serving.E012",
        "must be a text: a path such as '/app', or ''",
        lambda value: isinstance(value, str),
    ),
    "METRICS_ENABLED": Rule(
        "serving.E013", "must be True or False", lambda value: isinstance(value, bool)
    ),
    "METRICS_ADDRESS": Rule("serving.E014", "must be an IP address", is_address),
    "METRICS_PORT": Rule(
        "serving.E015",
        f"must be a port, from 1 to {PORT_MAX}",
        lambda value: is_whole(value) and 0 < value <= PORT_MAX,
    ),
    "WORKERS": positive(16, "processes"),
}


def check_settings(app_configs: object = None, **options: object) -> list[CheckMessage]:
    """What is wrong with the settings that this package reads, as Django's checks have it."""
    wrong = {name for name, rule in RULES.items() if not rule.holds(getattr(conf, name))}
    found = [failed(name) for name in RULES if name in wrong]
    for check in (proxies, prefix, body_space, ports, kill_timeout):
        found += check(wrong)
    return [*found, *app(), *misspelled()]


def refuse_wrong_settings() -> None:
    """Raises ImproperlyConfigured, with all that is wrong, unless these settings can be served with."""
    found = [message for message in check_settings() if not message.is_silenced()]
    said = {message.id: f"{message.msg} {message.hint} ({message.id})" for message in found}
    if errors := [said[message.id] for message in found if message.is_serious()]:
        raise ImproperlyConfigured("\n".join(errors))
    for message in found:
        logger.warning("%s", said[message.id])


def failed(name: str) -> CheckMessage:
    """The message of a value that breaks the rule of its setting."""
    rule = RULES[name]
    return Error(f"{name} = {getattr(conf, name)!r}: it {rule.must}.", default(name), id=rule.id)


def default(name: str) -> str:
    """How to fix a setting."""
    return f"Correct it, or remove it from the settings: the default is {vars(Conf)[name]!r}."


def proxies(wrong: set[str]) -> Iterator[CheckMessage]:
    """What is wrong with items of TRUSTED_PROXIES."""
    if "TRUSTED_PROXIES" in wrong:
        return
    for item in conf.TRUSTED_PROXIES:
        try:
            check_proxy(item)
        except ValueError as error:
            yield Error(
                f"TRUSTED_PROXIES: {error}", "Correct the item, or remove it.", id="serving.E017"
            )


def prefix(wrong: set[str]) -> Iterator[CheckMessage]:
    """What is wrong with URL_PATH_PREFIX, by itself and beside FORCE_SCRIPT_NAME."""
    path = conf.URL_PATH_PREFIX
    if "URL_PATH_PREFIX" in wrong:
        return
    try:
        check_prefix(path)
    except ValueError as error:
        yield Error(f"URL_PATH_PREFIX: {error}", default("URL_PATH_PREFIX"), id="serving.E018")
        return
    script = settings.FORCE_SCRIPT_NAME
    if path and script is None:
        yield CheckWarning(
            f"URL_PATH_PREFIX = {path!r} and FORCE_SCRIPT_NAME is not set: links that are made"
            " outside of a request, by a command, lack the path.",
            "Set FORCE_SCRIPT_NAME = URL_PATH_PREFIX.",
            id="serving.W001",
        )
    elif path and script.rstrip("/") != path:
        yield Error(
            f"URL_PATH_PREFIX = {path!r} and FORCE_SCRIPT_NAME = {script!r}: they must be the same,"
            " or no address is found.",
            "Set FORCE_SCRIPT_NAME = URL_PATH_PREFIX.",
            id="serving.E019",
        )


def body_space(wrong: set[str]) -> Iterator[CheckMessage]:
    """Whether the largest form has room: it is on disk twice, as it came and as a view's files."""
    if wrong & {"BODY_SPACE", "MAX_BODY_SIZE"} or conf.BODY_SPACE is None:
        return
    if conf.BODY_SPACE < 2 * conf.MAX_BODY_SIZE:
        yield Error(
            f"BODY_SPACE = {conf.BODY_SPACE}: it must be at least twice MAX_BODY_SIZE, which is"
            f" {conf.MAX_BODY_SIZE}, since a form with files is on disk twice.",
            "Raise it, or remove it: the default is ten times MAX_BODY_SIZE.",
            id="serving.E020",
        )


def ports(wrong: set[str]) -> Iterator[CheckMessage]:
    """Whether each worker has a port for its metrics, and the package that serves them."""
    if wrong & {"METRICS_ENABLED", "METRICS_PORT", "WORKERS"} or not conf.METRICS_ENABLED:
        return
    if conf.METRICS_PORT + conf.WORKERS > PORT_MAX:
        yield Error(
            f"METRICS_PORT = {conf.METRICS_PORT}: each of {conf.WORKERS} workers (WORKERS) takes one"
            f" of the ports behind it, and they end at {PORT_MAX}.",
            f"Set it to {PORT_MAX - conf.WORKERS} or less.",
            id="serving.E021",
        )
    if find_spec("prometheus_client") is None:
        yield Error(
            "METRICS_ENABLED = True, and the package prometheus-client is not installed.",
            "Install django-serving[metrics].",
            id="serving.E022",
        )


def kill_timeout(wrong: set[str]) -> Iterator[CheckMessage]:
    """Whether a worker has time to stop before Granian kills it; in other processes there is nothing to say."""
    limit = granian_flags().get("workers_kill_timeout")
    if limit is None or wrong & {"DRAIN_TIMEOUT", "LIFESPAN_SHUTDOWN_TIMEOUT"}:
        return
    if limit <= conf.DRAIN_TIMEOUT + conf.LIFESPAN_SHUTDOWN_TIMEOUT:
        yield CheckWarning(
            f"DRAIN_TIMEOUT = {conf.DRAIN_TIMEOUT:g} and LIFESPAN_SHUTDOWN_TIMEOUT ="
            f" {conf.LIFESPAN_SHUTDOWN_TIMEOUT:g} are no less than GRANIAN_WORKERS_KILL_TIMEOUT ="
            f" {limit:g}: a worker is killed before the apps' lifespans are left.",
            "Raise GRANIAN_WORKERS_KILL_TIMEOUT above their sum.",
            id="serving.W002",
        )


def app() -> Iterator[CheckMessage]:
    """Whether "serving" is an installed app, in front of what it overrides."""
    names = [name.partition(".apps.")[0] for name in settings.INSTALLED_APPS]
    if "serving" not in names:
        yield CheckWarning(
            "INSTALLED_APPS lacks 'serving': requests that the server did not make (a test client's,"
            " a command's) have no `state` and no `id`, and `manage.py check` looks at no setting of it.",
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
    known = {name for name in vars(Conf) if name.isupper()}
    for name in dir(settings):
        if not name.isupper() or name in known or hasattr(global_settings, name):
            continue
        if close := get_close_matches(name, known, n=1, cutoff=CLOSE):
            yield CheckWarning(
                f"{name} is no setting of Django's or of django-serving's.",
                f"Write {close[0]}, if that is meant.",
                id="serving.W005",
            )
