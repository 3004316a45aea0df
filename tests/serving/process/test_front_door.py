"""Granian's main process, as `python -m serving` starts it."""

import subprocess
import sys

import pytest


def test_a_worker_that_has_ended_is_not_said_to_be_killed() -> None:
    command = [sys.executable, "-m", "tests.sites.programs.end_worker_unseen"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True\nFalse\n"


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["0"], 0), (["1"], 1), (["3"], 3)])
def test_with_metrics_nothing_comes_behind_the_end(arguments: list[str], status: int) -> None:
    command = [sys.executable, "-m", "tests.sites.programs.end_at_once", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "the last line\n", "")


def test_a_handler_of_signals_may_set_the_event_at_any_moment() -> None:
    command = [sys.executable, "-m", "tests.sites.programs.storm_of_signals"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "an order to stop is not cleared\n"
