"""System checks: whether Django knows the project's own apps, their addresses and models; whether mail leaves.

https://docs.djangoproject.com/en/6.1/topics/checks/
"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning

from serving_tools.mail import address

OTHERS = {"packages", "tests", "node_modules", "site-packages"}


def check_own_apps(app_configs: object = None, **options: object) -> list[CheckMessage]:
    """What is missing of the apps in the project's folder, each with the file and the line to write."""
    root = Path(getattr(settings, "BASE_DIR", ".")).resolve()
    return [message for folder in own_apps(root) for message in problems(folder, root)]


def check_mail(app_configs: object = None, **options: object) -> list[CheckMessage]:
    """Whether a site that is deployed sends mail, as `manage.py check --deploy` asks."""
    backend = getattr(settings, "MAILERS", {}).get("default", {}).get("BACKEND")
    if backend == address.NONE["default"]["BACKEND"]:
        wrong = "EMAIL_URL is not set: no mail is sent, and nobody can reset a password."
    elif backend == address.CONSOLE["default"]["BACKEND"]:
        wrong = "EMAIL_URL=console:// prints mail, and sends none."
    else:
        return []
    hint = "Set it to a mail server, smtp+starttls://user:password@mail.example:587."
    return [CheckWarning(wrong, hint, id="serving_tools.W004")]


def own_apps(root: Path) -> list[Path]:
    """The folders with an apps.py, in the project's folder or one below; of no environment."""
    found = [file.parent for pattern in ("*/apps.py", "*/*/apps.py") for file in root.glob(pattern)]
    return sorted(
        folder
        for folder in found
        if not any(
            part.startswith(".") or part in OTHERS for part in folder.relative_to(root).parts
        )
    )


def problems(folder: Path, root: Path) -> Iterator[CheckMessage]:
    """The lines that one app lacks."""
    name = ".".join(folder.relative_to(root).parts)
    shown = folder.relative_to(root).as_posix()
    config = next(
        (each for each in apps.get_app_configs() if Path(each.path).samefile(folder)), None
    )
    if not config:
        yield CheckWarning(
            f"{shown}/apps.py: INSTALLED_APPS of config/settings.py has no {name!r}, so Django finds none of"
            " its models, templates and commands.",
            f'Add "{name}" to INSTALLED_APPS, or remove {shown}/.',
            id="serving_tools.W001",
        )
        return
    with suppress(Exception):  # another check says what is wrong with it
        import_module(settings.ROOT_URLCONF)
        if (folder / "urls.py").exists() and f"{config.name}.urls" not in sys.modules:
            yield CheckWarning(
                f"{shown}/urls.py: nothing includes it, so no address leads there.",
                f'Add path("{config.label}/", include("{config.name}.urls")) to urlpatterns of'
                f" {settings.ROOT_URLCONF.replace('.', '/')}.py, or remove {shown}/urls.py.",
                id="serving_tools.W002",
            )
    modules = settings.MIGRATION_MODULES
    if (
        list(config.get_models())
        and config.label not in modules
        and not find_spec(f"{config.name}.migrations")
    ):
        yield CheckWarning(
            f"{shown}/migrations/ is missing, so `make migrations` does not see the models of"
            f" {shown}/models.py.",
            f"`make migrations ARGS={config.label}` makes it.",
            id="serving_tools.W003",
        )
