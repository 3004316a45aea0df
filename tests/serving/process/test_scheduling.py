"""The scheduling of a worker where the system does not let it be changed."""

import os

import pytest
from serving.process.scheduling import wait_for_turns


@pytest.mark.parametrize("forbidden", ["sched_getscheduler", "sched_setscheduler"])
def test_a_sandbox_that_does_not_allow_it(monkeypatch: pytest.MonkeyPatch, forbidden: str) -> None:
    asked = []

    def refuse(*_: object) -> None:
        asked.append(forbidden)
        raise PermissionError

    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_OTHER)
    monkeypatch.setattr(os, forbidden, refuse)
    wait_for_turns()
    assert asked == [forbidden]


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.delattr(os, "sched_getscheduler")
    wait_for_turns()
