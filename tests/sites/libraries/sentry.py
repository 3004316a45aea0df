"""Sentry's SDK: https://docs.sentry.io/platforms/python/integrations/django/"""

import os
from contextlib import AbstractContextManager
from typing import Any

import sentry_sdk


def begin(settings: dict[str, Any]) -> None:
    sentry_sdk.init(
        dsn=f"http://key@127.0.0.1:{os.environ['RECEIVER']}/1",
        traces_sample_rate=1.0,
        transport_queue_size=10_000,
        auto_session_tracking=False,
    )


def mark(number: str) -> None:
    sentry_sdk.set_tag("n", number)


def is_user(number: str) -> None:
    sentry_sdk.set_user({"id": number})


def span(name: str) -> AbstractContextManager[Any]:
    return sentry_sdk.start_span(name=name, op="work")
