"""The flags that Granian runs with."""

import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any


def granian_flags() -> Mapping[str, Any]:
    """The flags as Granian resolves them, from its command line, variables and defaults.

    Empty under another program: a worker has the command line of its main process.
    Raises click's exceptions for --help, or a wrong option.
    """
    program = Path(sys.argv[0])
    if program.stem != "granian" and program.parts[-2:] != ("granian", "__main__.py"):
        return {}
    from granian.cli import cli

    resolved = cli.make_context("granian", sys.argv[1:], auto_envvar_prefix="GRANIAN").params
    return {
        name: value.value if isinstance(value, Enum) else value for name, value in resolved.items()
    }
