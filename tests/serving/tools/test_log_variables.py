"""Levels by logger, what a logger may be named, and the format of the access log."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
from serving_tools.log_variables import check_format, is_logger, parse_levels


def test_levels_by_logger() -> None:
    found = parse_levels(
        " serving = debug,_granian=WARNING, _granian.serve=error", known=("_granian",)
    )

    assert found == {"serving": "DEBUG", "_granian": "WARNING", "_granian.serve": "ERROR"}
    for wrong in (
        "serving",
        "serving=loud",
        "=debug",
        "nowhere.at.all=debug",
        "serving=debug;serving=info",
        "serving=debug,serving=info",
    ):
        with pytest.raises(ValueError, match=r"is no|is not|already"):
            parse_levels(wrong, known=())


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("serving", True),
        ("serving.log.formats", True),
        ("serving.log.formats.Cart", True),
        ("serving.lgos", False),
        ("django.db.backends", True),
        ("django.db.backend", False),
        ("django.security.csrf", True),
        ("django.securty", False),
        ("json.decoder", True),
        ("sys", True),
        ("nowhere", False),
        ("_granian.serve", True),
        ("elsewhere.at.all", False),
        ("my-app", True),
        ("json.other_than.a.module", False),
        ("__main__", False),
    ],
)
def test_a_logger_is_named_after_a_module_or_known(name: str, is_one: bool) -> None:
    assert is_logger(name, known=("django", "django.security", "_granian", "my-app")) == is_one


def test_a_logger_of_a_library_may_have_any_name_below_it() -> None:
    assert is_logger("json.http11", known=("json",))
    assert not is_logger("django.requests", known=("django", "django.request"))


def test_a_namespace_within_a_namespace_is_not_looked_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "teahouse" / "cloud" / "storage").mkdir(parents=True)
    (tmp_path / "teahouse" / "cloud" / "storage" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    assert is_logger("teahouse.cloud.storage", known=())
    assert not is_logger("teahouse", known=())


def test_a_folder_that_holds_no_package_is_no_logger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "teashop" / "templates").mkdir(parents=True)
    (tmp_path / "teashop" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    import_module("teashop")
    assert is_logger("teashop", known=())
    assert not is_logger("teashop.templates", known=())
    monkeypatch.delitem(sys.modules, "teashop")


@pytest.mark.parametrize(
    ("format_", "reason"),
    [
        ("%(nope)s", "'nope' is nothing that Granian knows of a request."),
        ("%(header{x-a})d", "'header{x-a}' is nothing"),
        ("%(path)", "incomplete format"),
        ("%(path)d", "%d format: a real number is required, not str."),
    ],
)
def test_a_format_that_granian_cannot_fill_is_refused(format_: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        check_format(format_)
    check_format("%(addr)s %(header{ X-A })s [%(time)s] %(status)d %(dt_ms).3f %%")
