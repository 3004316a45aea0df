"""The environment as settings read it: typed by environs, and secrets from files, too."""

from typing import Any

from environs import Env

from serving.secret_files import from_file


class Environment(Env):
    """Reads NAME, or the file that NAME_FILE names, and collects what is wrong until `seal()`.

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
