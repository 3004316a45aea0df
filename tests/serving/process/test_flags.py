"""The flags that Granian runs with."""

import sys

import pytest
from serving.process.flags import granian_flags


@pytest.mark.parametrize(
    ("program", "is_granian"),
    [
        ("/srv/venv/bin/granian", True),
        ("/srv/venv/granian/__main__.py", True),
        ("/srv/granian/manage.py", False),
    ],
)
def test_flags_are_granians_alone(
    monkeypatch: pytest.MonkeyPatch, program: str, is_granian: bool
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "config.asgi:application"])
    assert bool(granian_flags()) == is_granian
