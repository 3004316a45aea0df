"""The steps of a generated project's CI that need an engine: the image, built and run as the files say."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import clean_environment
from tests.support.command import git
from tests.support.containers import (
    UV,
    Compose,
    build,
    composed,
    docker,
    locked_project,
    require_engine,
)
from tests.support.workflows import Runner, job
from tests.template.test_ci import every_service

pytestmark = pytest.mark.container

# What CI's machines bring: uv, and a builder with a cache.
BROUGHT = ("actions/checkout", "astral-sh/setup-uv", "docker/setup-buildx-action")


@pytest.fixture
def engine() -> None:
    require_engine()


def runner(compose: Compose, folder: Path) -> Runner:
    """A machine of CI for a project, with ports and names of its own."""
    path = {"PATH": f"{UV.parent}{os.pathsep}{os.environ['PATH']}"}
    gitlabs = {"CI_PROJECT_DIR": str(compose.project), "CI_REGISTRY_IMAGE": compose.name}
    gitlabs |= {"CI_COMMIT_SHA": "c0ffee"}

    def build_and_load(inputs: Mapping[str, str], runner: Runner) -> None:
        assert (inputs["context"], inputs["load"]) == (".", "True")
        assert inputs["tags"] == "built-here:latest"
        assert inputs["build-args"] == "REVISION=c0ffee\nEXTRAS=\n"
        build(compose.project, f"{compose.name}:latest")

    # With an environment of its own: `make scan` installs hadolint.
    environment = {"UV_PROJECT_ENVIRONMENT": str(folder / "environment")}
    return Runner(
        compose.project,
        clean_environment() | path | gitlabs | environment,
        {"github.sha": "c0ffee", "vars.EXTRAS": ""},
        {"docker/build-push-action": build_and_load}
        | dict.fromkeys(BROUGHT, lambda inputs, runner: None),
    )


def assert_built_and_asked(compose: Compose, ran: Runner) -> None:
    assert "ok /livez\nok /readyz\nok /accounts/login/\n" in ran.said
    config = compose.inspect("web")["HostConfig"]
    assert config["ReadonlyRootfs"]
    assert config["CapDrop"] == ["ALL"]
    assert git(compose.project, "status", "--porcelain") == ""


def without_login(folder: Path) -> Path:
    """An apt-get that installs nothing, and the engine's client without what sets it up on GitLab."""
    programs = folder / "programs"
    programs.mkdir()
    client = shutil.which("docker")
    cases = [
        '"login "*) cat >/dev/null ;;', '"context create"* | "buildx create"*) ;;', f'*) exec {client} "$@" ;;',
    ]  # fmt: skip
    scripts = {"apt-get": "exit 0", "docker": f'case "$*" in {" ".join(cases)} esac'}
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    return programs


def committed(project: Path) -> Path:
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Work")
    return project


@pytest.mark.usefixtures("engine")
@every_service
def test_githubs_job_builds_the_image_and_asks_it(tmp_path: Path, answers: dict[str, str]) -> None:
    project = committed(locked_project(tmp_path, ci="github", **answers))
    with composed(project) as compose:
        ran = runner(compose, tmp_path)
        status = ran.run(job(project, "ci.yml", "image"), compose.variables)
        assert status == 0, ran.said
        assert ran.ran == ["make scan", "make up", "make smoke"]
        assert_built_and_asked(compose, ran)


@pytest.mark.usefixtures("engine")
def test_gitlabs_job_builds_the_image_and_asks_it(tmp_path: Path) -> None:
    """The engine here keeps no cache elsewhere, so that LAYERS is empty; it asks for no password."""
    answers = {"database": "postgres", "cache": "valkey"}
    project = committed(locked_project(tmp_path, ci="gitlab", **answers))
    with composed(project) as compose:
        ran = runner(compose, tmp_path)
        programs = without_login(tmp_path)
        ran.variables["PATH"] = f"{programs}{os.pathsep}{ran.variables['PATH']}"
        engine = dict.fromkeys(("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"), "")
        forced = compose.variables | engine | {"LAYERS": ""}
        status = ran.run(job(project, ".gitlab-ci.yml", "container"), forced)
        assert status == 0, ran.said
        assert (
            "--cache-to type=registry"
            in job(project, ".gitlab-ci.yml", "container").variables["LAYERS"]
        )
        revision = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
        assert docker("inspect", "--format", revision, f"{compose.name}:latest") == "c0ffee"
        assert_built_and_asked(compose, ran)


@pytest.mark.usefixtures("engine")
def test_smoke_fails_where_a_page_does(tmp_path: Path) -> None:
    project = locked_project(tmp_path)
    with composed(project) as compose:
        compose.make("build", "up", "ALLOWED_HOSTS=shop.example")
        assert "ok /accounts/login/\n" in compose.make("smoke"), "by its own name"
        assert compose.make("smoke", "PATHS=/livez") == "ok /livez\n"
        said = compose.make("smoke", "PATHS=/livez /nowhere/ /readyz", check=False)
        assert "/nowhere/: 404" in said
        assert "/readyz" not in said, "the first that fails is the end"
