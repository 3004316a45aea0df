"""The environment as settings read it: typed and checked, with secrets from files too, and with its log."""

import os
import re
from collections.abc import Callable, Mapping
from email.errors import HeaderParseError
from email.headerregistry import AddressHeader
from functools import partial
from pathlib import Path
from types import EllipsisType
from typing import Any, cast

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvValidationError, ValidationError, validate
from serving.log.config import logging_config
from serving.rules import MOST

from serving_tools.env_file import EnvFileError, has_one_of, read
from serving_tools.log_variables import LEVELS, check_format, parse_levels
from serving_tools.mail import address
from serving_tools.secret_files import from_file


class Environment(Env):
    """Reads NAME, or the file that NAME_FILE names, and collects what is wrong until `refuse_problems()`.

    What has a default is never None: where the value is wrong, the default stands in for it until then.

    environs' own FileAwareEnv keeps the line break at a file's end, reads an empty file, lets NAME_FILE
    win where both are set, and raises for a file that is missing before the other problems are known.
    """

    def __init__(self) -> None:
        super().__init__(eager=False)
        self.file_problems: dict[str, list[str]] = {}

    def choice(self, name: str, default: str, *others: str) -> str:
        """One of these words."""
        return self.str(name, default, validate=validate.OneOf([default, *others])) or default

    def integer(self, name: str, default: int, *, least: int = 1, most: int = MOST) -> int:
        """An integer within these bounds."""
        bounds = validate.Range(least, most, error=f"Must be from {least} to {most}.")
        found = self.int(name, default, validate=bounds)
        return default if found is None else found

    def number(
        self, name: str, default: float, *, least: float | None = None, most: float = MOST
    ) -> float:
        """A number that is greater than 0, or at least `least` if that is given, and no larger than `most`."""
        said = "above 0 and no more than" if least is None else f"from {least} to"
        bounds = validate.Range(
            least or 0, most, min_inclusive=least is not None, error=f"Must be {said} {most}."
        )
        found = self.float(name, default, validate=bounds)
        return float(default if found is None else found)

    def items(
        self,
        name: str,
        default: list[str],
        *,
        check: Callable[[str], object] = str,
        least: int = 0,
    ) -> list[str]:
        """At least so many items, separated by commas. `check` raises ValueError for a wrong one."""

        def check_each(items: list[str]) -> None:
            for item in items:
                valid(check)(item)

        checks: list[Callable[[Any], object]] = [validate.Length(least), check_each]
        found = self.list(name, default, subcast=str.strip, validate=checks)
        return default if found is None else found

    def checked(self, name: str, default: str, check: Callable[[str], object]) -> str:
        """Text that `check` has no objection to; it raises ValueError, which says what is wrong."""
        return self.str(name, default, validate=valid(check)) or default

    def parsed[A](
        self, name: str, parse: Callable[[str], A], default: str | EllipsisType = ...
    ) -> A | None:
        """What `parse` makes of a value; None for a missing or a wrong one, which raises ValidationError."""
        value = self.str(name, default, validate=parse)  # type: ignore[arg-type]  # `...`: it is required
        return parse(value) if value else None

    def mailers(self, name: str, *, debug: bool) -> address.Mailers:
        """MAILERS for the address of a mail server; without one, mail is printed or, unless `debug`, refused."""
        without = address.CONSOLE if debug else address.NONE
        found = self.parsed(name, address.mailers, "")
        return without if found in (None, address.NONE) else found

    def logging(self, file: Path, *, path_prefix: str = "") -> dict[str, Any]:
        """LOGGING by the file that Granian reads too, with levels and access log as variables set them.

        Where ADMINS are named, and without DEBUG, errors go to them by mail as well.
        """
        self.choice("GRANIAN_LOG_LEVEL", "info", *LEVELS)
        self.choice("LOG_FORMAT", "console", "json")
        self.checked("GRANIAN_LOG_ACCESS_FMT", "", check_format)
        config = logging_config(file)
        levels = partial(parse_levels, known=config["loggers"])
        for logger, level in levels(self.checked("LOG_LEVELS", "", levels)).items():
            config["loggers"].setdefault(logger, {})["level"] = level
        config["filters"]["access"].update(
            probes=self.bool("ACCESS_LOG_PROBES", False),
            query=self.bool("ACCESS_LOG_QUERY", True),
            prefix=path_prefix,
        )
        if self.items("ADMINS", []) and not self.bool("DEBUG", False):
            handler = "serving_tools.mail.admins.AdminMailHandler"
            config["handlers"]["admins"] = {"class": handler, "level": "ERROR"}
            config["root"]["handlers"] = [*config["root"]["handlers"], "admins"]
        return config

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            value = from_file(env_key)
        except ValueError as error:
            self.file_problems[env_key] = [str(error)]
            return default
        return super()._get_value(env_key, default) if value is None else value

    def refuse_problems(self, *, secret: Mapping[str, str], env_file: Path) -> None:
        """Raises ImproperlyConfigured, which lists every value that is missing or wrong, if there is one.

        `secret`: the variables whose values no message shows, each with a hint where to get one.
        """
        problems: dict[str, list[str]] = {}
        try:
            self.seal()
        except EnvValidationError as error:
            problems = cast("dict[str, list[str]]", error.error_messages)
        problems |= self.file_problems
        if not problems:
            return
        lines = ["The environment holds values that are missing or wrong:"]
        for name, reasons in problems.items():
            value = "" if name in secret or name not in os.environ else f"={os.environ[name]!r}"
            hint = "" if name in self.file_problems else secret.get(name, "")
            hint = missing_of_example(name, env_file) or hint
            lines.append(f"  {name}{value}: {' '.join([*reasons, hint])}".rstrip())
        if has_one_of(env_file, problems.keys() - os.environ.keys()):
            lines.append(
                "A .env is here, which `make` and `manage.py` read. For another command:"
                " python -m serving_tools.env_file .env -- COMMAND"
            )
        raise ImproperlyConfigured("\n".join(lines)) from None


def missing_of_example(name: str, env_file: Path) -> str:
    """How .env.example sets a variable, where that needs others which a .env has not: it is older than they are."""
    try:
        text = env_file.with_name(".env.example").read_text(encoding="utf-8")
        local = read(env_file, os.environ)
    except (OSError, EnvFileError):
        return ""
    found = re.search(rf"^{name}=(.+)$", text, re.MULTILINE)
    wanted = re.findall(r"\$\{(\w+)\}", found[1]) if found else []
    lacking = [each for each in wanted if each not in local and each not in os.environ]
    if not found or not lacking:
        return ""
    return f".env.example has {found[1]}, with {' and '.join(lacking)}, which .env lacks: copy these lines."


def valid(check: Callable[[str], object]) -> Callable[[str], None]:
    """A validator from a function that raises ValueError, which says what is wrong."""

    def is_valid(value: str) -> None:
        try:
            check(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None

    return is_valid


def check_address(text: str) -> None:
    """Raises ValueError unless it is an address of e-mail, alone or behind a name: Tea <tea@shop.example>."""
    try:
        parsed = AddressHeader.value_parser(text)
        boxes = [] if parsed.all_defects else parsed.all_mailboxes
    except (HeaderParseError, IndexError, ValueError):
        boxes = []
    if len(boxes) != 1 or not boxes[0].domain or not boxes[0].local_part:
        raise ValueError(f"{text!r} is not an address of e-mail (ada@example.com).")


TAKEN = {"accounts", "livez", "media", "readyz", "static"}


def check_path(text: str) -> None:
    """Raises ValueError unless it is a path below the site's, as ADMIN_PATH: "admin", "staff/desk".

    None that begins as one of these is free: /livez, /readyz, static files, uploads, accounts.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", text):
        raise ValueError(
            f"{text!r} is not a path such as admin or staff/desk: letters, digits, _ and -, with no slash"
            " at either end."
        )
    if (first := text.partition("/")[0]) in TAKEN:
        raise ValueError(
            f"{text!r} begins with {first}, where the site has other pages; try 'admin'."
        )


def check_origin(text: str) -> None:
    """Raises ValueError unless it is a scheme and a host, as CSRF_TRUSTED_ORIGINS takes them."""
    scheme, separator, host = text.partition("://")
    if scheme not in {"http", "https"} or not separator or not host or "/" in host:
        raise ValueError(f"{text!r} is not scheme://host.")
