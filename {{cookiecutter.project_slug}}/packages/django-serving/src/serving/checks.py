"""System checks of the settings in `serving.conf`, for `manage.py check` and for each start of a server.

https://docs.djangoproject.com/en/6.1/topics/checks/
"""

import logging
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from django.apps import apps
from django.conf import global_settings, settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from serving.conf import SETTINGS, conf, one_line
from serving.log import levels
from serving.process.flags import granian_flags
from serving.rules import PORT_MAX

logger = logging.getLogger(__name__)


def check_settings(app_configs: object = None, **options: object) -> list[CheckMessage]:
    """What is wrong with the settings that this package reads, as Django's checks report it."""
    values = ((each, getattr(settings, name, each.default)) for name, each in SETTINGS.items())
    if wrong := [found for each, value in values if (found := each.wrong(value))]:
        return wrong
    return [*wrong_together(), *public_folders(), *app(), *misspelled()]


def refuse_wrong_settings() -> None:
    """Raises ImproperlyConfigured, with all that is wrong, unless these settings can be served with."""
    found = [message for message in check_settings() if not message.is_silenced()]
    if errors := [one_line(message) for message in found if message.is_serious()]:
        raise ImproperlyConfigured("\n".join(errors))
    for message in found:
        logger.warning("%s", one_line(message))


def wrong_together() -> Iterator[CheckMessage]:
    """Values that are right by themselves, and not beside others."""
    prefix, script = conf.URL_PATH_PREFIX(), settings.FORCE_SCRIPT_NAME
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
    space, size = conf.BODY_SPACE(), conf.MAX_BODY_SIZE()
    if space is not None and space < 2 * size:
        yield Error(
            f"BODY_SPACE = {space} is less than twice MAX_BODY_SIZE, {size}: a"
            " form with files is on disk twice, as it came and as the files that a view gets.",
            "Raise it, or remove it: the default is ten times MAX_BODY_SIZE.",
            id="serving.E018",
        )
    if conf.METRICS_ENABLED() and conf.METRICS_PORT() + conf.WORKERS() > PORT_MAX:
        yield Error(
            f"METRICS_PORT = {conf.METRICS_PORT()}: each of {conf.WORKERS()} workers (WORKERS) takes one"
            f" of the ports behind it, and they end at {PORT_MAX}.",
            f"Set it to {PORT_MAX - conf.WORKERS()} or less.",
            id="serving.E019",
        )
    if conf.METRICS_ENABLED() and find_spec("prometheus_client") is None:
        yield Error(
            "METRICS_ENABLED = True, and the package prometheus-client is not installed.",
            "Install django-serving[metrics].",
            id="serving.E020",
        )
    if not levels.IS_LEVEL:
        yield Error(
            f"GRANIAN_LOG_LEVEL={levels.GIVEN!r} is not a level: the log is at level info.",
            "Set the variable to critical, error, warning, info or debug.",
            id="serving.E021",
        )
    flags = granian_flags()  # empty in any process but a worker
    if conf.METRICS_ENABLED() and flags.get("workers", 0) > conf.WORKERS():
        yield CheckWarning(
            f"WORKERS = {conf.WORKERS()}, and Granian starts {flags['workers']}: the others serve no metrics.",
            "Set it to the number of Granian's --workers.",
            id="serving.W006",
        )
    limit = flags.get("workers_kill_timeout")
    if limit is not None and limit <= conf.DRAIN_TIMEOUT() + conf.LIFESPAN_SHUTDOWN_TIMEOUT():
        yield CheckWarning(
            f"DRAIN_TIMEOUT = {conf.DRAIN_TIMEOUT():g} and LIFESPAN_SHUTDOWN_TIMEOUT ="
            f" {conf.LIFESPAN_SHUTDOWN_TIMEOUT():g} leave no time within GRANIAN_WORKERS_KILL_TIMEOUT ="
            f" {limit:g}: a worker may be killed before the apps' lifespans are left.",
            "Raise GRANIAN_WORKERS_KILL_TIMEOUT above their sum.",
            id="serving.W002",
        )


def public_folders() -> Iterator[CheckMessage]:
    """Folders of which everybody may read each file: nothing of the project's own may lie there."""
    base = Path(getattr(settings, "BASE_DIR", ".")).resolve()
    own = [base, *(Path(each.path).resolve() for each in apps.get_app_configs())]
    for database in connections.settings.values():
        if database["ENGINE"].endswith("sqlite3"):
            own.append(Path(database["NAME"]).resolve())
    for name in ("MEDIA_ROOT", "STATIC_ROOT"):
        value = getattr(settings, name, None)
        if not value:
            continue
        folder = Path(value).resolve()
        held = next((f"holds {each}" for each in own if each.is_relative_to(folder)), "")
        if name == "MEDIA_ROOT" and not held:
            around = (folder, *folder.parents)
            code = next((each for each in around if (each / "__init__.py").exists()), None)
            held = f"lies in a package of code, {code}" if code else ""
            if folder.is_relative_to(base):
                first = folder.relative_to(base).parts[0]
                if first == "backups" or first.startswith("."):
                    held = f"lies in {first}/, which is nobody else's"
        if held:
            yield Error(
                f"{name} = {str(value)!r} {held}: everybody could read what is there.",
                "Name a folder that has nothing else in it, such as media.",
                id="serving.E024",
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
    unknown = {name for name in dir(settings) if name.isupper()} - {
        *SETTINGS,
        *dir(global_settings),
    }
    for name in sorted(unknown):
        # What begins with LIFESPAN_ is hardly anybody else's.
        cutoff = 0.6 if name.startswith("LIFESPAN_") else 0.85
        if close := get_close_matches(name, SETTINGS, cutoff=cutoff):
            yield CheckWarning(
                f"{name} is not a setting of Django's or of django-serving's.",
                f"Write {close[0]}, if that is meant.",
                id="serving.W005",
            )
