"""System checks of the package's settings: each says what is wrong, and how to put it right."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from serving import application
from serving.checks import check_settings, refuse_wrong_settings
from serving.conf import SETTINGS

NAMES = set(SETTINGS)


def changed(settings: Any, values: Mapping[str, Any]) -> list[checks.CheckMessage]:
    """What is found with these settings."""
    for name, value in values.items():
        setattr(settings, name, value)
    return explained()


def explained() -> list[checks.CheckMessage]:
    """What is found; each says what to do."""
    found = check_settings()
    for message in found:
        assert message.msg.rstrip(".") == message.msg[:-1], "it is one sentence, and ends as one"
        assert str(message.hint).endswith(".")
    return found


def test_defaults_and_a_projects_own_settings_are_right(settings: Any) -> None:
    assert check_settings() == []
    for name in NAMES:
        if hasattr(settings, name):
            delattr(settings, name)
    assert check_settings() == []


@pytest.mark.parametrize(
    ("name", "value", "held"),
    [
        ("MEDIA_ROOT", ".", "holds "),
        ("MEDIA_ROOT", "/", "holds "),
        ("MEDIA_ROOT", "..", "holds "),
        ("MEDIA_ROOT", "home", "holds "),
        ("MEDIA_ROOT", "packages", "holds "),
        ("MEDIA_ROOT", "config", "lies in a package of code, "),
        ("MEDIA_ROOT", "home/templates", "lies in a package of code, "),
        ("MEDIA_ROOT", "config/../media/../config/uploads", "lies in a package of code, "),
        ("MEDIA_ROOT", "backups", "lies in backups/"),
        ("MEDIA_ROOT", ".secrets", "lies in .secrets/"),
        ("MEDIA_ROOT", "uploads", "holds "),  # where the database is, see below
        ("STATIC_ROOT", ".", "holds "),
        ("STATIC_ROOT", "uploads", "holds "),
    ],
)
def test_a_public_folder_with_what_is_the_projects_own(
    settings: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str, held: str
) -> None:
    base = settings.BASE_DIR
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": base / "uploads" / "db"}
    monkeypatch.setitem(connections.settings, "other", database)
    (found,) = changed(settings, {name: base / value})
    assert (found.id, found.level) == ("serving.E024", checks.ERROR)
    assert found.msg.startswith(f"{name} = {str(base / value)!r} {held}")


def test_a_public_folder_by_a_link(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "media").symlink_to(settings.BASE_DIR)
    (found,) = changed(settings, {"MEDIA_ROOT": tmp_path / "media"})
    assert found.id == "serving.E024"


def test_a_public_folder_of_its_own(settings: Any, tmp_path: Path) -> None:
    for value in (tmp_path, str(tmp_path / "none"), settings.BASE_DIR / "media", "", "media/2026"):
        assert changed(settings, {"MEDIA_ROOT": value}) == []
    assert changed(settings, {"STATIC_ROOT": settings.BASE_DIR / "home" / "collected"}) == []


def test_every_setting_has_a_check_with_an_id_of_its_own() -> None:
    assert len({setting.check for setting in SETTINGS.values()}) == len(SETTINGS) > 10


NO_TIMES = (0, -1, 0.0, "30", None, True, float("nan"), float("inf"), 1e300, 2**31, [])
NO_COUNTS = (0, -1, 1.5, "64", None, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("LIFESPAN", value) for value in ("", "on", "Required", None, True, 1)),
        *((name, value) for name in NAMES if name.endswith("_TIMEOUT") for value in NO_TIMES),
        *(
            (name, value)
            for name in ("SERVING_THREADS", "MAX_BODY_SIZE", "WORKERS")
            for value in NO_COUNTS
        ),
        *(("BODY_SPACE", value) for value in ("1 GB", 2.5, False)),
        *(("BODY_MIN_RATE", value) for value in (-1, -0.5, "fast", None, True, float("nan"))),
        *(("TRUSTED_PROXIES", value) for value in ("10.0.0.1", None, 5, [5], [None], {"a": 1})),
        *(("URL_PATH_PREFIX", value) for value in (None, 5, b"/app", ["/app"])),
        *(("METRICS_ENABLED", value) for value in (1, 0, None, "true")),
        *(("METRICS_ADDRESS", value) for value in ("localhost", "", None, 2130706433, "1.2.3")),
        *(("METRICS_PORT", value) for value in (0, -1, 65536, "9090", None, True, 9090.0)),
    ],
)
def test_a_value_of_the_wrong_kind(settings: Any, name: str, value: Any) -> None:
    (found,) = changed(settings, {name: value})
    assert found.id == SETTINGS[name].check
    assert found.level == checks.ERROR
    assert found.msg.startswith(f"{name} = {value!r}: ")
    assert found.hint
    assert repr(SETTINGS[name].default) in found.hint


@pytest.mark.parametrize(
    "values",
    [
        {"LIFESPAN": "optional", "DRAIN_TIMEOUT": 1, "BODY_MIN_RATE": 0},
        {"BODY_SPACE": None, "MAX_BODY_SIZE": 1},
        {"BODY_SPACE": 2000, "MAX_BODY_SIZE": 1000},
        {"TRUSTED_PROXIES": ["10.0.0.2", "10.0.0.0/8", "2001:db8::/32", "unix"]},
        {"TRUSTED_PROXIES": ("::1",)},
        {"URL_PATH_PREFIX": "/a/b", "FORCE_SCRIPT_NAME": "/a/b"},
        {"URL_PATH_PREFIX": "/app", "FORCE_SCRIPT_NAME": "/app/"},
        {"FORCE_SCRIPT_NAME": "/app"},
        {"METRICS_ENABLED": True, "METRICS_PORT": 65534, "WORKERS": 1, "METRICS_ADDRESS": "::1"},
        {"METRICS_ENABLED": False, "METRICS_PORT": 65535},
    ],
    ids=str,
)
def test_what_is_right(settings: Any, values: Mapping[str, Any]) -> None:
    assert changed(settings, values) == []


@pytest.mark.parametrize(
    ("values", "check", "words"),
    [
        (
            {"TRUSTED_PROXIES": ["::1", "the-proxy"]},
            "E011",
            "'the-proxy' is not an address (10.0.0.2), a network",
        ),
        ({"TRUSTED_PROXIES": ["10.0.0.1/8"]}, "E011", "is an address in a network"),
        ({"TRUSTED_PROXIES": [5]}, "E011", "must be a string, such as '10.0.0.2'"),
        ({"URL_PATH_PREFIX": "app"}, "E012", "'app' is not a path such as /app"),
        ({"URL_PATH_PREFIX": "/app/"}, "E012", "none at the end"),
        ({"URL_PATH_PREFIX": "/app"}, "W001", "links that are made outside of a request"),
        (
            {"URL_PATH_PREFIX": "/app", "FORCE_SCRIPT_NAME": "/shop"},
            "E017",
            "'/app' and FORCE_SCRIPT_NAME = '/shop'",
        ),
        (
            {"BODY_SPACE": 1999, "MAX_BODY_SIZE": 1000},
            "E018",
            "less than twice MAX_BODY_SIZE, 1000",
        ),
        (
            {"METRICS_ENABLED": True, "METRICS_PORT": 65530, "WORKERS": 6},
            "E019",
            "each of 6 workers",
        ),
        ({"DRAIN_TIMOUT": 3}, "W005", "DRAIN_TIMOUT is not a setting"),
        ({"METRIC_ENABLED": True}, "W005", "METRIC_ENABLED is not a setting"),
    ],
)
def test_what_is_wrong_beside_the_kind(
    settings: Any, values: Mapping[str, Any], check: str, words: str
) -> None:
    (found,) = changed(settings, values)
    assert found.id == f"serving.{check}"
    assert words in found.msg
    assert found.hint


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TRUSTED_PROXYS", "TRUSTED_PROXIES"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("LIFESPAN_TIMEOUT", "LIFESPAN_STARTUP_TIMEOUT"),
        ("LIFESPAN_MODE", "LIFESPAN"),
        ("SERVING_THREAD", "SERVING_THREADS"),
    ],
)
def test_a_misspelling_names_what_may_be_meant(settings: Any, name: str, meant: str) -> None:
    (found,) = changed(settings, {name: []})
    assert found.hint == f"Write {meant}, if that is meant."


@pytest.mark.parametrize(
    "name", ["READ_TIMEOUT", "METRICS_PATH", "BODY_COLOR", "MAX_SIZE", "STATE"]
)
def test_a_projects_own_settings_are_not_taken_for_misspellings(settings: Any, name: str) -> None:
    assert changed(settings, {name: 1}) == []


def test_the_last_port_that_leaves_enough_for_metrics_is_named(settings: Any) -> None:
    wrong = {"METRICS_ENABLED": True, "METRICS_PORT": 65530, "WORKERS": 6}
    (found,) = changed(settings, wrong)
    assert found.hint == "Set it to 65529 or less."
    assert changed(settings, {"METRICS_PORT": 65529}) == []


def test_a_level_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.log.levels.IS_LEVEL", False)
    monkeypatch.setattr("serving.log.levels.GIVEN", "loud")
    (found,) = explained()
    assert found.id == "serving.E021"
    assert "GRANIAN_LOG_LEVEL='loud' is not a level" in found.msg


def test_metrics_need_their_package(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.checks.find_spec", lambda name: None)
    (found,) = changed(settings, {"METRICS_ENABLED": True})
    assert found.id == "serving.E020"


@pytest.mark.parametrize(
    ("workers", "enabled", "warned"), [(2, True, False), (3, True, True), (3, False, False)]
)
def test_each_worker_of_the_server_has_a_port_for_metrics(
    settings: Any, monkeypatch: pytest.MonkeyPatch, workers: int, enabled: bool, warned: bool
) -> None:
    arguments = ["granian", "--workers", str(workers), "config.asgi:application"]
    monkeypatch.setattr(sys, "argv", arguments)
    found = changed(settings, {"WORKERS": 2, "METRICS_ENABLED": enabled})
    assert [message.id for message in found] == (["serving.W006"] if warned else [])
    assert all("WORKERS = 2, and Granian starts 3: " in message.msg for message in found)


@pytest.mark.parametrize(("limit", "warned"), [("20", True), ("21", False)])
def test_a_worker_needs_time_to_stop(
    settings: Any, monkeypatch: pytest.MonkeyPatch, limit: str, warned: bool
) -> None:
    arguments = ["granian", "--workers-kill-timeout", limit, "config.asgi:application"]
    monkeypatch.setattr(sys, "argv", arguments)
    found = changed(settings, {"DRAIN_TIMEOUT": 15, "LIFESPAN_SHUTDOWN_TIMEOUT": 5.0})
    assert [message.id for message in found] == (["serving.W002"] if warned else [])


@pytest.mark.parametrize(
    ("apps", "check"),
    [
        (["django.contrib.staticfiles"], "W003"),
        (["django.contrib.staticfiles", "serving"], "W004"),
        (["django.contrib.staticfiles", "serving.apps.ServingConfig"], "W004"),
        (["serving.apps.ServingConfig", "django.contrib.staticfiles"], None),
        (["serving"], None),
    ],
)
def test_it_is_an_installed_app_in_front_of_what_it_overrides(
    monkeypatch: pytest.MonkeyPatch, settings: Any, apps: list[str], check: str | None
) -> None:
    # In the place of Django's settings: to change INSTALLED_APPS would load the apps anew.
    monkeypatch.setattr("serving.checks.settings", Apps(apps))
    monkeypatch.setattr("serving.checks.misspelled", list)
    found = explained()
    assert [message.id for message in found] == ([f"serving.{check}"] if check else [])


class Apps:
    """Settings with these apps."""

    def __init__(self, apps: list[str]) -> None:
        self.INSTALLED_APPS = apps
        self.FORCE_SCRIPT_NAME = None


def test_all_problems_are_found_at_once(settings: Any) -> None:
    wrong = {"LIFESPAN": "on", "WORKERS": 0, "TRUSTED_PROXIES": ["x", "y"], "MAX_BODY_SIZE": "1"}
    found = [message.id for message in changed(settings, wrong)]
    assert found == ["serving.E001", "serving.E007", "serving.E011", "serving.E016"]


def test_djangos_own_command_runs_them(settings: Any) -> None:
    settings.SEND_TIMEOUT = "soon"
    assert "serving.E005" in [message.id for message in checks.run_checks()]


def test_a_server_does_not_start_with_wrong_settings(settings: Any) -> None:
    settings.LIFESPAN = "on"
    settings.WORKERS = 0
    with pytest.raises(ImproperlyConfigured) as refused:
        refuse_wrong_settings()
    first, second = str(refused.value).splitlines()
    assert first.startswith("LIFESPAN = 'on': must be one of required, optional, disabled. Correct")
    assert first.endswith(" (serving.E001)")
    assert second.startswith("WORKERS = 0: ")
    with pytest.raises(ImproperlyConfigured):
        application.build(application.HANDLER)


def test_what_is_silenced_stops_no_server(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.SILENCED_SYSTEM_CHECKS = ["serving.E001"]
    settings.LIFESPAN = "on"
    refuse_wrong_settings()
    assert caplog.records == []


def test_a_warning_is_logged_and_stops_no_server(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DRAIN_TIMOUT = 3
    refuse_wrong_settings()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "DRAIN_TIMOUT is not a setting" in record.getMessage()
    assert "(serving.W005)" in record.getMessage()
