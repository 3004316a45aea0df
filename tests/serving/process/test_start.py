"""Ways to start the server that are refused, or warned of."""

import logging
import multiprocessing
import os
import resource
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from serving.process import start
from serving.process.start import refuse_wrong_start, reset_start_method

FLAGS = {
    "app": "config.asgi:application",
    "interface": "asgi",
    "factory": False,
    "workers_kill_timeout": 25,
    "metrics_enabled": False,
}


@pytest.fixture(autouse=True)
def usual(monkeypatch: pytest.MonkeyPatch) -> None:
    """A usual start, whatever this process was started with."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.settings")
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "fork")
    monkeypatch.setattr(resource, "getrlimit", lambda number: (1024, 1024))
    granian(monkeypatch)


def granian(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    monkeypatch.setattr(start, "granian_flags", lambda: FLAGS | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"interface": "asgi"},
        {"interface": "asginl"},
        {"app": "./config/asgi.py:application"},
        {"app": f"{os.getcwd()}/config/asgi.py:application"},
        {"app": "config.asgi:application.of_a_class"},
    ],
)
def test_a_usual_start_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, changed: dict[str, Any]
) -> None:
    import config.asgi  # noqa: F401  # as in a worker

    granian(monkeypatch, **changed)
    with caplog.at_level(logging.INFO, "serving"):
        refuse_wrong_start()
    assert caplog.messages == []


def test_another_server_has_flags_and_bounds_of_its_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(start, "granian_flags", dict)
    monkeypatch.setattr(resource, "getrlimit", lambda number: (1, 1))
    with caplog.at_level(logging.WARNING, "serving"):
        refuse_wrong_start()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"interface": "rsgi"},
            "Granian's interface is rsgi, which would answer every request with",
        ),
        ({"factory": True}, "was told to serve config.asgi:application with --factory: use "),
        ({"app": "config.asgi:nosuch"}, "was told to serve config.asgi:nosuch: use "),
        ({"app": "config.asgi"}, "was told to serve config.asgi: use "),
        ({"app": "config/asgi.py:app"}, "was told to serve config/asgi.py:app: use "),
    ],
)
def test_what_would_serve_errors_only_is_refused(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], says: str
) -> None:
    import config.asgi  # noqa: F401  # as in a worker

    granian(monkeypatch, **changed)
    with pytest.raises(ImproperlyConfigured) as refused:
        refuse_wrong_start()
    assert says in str(refused.value)
    assert "`python -m serving --interface asgi config.asgi:application`" in str(refused.value)


@pytest.mark.parametrize("factory", [True, False])
@pytest.mark.parametrize("text", [b"# caf\xe9\nasync def pour(): ...", None])
def test_a_module_of_the_owners_own_may_name_it_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, factory: bool, text: bytes | None
) -> None:
    """Whatever its text is encoded in, and if there is none to read."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")  # Django itself says what that means
    module = ModuleType("teahouse")
    if text:
        file = tmp_path / "teahouse.py"
        file.write_bytes(text)
        module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "teahouse", module)
    granian(monkeypatch, app="teahouse:pour", factory=factory)
    refuse_wrong_start()


@pytest.mark.parametrize("name", ["nosuch.settings", "config.nosuch", "config.settings.py"])
def test_settings_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", name)
    with pytest.raises(
        ImproperlyConfigured, match=f"DJANGO_SETTINGS_MODULE='{name}' is not a module"
    ):
        refuse_wrong_start()


def test_other_settings_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.settings")
    with caplog.at_level(logging.INFO, "serving"):
        refuse_wrong_start()
    assert caplog.messages == ["the settings are those of DJANGO_SETTINGS_MODULE=tests.settings"]


def test_what_may_go_wrong_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    granian(monkeypatch, workers_kill_timeout=None)
    refuse_wrong_start()
    (said,) = caplog.messages
    assert said.startswith("GRANIAN_WORKERS_KILL_TIMEOUT is not set: ")
    caplog.clear()
    granian(monkeypatch, metrics_enabled=True)
    refuse_wrong_start()
    (said,) = caplog.messages
    assert said.startswith("with metrics, a worker that `granian` forks may hang from its start")
    caplog.clear()
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "spawn")
    refuse_wrong_start()
    assert caplog.messages == []
    monkeypatch.setattr(resource, "getrlimit", lambda number: (1023, 4096))
    refuse_wrong_start()
    (said,) = caplog.messages
    assert said.startswith("this process may open 1023 files, and each connection is one: ")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize(("name", "calls"), [("granian-worker", [(None, True)]), ("tea", [])])
def test_a_worker_lets_the_apps_choose_how_they_start_processes(
    monkeypatch: pytest.MonkeyPatch, name: str, calls: list[Any]
) -> None:
    called: list[Any] = []
    current = type("Process", (), {"name": name})
    monkeypatch.setattr(multiprocessing, "current_process", current)
    monkeypatch.setattr(
        multiprocessing, "set_start_method", lambda method, force: called.append((method, force))
    )
    reset_start_method()
    assert called == calls
