"""A worker that was forked, as Granian forks it before Python 3.14, and ends with a record in hand."""

import asyncio
import logging
import multiprocessing

from serving.application import take_over_process
from serving.log.output import LogHandler


def work() -> None:
    take_over_process(None)
    handler = LogHandler()
    logging.getLogger().addHandler(handler)

    async def serve() -> None:
        handler.hold(logging.makeLogRecord({"msg": "the last request"}))

    asyncio.run(serve())


if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
