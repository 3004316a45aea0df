"""Told to stop before there is an event loop, with the handler in place that the argument names."""

import os
import signal
import sys

from serving.stopping.signals import stopping

if sys.argv[1] == "inherited":  # of another process
    signal.signal(signal.SIGTERM, lambda number, frame: print("inherited", flush=True))
stopping.install()
os.kill(os.getpid(), signal.SIGTERM)
print("goes on")
