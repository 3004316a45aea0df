"""The settings that this package reads from Django's, each with its default and its rule.

README.md says what each is for, and in which unit.
"""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from serving import rules


class Setting[T]:
    """One of Django's settings. `check`: the id of its system check, by which projects silence it."""

    def __init__(self, check: str, default: T, rule: rules.Rule) -> None:
        self.check = check
        self.default = default
        self.rule = rule

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __call__(self, given: T | None = None) -> T:
        """What was given in its place, else the setting, else its default.

        Raises ImproperlyConfigured, which says what is wrong, unless its rule allows the value.
        """
        value: T = getattr(settings, self.name, self.default) if given is None else given
        if found := self.wrong(value):
            raise ImproperlyConfigured(one_line(found))
        return value

    def wrong(self, value: Any) -> CheckMessage | None:
        """What is wrong with a value, as Django's checks report it."""
        try:
            self.rule(value)
        except ValueError as error:
            reason = str(error).rstrip(".")
            fix = f"Correct it, or remove it: the default is {self.default!r}."
            return Error(f"{self.name} = {value!r}: {reason}.", fix, id=self.check)
        return None


class Conf:
    """The settings: `conf.WORKERS()` is the value of one."""

    LIFESPAN = Setting("serving.E001", "required", rules.MODE)
    LIFESPAN_STARTUP_TIMEOUT = Setting("serving.E002", 30.0, rules.SECONDS)
    LIFESPAN_SHUTDOWN_TIMEOUT = Setting("serving.E003", 5.0, rules.SECONDS)
    DRAIN_TIMEOUT = Setting("serving.E004", 15.0, rules.SECONDS)
    SEND_TIMEOUT = Setting("serving.E005", 60.0, rules.SECONDS)
    SERVING_THREADS = Setting("serving.E006", 64, rules.COUNT)
    MAX_BODY_SIZE = Setting("serving.E007", 100_000_000, rules.COUNT)
    BODY_SPACE = Setting[int | None]("serving.E008", None, rules.SPACE)
    BODY_TIMEOUT = Setting("serving.E009", 30.0, rules.SECONDS)
    BODY_MIN_RATE = Setting("serving.E010", 1000.0, rules.RATE)
    TRUSTED_PROXIES = Setting[Sequence[str]]("serving.E011", (), rules.proxies)
    URL_PATH_PREFIX = Setting("serving.E012", "", rules.text("/app", rules.check_prefix))
    METRICS_ENABLED = Setting("serving.E013", False, rules.SWITCH)
    METRICS_ADDRESS = Setting("serving.E014", "127.0.0.1", rules.text("127.0.0.1", ip_address))
    METRICS_PORT = Setting("serving.E015", 9090, rules.PORT)
    WORKERS = Setting("serving.E016", 1, rules.COUNT)
    MEDIA_ACCEL_PREFIX = Setting("serving.E022", "", rules.text("/media", rules.check_prefix))
    WORKER_CONCURRENCY = Setting("serving.E023", 4, rules.COUNT)
    SCHED_BATCH = Setting("serving.E025", True, rules.SWITCH)


conf = Conf()

SETTINGS: dict[str, Setting[Any]] = {
    name: setting for name, setting in vars(Conf).items() if isinstance(setting, Setting)
}


def one_line(message: CheckMessage) -> str:
    """What a check found, for the log or an exception."""
    return f"{message.msg} {message.hint} ({message.id})"
