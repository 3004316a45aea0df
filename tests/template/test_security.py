"""docs/security.md: each claim has its test; and what `make audit` and `make sbom` do."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

from tests.conftest import ROOT, Bake, clean_environment
from tests.support.command import UV
from tests.template.test_docs import table_below

PAGE = ROOT / "docs" / "security.md"

OFFLINE = """error: Request failed after 3 retries
  cause: error sending request for url (https://api.osv.dev/v1/querybatch)
  cause: failed to lookup address information: Name or service not known"""


def test_each_claim_has_a_test_that_is_there() -> None:
    modules = (ROOT / "tests").rglob("*.py")
    tests = {
        name for module in modules for name in re.findall(r"def (test_\w+)", module.read_text())
    }
    claims = table_below(PAGE, "## Done already")
    claims.pop("what")
    assert len(claims) > 15
    for claim, cells in claims.items():
        named = re.findall(r"`(test_\w+)`", cells[-1])
        assert named, claim
        assert set(named) <= tests, claim


def test_the_page_goes_through_djangos_checklist_and_is_short() -> None:
    items = " ".join(table_below(PAGE, "## Django's deployment checklist"))
    for item in """check --deploy|SECRET_KEY|DEBUG|ALLOWED_HOSTS|CACHES|DATABASES|EMAIL_BACKEND|STATIC_ROOT|MEDIA_ROOT|
        CSRF_COOKIE_SECURE|SESSION_COOKIE_SECURE|Sessions|CONN_MAX_AGE|TEMPLATES|LOGGING|ADMINS|errors""".split(
        "|"
    ):
        assert item.strip() in items
    assert len(PAGE.read_text().splitlines()) < 120


def audit(project: Path, uv: Path) -> subprocess.CompletedProcess[str]:
    (project / "uv.lock").touch()
    return subprocess.run(
        ["make", "--no-print-directory", f"UV={uv}", "audit"],
        cwd=project, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "status", "made"),
    [("No vulnerabilities found", 0, 0), ("django 6.1.1 has 1 known vulnerability", 1, 2)],
)
def test_an_audit_says_what_uv_says(
    bake: Bake, tmp_path: Path, said: str, status: int, made: int
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\necho '{said}'\nexit {status}\n")
    uv.chmod(0o755)
    done = audit(bake(), uv)
    assert (done.stdout.splitlines()[-1], done.returncode) == (said, made)


def test_an_audit_without_the_internet_is_one_line_and_fails(bake: Bake, tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\necho '{OFFLINE}' >&2\nexit 2\n")
    uv.chmod(0o755)
    done = audit(bake(), uv)
    first, *rest = done.stderr.splitlines()
    assert first == (
        "audit: nothing was looked up, it needs the internet: "
        "failed to lookup address information: Name or service not known"
    )
    assert all(line.startswith("make: ***") for line in rest)
    assert done.returncode == 2


def test_another_fault_of_an_audit_is_in_uvs_own_words(bake: Bake, tmp_path: Path) -> None:
    """Of a lock that cannot be read, say, or of a uv that has no audit yet."""
    fault = "error: Failed to parse `uv.lock`\n  cause: TOML parse error at line 1, column 8"
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{fault}\nEND\nexit 2\n")
    uv.chmod(0o755)
    done = audit(bake(), uv)
    assert (done.stdout, done.returncode) == ("", 2)
    assert done.stderr.startswith(f"{fault}\nmake: ***")


LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}


def exported(project: Path) -> dict[str, str]:
    """The packages that are installed from uv.lock, each with its marker."""
    command = [str(UV), "export", "--quiet", "--frozen", "--no-dev", "--no-hashes", "--no-annotate", "--no-emit-workspace"]  # fmt: skip
    done = subprocess.run(
        command, cwd=project, env=clean_environment(), capture_output=True, text=True, check=True
    )
    lines = [line.partition(" ; ") for line in done.stdout.splitlines() if "==" in line]
    return {name.partition("==")[0].partition("[")[0]: marker for name, _, marker in lines}


def sbom(project: Path) -> dict[str, Any]:
    """What `make sbom` writes."""
    command = ["make", "--no-print-directory", f"UV={UV}", "sbom"]
    subprocess.run(command, cwd=project, env=clean_environment(), check=True)
    made: dict[str, Any] = json.loads((project / "sbom.json").read_text())
    return made


@pytest.mark.slow
def test_the_sbom_has_the_packages_of_the_lock_file_and_uv_knows_the_audit(bake: Bake) -> None:
    project = bake(cache="valkey")
    subprocess.run([UV, "lock", "--quiet"], cwd=project, env=clean_environment(), check=True)
    made = sbom(project)
    assert made["bomFormat"] == "CycloneDX"
    names = {component["name"] for component in made["components"]}
    assert {"django", "granian", "redis", "django-serving"} <= names
    assert not {"pytest", "mypy", "sentry-sdk", "boto3"} & names
    # For any platform: some are not in the image, which has Debian's as well.
    locked = exported(project)
    assert names >= set(locked)
    assert [
        name for name, marker in locked.items() if marker and not Marker(marker).evaluate(LINUX)
    ]
    said = re.findall(r"^sbom:.*## (.*)", (project / "Makefile").read_text(), re.MULTILINE)
    for text in (*said, PAGE.read_text()):
        assert "packages of the image" not in text
        assert "for any platform" in text

    env = project / ".env"
    env.write_text(re.sub("(?m)^EXTRAS=.*$", "", env.read_text()) + "\nEXTRAS=s3\n")
    made = sbom(project)
    assert names < {component["name"] for component in made["components"]}
    assert "boto3" in {component["name"] for component in made["components"]}

    offline = clean_environment() | {"ALL_PROXY": "http://127.0.0.1:9", "UV_HTTP_RETRIES": "0"}
    done = subprocess.run(
        ["make", "--no-print-directory", f"UV={UV}", "audit"],
        cwd=project, env=offline, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.startswith("audit: nothing was looked up, it needs the internet: ")
