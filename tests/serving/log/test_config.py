"""The log's configuration, for Django and for a server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import application
from serving.log.config import CONFIGURATION, logging_config


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_named_as_a_string_or_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[str | Path]
) -> None:
    file = tmp_path / "log.json"
    file.write_text(json.dumps({"version": 1, "incremental": True}))
    assert logging_config(kind(file)) == {"version": 1, "incremental": True}

    configured: list[object] = []
    monkeypatch.setattr("logging.config.dictConfig", configured.append)
    monkeypatch.setattr("logging.root.handlers", [])
    monkeypatch.setattr("logging.captureWarnings", lambda capture: None)
    monkeypatch.setattr("threading.excepthook", None)
    monkeypatch.setattr("sys.unraisablehook", None)
    monkeypatch.setattr(application.stopping, "install", lambda: None)
    application.take_over_process(kind(file))
    assert configured == [{"version": 1, "incremental": True}]


def test_each_call_gives_a_dict_of_its_own() -> None:
    logging_config()["version"] = 2
    assert logging_config() == json.loads(CONFIGURATION.read_bytes())


@pytest.mark.parametrize(
    ("given", "level", "found"), [("bogus", "INFO", ["serving.E021"]), ("Debug", "DEBUG", [])]
)
def test_a_level_that_is_none_is_reported_and_ends_no_configuration(
    given: str, level: str, found: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sites.programs.show_level"],
        env=os.environ | {"GRANIAN_LOG_LEVEL": given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{level} {found}\n", done.stderr
