"""New Relic's agent: https://docs.newrelic.com/docs/apm/agents/python-agent/

In its developer mode it sends nothing, and writes what it would send to a file.
"""

from contextlib import AbstractContextManager
from typing import Any

import newrelic.agent


def begin(settings: dict[str, Any]) -> None:
    newrelic.agent.initialize()


def mark(number: str) -> None:
    newrelic.agent.add_custom_attribute("n", number)


def is_user(number: str) -> None:
    newrelic.agent.set_user_id(number)


def span(name: str) -> AbstractContextManager[Any]:
    return newrelic.agent.FunctionTrace(name)


def end() -> None:
    """Has it write what it has gathered, which it else does once a minute."""
    newrelic.agent.shutdown_agent(timeout=30)
