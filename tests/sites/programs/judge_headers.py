"""Judges the values of OTEL_EXPORTER_OTLP_HEADERS in its arguments: what is wrong, else what the exporter reads."""

import json
import logging
import sys

from opentelemetry.util.re import parse_env_headers
from telemetry import check_headers

logging.basicConfig(stream=sys.stdout)

for value in sys.argv[1:]:
    try:
        check_headers(value)
    except ValueError as error:
        print(error)
    else:
        print(json.dumps(parse_env_headers(value, liberal=True)))
