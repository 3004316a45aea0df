"""What the workflows run: notes of a release, raised versions, demo projects, a digest."""

import re
from pathlib import Path

import pytest

from maintenance import bump, demos, digest, notes
from tests.conftest import ROOT
from tests.support.answers import choices, files

CHANGELOG = """# Changelog

## Unreleased

- Later.

## 1.10.0 (2026-12-01)

- **New**.

### For projects already generated

    make update

## 1.1.0

"""


def test_the_notes_of_a_release_are_its_part_of_the_changelog() -> None:
    text = "- **New**.\n\n### For projects already generated\n\n    make update"
    assert notes.notes(CHANGELOG, "v1.10.0") == text


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("v1.1.0", "CHANGELOG.md says nothing of 1.1.0; write what it means"),
        ("v1.0.0", "CHANGELOG.md has no '## 1.0.0'; rename '## Unreleased' before you tag"),
        ("v1.1", "'v1.1' is no tag of a release; tag one like v1.2.0"),
        ("Unreleased", "'Unreleased' is no tag of a release; tag one like v1.2.0"),
    ],
)
def test_a_release_without_notes_is_refused(tag: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        notes.notes(CHANGELOG, tag)


@pytest.mark.parametrize(
    ("line", "newest", "raised"),
    [
        ('"sentry-sdk>=2.75,<3"', "2.80.1", '"sentry-sdk>=2.80,<3"'),
        ('"sentry-sdk>=2.75,<3"', "3.1.0", '"sentry-sdk>=3.1,<4"'),
        ('"ruff>=0.17.6,<0.18"', "0.18.2", '"ruff>=0.18.2,<0.19"'),
        ('"redis[hiredis]>=8.1,<9"', "8.2.0", '"redis[hiredis]>=8.2,<9"'),
        ('"opentelemetry-x>=0.66b1,<1"', "0.67b0", '"opentelemetry-x>=0.67b0,<1"'),
        ('"granian": ">=2.8.7,<3"', "2.9.0", '"granian": ">=2.9.0,<3"'),
        ('"granian{{ \'\' if cookiecutter.x == \'y\' }}>=2.8.7,<3"', "2.9.0",
         '"granian{{ \'\' if cookiecutter.x == \'y\' }}>=2.9.0,<3"'),
        ('"sentry-sdk>=2.75,<3"', "2.75.0", '"sentry-sdk>=2.75,<3"'),
        ('"sentry-sdk>=2.75,<3"', "2.9", '"sentry-sdk>=2.75,<3"'),
        ('"django>=6.1,<6.2"', "", '"django>=6.1,<6.2"'),
    ],
)  # fmt: skip
def test_a_bound_takes_the_newest_version_in(line: str, newest: str, raised: str) -> None:
    name = re.match(r'"([a-z-]+)', line)
    assert name
    assert bump.raised(line, {name[1]: newest} if newest else {}) == raised


def test_every_bound_in_the_template_is_one_that_can_be_raised() -> None:
    for file in bump.FILES:
        bounded = [
            line for line in file.read_text().splitlines() if re.search(r'">?.*>=.*,<', line)
        ]
        assert bounded
        assert [line for line in bounded if not bump.BOUND.search(line)] == []
    assert bump.BOUND.search((ROOT / "versions.json").read_text())
    assert {"ruff", "granian", "redis", "uv_build"} <= {
        found[0] for file in bump.FILES for found in bump.BOUND.findall(file.read_text())
    }


def test_the_demos_show_the_choices_of_services_and_are_the_same_each_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        demos.make(tmp_path / folder)
    made = {path.name for path in (tmp_path / "one").iterdir()}
    assert made == {name.lower() for name in demos.DEMOS}
    shown = {(key, value) for answers in demos.DEMOS.values() for key, value in answers.items()}
    for key in ("database", "cache", "tasks", "telemetry", "ci"):
        assert {(key, value) for value in choices()[key][1:]} <= shown
    assert (tmp_path / "one" / "pods" / "deploy" / "kubernetes" / "base").is_dir()
    assert digest.digest(tmp_path / "one") == digest.digest(tmp_path / "two")
    (name, path), *_ = files(tmp_path / "two")
    path.write_bytes(path.read_bytes() + b"\n")
    assert digest.digest(tmp_path / "one") != digest.digest(tmp_path / "two"), name
    assert str(ROOT) not in "".join(
        path.read_text() for _, path in files(tmp_path / "one") if path.suffix in {".md", ".toml"}
    )
