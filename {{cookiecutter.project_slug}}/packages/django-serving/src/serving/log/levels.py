"""The level of the log, for the file that configures it."""

import logging
import os

GIVEN = os.environ.get("GRANIAN_LOG_LEVEL") or "info"
IS_LEVEL = GIVEN.upper() in logging.getLevelNamesMapping()  # a system check says that it is none
LEVEL = GIVEN.upper() if IS_LEVEL else "INFO"
