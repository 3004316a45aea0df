"""No import of the package has a side effect: whoever reads config/logging.json imports some of it."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("what", ["everything", "log"])
def test_importing_changes_nothing_of_the_process(what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sites.programs.look_around", what],
        capture_output=True,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    assert done.returncode == 0, done.stderr
