"""A request that the tests run for, and the handler of the log."""

import sys
from collections.abc import Iterator
from io import StringIO

import pytest
from serving.log.access import AccessFilter
from serving.log.context import request_id
from serving.log.filters import ClientErrorFilter
from serving.log.formats import EcsFormatter
from serving.log.output import LogHandler


@pytest.fixture
def own_id() -> Iterator[str]:
    """This code runs for a request with this id."""
    token = request_id.set("order-7")
    yield "order-7"
    request_id.reset(token)


@pytest.fixture
def stdout(monkeypatch: pytest.MonkeyPatch) -> LogHandler:
    """The handler of config/logging.json, in the format json; its stream is a text in memory."""
    monkeypatch.setattr(sys, "stdout", StringIO())
    handler = LogHandler()
    handler.setFormatter(EcsFormatter())
    handler.addFilter(AccessFilter())
    handler.addFilter(ClientErrorFilter())
    return handler
