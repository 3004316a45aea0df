"""The environment as settings read it: typed by environs, and secrets from files, too."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvValidationError, ValidationError

from serving_tools.env_file import has_one_of
from serving_tools.secret_files import from_file


class Environment(Env):
    """Reads NAME, or the file that NAME_FILE names, and collects what is wrong until `refuse_problems()`.

    environs' own FileAwareEnv keeps the line break at a file's end, reads an empty file, lets NAME_FILE
    win where both are set, and raises for a file that is missing before the other problems are known.
    """

    def __init__(self) -> None:
        super().__init__(eager=False)
        self.file_problems: dict[str, list[str]] = {}

    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            value = from_file(env_key)
        except ValueError as error:
            self.file_problems[env_key] = [str(error)]
            return default
        return super()._get_value(env_key, default) if value is None else value

    def refuse_problems(self, *, secret: Mapping[str, str], env_file: Path) -> None:
        """Raises ImproperlyConfigured, which lists every value that is missing or wrong, if one is.

        `secret`: the variables whose values no message shows, each with a hint where it is to be had from.
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
            lines.append(f"  {name}{value}: {' '.join([*reasons, hint])}".rstrip())
        if has_one_of(env_file, problems.keys() - os.environ.keys()):
            lines.append(
                "A .env is here, which `make` and `manage.py` read. For another command:"
                " python -m serving_tools.env_file .env -- COMMAND"
            )
        raise ImproperlyConfigured("\n".join(lines)) from None


def each(check: Callable[[str], object]) -> Callable[[list[str]], None]:
    """A validator of lists: checks every item."""

    def check_each(items: list[str]) -> None:
        for item in items:
            check(item)

    return check_each


def valid(check: Callable[[str], object]) -> Callable[[str], None]:
    """A validator from a function that raises ValueError, which says what is wrong."""

    def is_valid(value: str) -> None:
        try:
            check(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None

    return is_valid
