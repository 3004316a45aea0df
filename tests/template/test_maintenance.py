"""What the workflows run: notes of a release, raised versions, demo projects, a digest."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from maintenance import bump, demos, digest, notes
from tests.conftest import ROOT
from tests.support.answers import choices, files
from tests.support.command import UV, git, home

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
    for file in bump.BOUNDED:
        bounded = [
            line for line in file.read_text().splitlines() if re.search(r'">?.*>=.*,<', line)
        ]
        assert bounded
        assert [line for line in bounded if not bump.BOUND.search(line)] == []
    assert bump.BOUND.search((ROOT / "versions.json").read_text())
    assert {"ruff", "granian", "redis", "uv_build"} <= {
        found[0] for file in bump.BOUNDED for found in bump.BOUND.findall(file.read_text())
    }


# What is asked of images and actions, with a registry and repositories of this machine


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has `docker manifest inspect` know these tags alone; of one image it tells nothing."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def has(*tags: str, broken: str = "none") -> None:
        program = programs / "docker"
        program.write_text(
            '#!/bin/sh\n[ "$1 $2" = "manifest inspect" ] || exit 3\ncase "$3" in\n'
            f'{broken}:*) echo "503 Service Unavailable" >&2; exit 1 ;;\n{" | ".join(tags)}) echo "{{}}" ;;\n'
            '*) echo "no such manifest: $3" >&2; exit 1 ;;\nesac\n'
        )
        program.chmod(0o755)

    return has


NOW = 1_700_000_000
DAY = 24 * 3600


def release(repository: Path, tag: str, age: int, *, annotated: bool = False) -> str:
    """Tags a commit of so many days ago; gives the commit."""
    variables = home(repository.parent) | {
        f"GIT_{role}_DATE": f"@{NOW - age * DAY} +0000" for role in ("AUTHOR", "COMMITTER")
    }
    repository.mkdir(parents=True, exist_ok=True)
    option = ["--annotate", "--message", tag] if annotated else ["--no-sign"]
    for command in (
        ["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", tag], ["tag", *option, tag],
    ):  # fmt: skip
        subprocess.run(["git", *command], cwd=repository, env=variables, check=True)
    return git(repository, "rev-parse", "HEAD").strip()


@pytest.mark.parametrize(
    ("tags", "newest"),
    [
        ({"8", "9"}, "9"),
        ({"8"}, "8"),
        ({"8", "11"}, "11"),  # as Docker came from 20 to 23
        ({"8", "7", "9-rc", "9.0"}, "8"),
    ],
)
def test_the_newest_major_version_of_an_image_is_found(
    registry: Callable[..., None], tags: set[str], newest: str
) -> None:
    registry(*(f"caddy:{tag}" for tag in tags))
    assert bump.newest_image("caddy", "8") == newest


def test_an_image_of_which_nothing_is_known_is_an_error(registry: Callable[..., None]) -> None:
    registry("caddy:2", broken="valkey/valkey")
    with pytest.raises(subprocess.CalledProcessError):
        bump.newest_image("valkey/valkey", "8")
    with pytest.raises(ValueError, match="caddy has no tag 3 any more"):
        bump.newest_image("caddy", "3")


@pytest.mark.parametrize("annotated", [False, True])
def test_an_action_is_raised_to_a_release_that_is_a_week_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, annotated: bool
) -> None:
    monkeypatch.setattr(bump, "GITHUB", tmp_path.as_uri())
    repository = tmp_path / "actions" / "checkout"
    first = release(repository, "v9.0.0", 90, annotated=annotated)
    tenth = release(repository, "v10.0.0", 8, annotated=annotated)
    release(repository, "v10.1.0", 6, annotated=annotated)
    for other in ("v11", "v12.0.0-rc.1", "release-13.0.0", "v1.2.3.4"):
        release(repository, other, 30, annotated=annotated)

    held = f"actions/checkout@{first} # v9.0.0"
    newest = f"actions/checkout@{tenth} # v10.0.0"
    assert bump.newest_action(held, NOW) == newest
    assert bump.newest_action(newest, NOW) == newest
    assert bump.newest_action(held, NOW + DAY).endswith(" # v10.1.0")
    with pytest.raises(ValueError, match=r"actions/checkout has no release v8\.0\.0 any more"):
        bump.newest_action(f"actions/checkout@{first} # v8.0.0", NOW)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A package index with versions of a package `tea`, each so many days old."""
    ages: dict[str, float] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith(".metadata"):
                version = self.path.split("-")[1]
                text = f"Metadata-Version: 2.1\nName: tea\nVersion: {version}\n"
                self.send_response(200)
            else:
                files = [
                    {
                        "filename": f"tea-{version}-py3-none-any.whl", "hashes": {}, "core-metadata": True,
                        "url": f"tea-{version}-py3-none-any.whl",
                        "upload-time": (datetime.now(UTC) - timedelta(days=age)).isoformat(),
                    }
                    for version, age in ages.items()
                ]  # fmt: skip
                text = json.dumps({"meta": {"api-version": "1.1"}, "name": "tea", "files": files})
                self.send_response(200)
                self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}/simple/")
        monkeypatch.setenv("UV_NO_CONFIG", "1")
        monkeypatch.setenv("UV_NO_CACHE", "1")
        monkeypatch.setenv("PATH", f"{UV.parent}{os.pathsep}{os.environ['PATH']}")
        yield ages.update
        server.shutdown()


def test_a_package_is_raised_to_a_release_that_is_a_week_old(index: Callable[..., None]) -> None:
    index({"1.0": 90, "1.1": 7.1, "1.2": 6.9, "2.0": 0})
    assert bump.newest_package("tea") == "1.1"


def test_a_package_of_which_every_release_is_new_is_an_error(index: Callable[..., None]) -> None:
    index({"1.0": 1})
    with pytest.raises(subprocess.CalledProcessError):
        bump.newest_package("tea")


@pytest.fixture
def bumped(tmp_path: Path, registry: Callable[..., None]) -> Callable[..., tuple[int, str, str]]:
    """Raises the versions of a copy of this repository, whose sources have versions of 99; of some they tell nothing."""
    copy = tmp_path / "copy"
    for file in [*bump.FILES, ROOT / "maintenance" / "bump.py"]:
        target = copy / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    actions = json.loads((ROOT / "versions.json").read_text())["actions"].values()
    forge = tmp_path / "forge"
    release(forge / "every", "v99.1.2", 30)
    for tag in {pin.split(" # ")[1] for pin in actions}:
        git(forge / "every", "tag", tag)
    for pin in actions:
        link = forge / pin.split("@")[0]
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(forge / "every")
    program = tmp_path / "programs" / "uv"
    program.write_text(
        "#!/bin/sh\nread -r name\n"
        '[ "$name" != "$BROKEN" ] || { echo "no index" >&2; exit 2; }\necho "$name==99.1.2"\n'
    )
    program.chmod(0o755)
    images = ("valkey/valkey:8", "valkey/valkey:9", "caddy:2", "caddy:3", "docker:28", "docker:29")

    def run(package: str = "", image: str = "none", action: str = "") -> tuple[int, str, str]:
        if action:
            (forge / action).unlink()
        registry(*images, broken=image)
        started = (
            f"import sys; from maintenance import bump; bump.GITHUB = {forge.as_uri()!r}; "
            "sys.exit(bump.main())"
        )
        done = subprocess.run(
            [sys.executable, "-c", started], cwd=copy, capture_output=True, text=True, check=False,
            env=home(tmp_path) | {"PATH": os.environ["PATH"], "BROKEN": package},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


def test_every_place_of_a_version_is_raised_and_then_none(
    bumped: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    status, changed, silent = bumped()
    assert (status, silent) == (0, "")
    copy = tmp_path / "copy"
    held = json.loads((copy / "versions.json").read_text())
    before = json.loads((ROOT / "versions.json").read_text())
    assert held["versions"] == before["versions"] | {
        "granian": ">=99.1.2,<100", "uv": "99.1", "valkey": "9", "caddy": "3", "docker": "29",
    }  # fmt: skip
    assert all(pin.endswith(" # v99.1.2") for pin in held["actions"].values())
    assert '"uv>=99.1",' in (copy / "pyproject.toml").read_text()
    project = bump.PROJECT.relative_to(ROOT)
    for package in ("django-serving", "serving-tools"):
        text = (copy / project / "packages" / package / "pyproject.toml").read_text()
        assert 'requires = ["uv_build>=99.1,<99.2"]' in text
    for workflow in (copy / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r"uses: ([^$\n].+)", workflow.read_text())
        assert set(used) <= set(held["actions"].values())
    assert 'versions.json: "valkey": "8", -> "valkey": "9",' in changed
    assert bumped() == (0, "", "")


def test_a_source_that_does_not_answer_is_named_and_the_others_go_on(
    bumped: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    status, changed, silent = bumped("redis", "valkey/valkey", "actions/attest")
    assert status == 1
    first, second, third = silent.splitlines()
    assert first == "redis: no answer, no index; left as it is"
    assert second == "valkey: no answer, 503 Service Unavailable; left as it is"
    assert third.startswith("actions/attest@")
    assert third.endswith("; left as it is")
    held = json.loads((tmp_path / "copy" / "versions.json").read_text())
    assert (held["versions"]["valkey"], held["versions"]["caddy"]) == ("8", "3")
    assert not held["actions"]["attest"].endswith(" # v99.1.2")
    assert held["actions"]["checkout"].endswith(" # v99.1.2")
    assert '"redis' not in changed


def test_an_older_uv_of_the_index_lowers_nothing(
    bumped: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    program = tmp_path / "programs" / "uv"
    program.write_text(program.read_text().replace("99.1.2", "0.1.0"))
    bumped()
    held = json.loads((tmp_path / "copy" / "versions.json").read_text())
    before = json.loads((ROOT / "versions.json").read_text())["versions"]
    assert (held["versions"]["uv"], held["versions"]["granian"]) == (
        before["uv"],
        before["granian"],
    )


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
