"""Stands in for the server of an error tracker or a tracer; decodes what comes, by the real protocols."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import clean_environment
from tests.support.server import wait_for
from tests.support.sites import SITES

Report = dict[str, Any]


class Receiver:
    """What stands in for the library's server, and what has come to it."""

    def __init__(self, programs: Path, log: Path, port: int = 0) -> None:
        self._log = log
        self._size = 0
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [programs / "python", SITES / "libraries" / "receiver.py", str(port)],
                stdout=output,
                env=clean_environment(),
            )
        self.port = int(wait_for(lambda: log.read_text().partition("\n")[0], "the receiver's port"))

    @property
    def has_news(self) -> bool:
        """Whether anything came since this was asked before."""
        before, self._size = self._size, self._log.stat().st_size
        return self._size != before

    @property
    def text(self) -> str:
        """All that has come, as it was printed."""
        return self._log.read_text()

    @property
    def reports(self) -> list[Report]:
        written, _, _ = self.text.rpartition("\n")
        written = re.sub(r" at 0x\w+", "", written)
        return [json.loads(line) for line in written.splitlines()[1:]]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
