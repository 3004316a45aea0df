"""Imported before all else that takes time: process 1 of a container ends by SIGTERM, as any other process would.

Linux ignores a signal for process 1 that it does not handle, and until Django is imported and a server or a worker
handles it, a second passes: told to stop in that, a container went on until it was killed.
https://man7.org/linux/man-pages/man7/pid_namespaces.7.html
"""

import os
import signal
import sys

if os.getpid() == 1:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
