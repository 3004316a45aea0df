"""Told to stop before there is an event loop, with a handler of another process in place."""

import os
import signal

from serving.stopping.signals import stopping

signal.signal(signal.SIGTERM, lambda number, frame: print("inherited", flush=True))
stopping.install()
os.kill(os.getpid(), signal.SIGTERM)
print("goes on")
