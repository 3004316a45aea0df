"""What a worker holds of the log when it ends."""

import subprocess
import sys

ENDS = """
import asyncio, logging, multiprocessing
from serving.application import take_over_process
from serving.log.output import LogHandler

def work():
    take_over_process(None)
    stdout = LogHandler()
    logging.getLogger().addHandler(stdout)

    async def serve():
        stdout.hold(logging.makeLogRecord({"msg": "the last request"}))

    asyncio.run(serve())

if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
"""


def test_a_worker_that_ends_writes_what_it_holds() -> None:
    """multiprocessing ends a process without atexit, by which logging would."""
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("the last request\n", "")
