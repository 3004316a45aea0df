"""Log formatters, named by config/logging.json. Granian's main process loads them without Django.

JSON fields follow the Elastic Common Schema: https://www.elastic.co/docs/reference/ecs
"""

import logging
import os
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

CONSOLE = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"


def formatter() -> logging.Formatter:
    """The formatter that the LOG_FORMAT variable asks for: "json", else "console"."""
    if os.environ.get("LOG_FORMAT") == "json":
        return EcsFormatter(
            ["levelname", "name", "message", "process"],
            rename_fields={
                "levelname": "log.level",
                "name": "log.logger",
                "process": "process.pid",
                "exc_info": "error.stack_trace",
            },
            reserved_attrs=[*RESERVED_ATTRS, "request"],  # Django adds it; it shows no value
            json_ensure_ascii=False,
        )
    return logging.Formatter(CONSOLE)


class EcsFormatter(JsonFormatter):
    """One JSON object a line; records of Granian's access log are taken apart into fields."""

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Adds the time in UTC with milliseconds and, for a request, what is known of it."""
        created = datetime.fromtimestamp(record.created, UTC)
        log_data["@timestamp"] = created.isoformat(timespec="milliseconds")
        super().add_fields(log_data, record, message_dict)
        if record.name == "granian.access" and isinstance(record.args, dict):
            request = record.args
            log_data["http.request.method"] = request["method"]
            log_data["url.path"] = request["path"]
            log_data["url.query"] = request["query_string"]
            log_data["http.response.status_code"] = request["status"]
            log_data["event.duration"] = round(request["dt_ms"] * 1_000_000)  # ECS: nanoseconds
            log_data["client.address"] = request["addr"]
