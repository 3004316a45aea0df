"""Told to stop as process 1 of a container, in the first moments: with what the argument names."""

import os
import sys
from importlib import import_module
from signal import SIGTERM

own = os.getpid()
os.getpid = lambda: 1
if sys.argv[1] == "env_file":
    import_module("serving_tools.env_file").main([])
else:
    import_module("serving.process_one")
os.kill(own, SIGTERM)
print("goes on")
