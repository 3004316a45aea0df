"""Hooks without a process of their own, for tests that generate hundreds of projects."""

import contextlib
import io
import os
import runpy
from pathlib import Path

from cookiecutter.exceptions import FailedHookException
from cookiecutter.utils import work_in


def run_script(script_path: str, cwd: Path | str = ".") -> None:
    """Does what cookiecutter.hooks.run_script does with a rendered hook, in this process."""
    try:
        with work_in(cwd), contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(script_path, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise FailedHookException(str(end.code)) from None
    finally:
        os.unlink(script_path)
