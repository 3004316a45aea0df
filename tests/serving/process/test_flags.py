"""The flags that Granian runs with."""

import sys

import click
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


def test_they_are_what_the_command_line_and_the_variables_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRANIAN_PORT", "8123")
    monkeypatch.setattr(sys, "argv", ["granian", "--interface", "asginl", "config.asgi:tea"])
    flags = granian_flags()
    assert (flags["app"], flags["port"], flags["uds"]) == ("config.asgi:tea", 8123, None)
    assert (flags["interface"], type(flags["interface"])) == ("asginl", str)
    monkeypatch.setattr(sys, "argv", ["/srv/venv/granian/__main__.py", "--help"])
    with pytest.raises(click.exceptions.Exit):
        granian_flags()
    assert "Usage: granian [OPTIONS] APP" in capsys.readouterr().out
