"""What a worker holds of the log when it ends."""

import subprocess
import sys


def test_a_worker_that_ends_writes_what_it_holds() -> None:
    """multiprocessing ends a process without atexit, by which logging would."""
    command = [sys.executable, "-m", "tests.sites.programs.end_worker"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("the last request\n", "")
