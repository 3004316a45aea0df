"""Whether Granian takes a worker for alive whose end another of its threads has seen, but not noted yet."""

import os
import time
from typing import Any

from granian.server.mp import WorkerProcess
from serving.__main__ import see_workers_end

see_workers_end()
kind: Any = WorkerProcess
worker = kind(None, 0, time.sleep, (600,))
worker.inner.start()
print(worker.is_alive(), flush=True)
os.kill(worker.inner.pid, 9)
os.waitpid(worker.inner.pid, 0)
print(worker.is_alive(), flush=True)
os._exit(0)  # or multiprocessing would wait for it
