"""What a worker does for a debugger, in a session whose terminal is the descriptor that the argument names."""

import fcntl
import os
import sys
import termios
from multiprocessing import util

from serving.process.development import open_terminal

fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
util._close_stdin()  # type: ignore[attr-defined]  # as multiprocessing does in each process
before = os.listdir("/dev/fd")
open_terminal()
assert os.listdir("/dev/fd") == before, "no descriptor stays open"
print(input())
sys.stdin.close()
assert os.isatty(0), "as Python's own stdin leaves it"
