"""Elastic's agent, which listens to Django's signals: https://www.elastic.co/docs/reference/apm/agents/python"""

import os
from contextlib import AbstractContextManager
from typing import Any

import elasticapm


def begin(settings: dict[str, Any]) -> None:
    settings["INSTALLED_APPS"].append("elasticapm.contrib.django")
    settings["ELASTIC_APM"] = {
        "SERVICE_NAME": "watched",
        "SERVER_URL": f"http://127.0.0.1:{os.environ['RECEIVER']}",
        "API_REQUEST_TIME": "1s",
        "CENTRAL_CONFIG": False,
        "CLOUD_PROVIDER": "none",
        "METRICS_INTERVAL": "0s",
        "SPAN_COMPRESSION_ENABLED": False,
        "EXIT_SPAN_MIN_DURATION": "0ms",
    }


def mark(number: str) -> None:
    elasticapm.label(n=number)


def is_user(number: str) -> None:
    elasticapm.set_user_context(user_id=number)


def span(name: str) -> AbstractContextManager[Any]:
    return elasticapm.capture_span(name)
