"""Ends as Granian's main process does where it counts metrics, with the status of the first argument if there is one."""

import atexit
import logging
import sys

from serving.__main__ import ended_at_once

atexit.register(print, "Python ended")
logging.basicConfig(stream=sys.stdout, format="%(message)s")
with ended_at_once():
    logging.getLogger(__name__).warning("the last line")
    if len(sys.argv) > 1:
        sys.exit(int(sys.argv[1]))
