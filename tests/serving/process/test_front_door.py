"""Granian's main process, as `python -m serving` starts it."""

import subprocess
import sys


def test_a_worker_that_has_ended_is_not_said_to_be_killed() -> None:
    command = [sys.executable, "-m", "tests.sites.programs.end_worker_unseen"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True\nFalse\n"
