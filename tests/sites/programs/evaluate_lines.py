"""Evaluates a line of stdin after the other, and writes the value as JSON."""

import json
import logging
import sys

import django

django.setup()
from django.core.cache import cache  # noqa: E402, F401  # for the lines

said: list[str] = []


class Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        said.append(f"{record.levelname} {record.getMessage()}")


logger = logging.getLogger("data.valkey")
logger.addHandler(Keep())
logger.propagate = False
for line in sys.stdin:
    try:
        answer = eval(line)  # noqa: S307
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer), flush=True)
