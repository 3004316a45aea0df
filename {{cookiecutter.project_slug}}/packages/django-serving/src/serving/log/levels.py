"""The level of the log, for the file that configures it."""

import os

LEVEL = (os.environ.get("GRANIAN_LOG_LEVEL") or "info").upper()
