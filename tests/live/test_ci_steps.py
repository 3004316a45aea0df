"""Every step of a generated project's CI that needs no engine, in a fresh checkout; and the hooks before a commit.

Those that need one are in tests/containers/test_container_ci.py.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import Bake, clean_environment, with_packages
from tests.support.command import UV, git, home
from tests.support.owner import Owner
from tests.support.services import Postgres
from tests.support.workflows import Action, Runner, job, jobs, make_targets, read
from tests.template.test_ci import every_service

# What is run elsewhere: on an engine, or below with stand-ins for what the internet has.
ELSEWHERE = {"scan", "up", "smoke", "update"}

CI = {"github": "ci.yml", "gitlab": ".gitlab-ci.yml"}


def committed(project: Path, environment: Path) -> Path:
    """The project as its owner commits it first, with uv.lock."""
    subprocess.run(
        ["make", f"UV={UV}", "lock"], cwd=project, check=True, capture_output=True,
        env=clean_environment() | {"UV_PROJECT_ENVIRONMENT": str(environment)},
    )  # fmt: skip
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Work")
    return project


def machine(checkout: Path, environment: Path) -> dict[str, str]:
    """The variables of a machine of CI, with the environment that the tests share."""
    variables = home(checkout.parent) | {"PATH": f"{UV.parent}{os.pathsep}{os.environ['PATH']}"}
    shared = {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_NO_SYNC": "1", "CI": "true"}
    # Without an engine: `make test` would start Compose's servers, and leave them.
    return with_packages(checkout, variables) | shared | {"ENGINE": "no-engine"}


ACTIONS: Mapping[str, Action] = {
    "actions/checkout": lambda inputs, runner: None,  # made by git clone
    "astral-sh/setup-uv": lambda inputs, runner: None,  # on the PATH of every machine here
}


@pytest.mark.parametrize("ci", CI)
@every_service
def test_a_fresh_project_passes_its_ci_and_stays_as_it_was(
    bake: Bake, environment: Path, tmp_path: Path, request: pytest.FixtureRequest,
    ci: str, answers: dict[str, str],
) -> None:  # fmt: skip
    project = committed(bake(ci=ci, **answers), environment)
    git(tmp_path, "clone", "--quiet", str(project), "checkout")
    checkout = tmp_path / "checkout"
    server = {}
    if answers["database"] == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        server["DATABASE_URL"] = postgres.url()
    gitlabs = {"CI_PROJECT_DIR": str(checkout), "CI_REGISTRY_IMAGE": "registry.example/shop"}
    runner = Runner(checkout, machine(checkout, environment) | gitlabs, actions=ACTIONS)

    for each in jobs(project):
        wanted = [target for step in each.steps for target in make_targets(step)]
        if each.file == CI[ci] and wanted and not ELSEWHERE & set(wanted):
            assert runner.run(each, server) == 0, runner.said

    asked = [line for step in runner.ran for line in step.splitlines()]
    assert asked == ["make lint", "make test", "make check"]
    assert "Success: no issues found" in runner.said, "types"
    assert " passed" in runner.said
    assert "System check identified no issues" in runner.said
    assert "No changes detected" in runner.said
    assert git(checkout, "status", "--porcelain") == ""


def test_ci_fails_where_the_lock_file_is_out_of_date(
    bake: Bake, environment: Path, tmp_path: Path
) -> None:
    """As for whoever adds a package to pyproject.toml and does not commit uv.lock."""
    project = committed(bake(), environment)
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('    "serving-tools",\n', '    "serving-tools",\n    "tinycss2",\n'))  # fmt: skip
    variables = machine(project, environment) | {"UV_NO_SYNC": "0"}
    variables["UV_PROJECT_ENVIRONMENT"] = str(tmp_path / "none")
    runner = Runner(project, variables, actions=ACTIONS)
    assert runner.run(job(project, "ci.yml", "lint")) != 0
    assert "needs to be updated" in runner.said


def test_check_finds_a_missing_migration_and_a_setting_for_development(
    bake: Bake, environment: Path
) -> None:
    owner = Owner(bake(), environment)
    assert "No changes detected" in owner.make("check").stdout
    models = owner.project / "accounts" / "models.py"
    field = "    from django.db import models\n\n    age = models.IntegerField(default=0)\n"
    models.write_text(f"{models.read_text()}\n{field}")
    done = owner.make("check", check=False)
    assert done.returncode != 0
    assert "Add field age to user" in done.stdout
    settings = owner.project / "config" / "settings.py"
    settings.write_text(f"{settings.read_text()}\nSESSION_COOKIE_SECURE = False\n")
    assert "security.W012" in owner.make("check", check=False).stdout


# Before a commit


def test_hooks_stop_a_commit_that_ci_would_refuse(
    bake: Bake, environment: Path, tmp_path: Path
) -> None:
    project = committed(bake(), environment)
    owner = Owner(project, environment)
    # No hooks of this machine's own, beside which pre-commit installs none.
    variables = owner.variables
    variables |= {"PRE_COMMIT_HOME": str(tmp_path / "pre-commit"), "GIT_CONFIG_GLOBAL": os.devnull}
    owner.make("hooks")
    everything = [str(environment / "bin" / "pre-commit"), "run", "--all-files"]
    path = {"PATH": f"{UV.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        everything, cwd=project, env=home(tmp_path) | variables | path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert git(project, "status", "--porcelain") == ""

    (project / "home" / "broken.py").write_text("import nosuchmodule\n")
    git(project, "add", "--all")
    commit = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-m", "x"]
    refused = subprocess.run(
        commit, cwd=project, env=home(tmp_path) | variables | path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "home/broken.py" in refused.stdout + refused.stderr
    assert "broken" not in git(project, "log", "--stat")

    git(project, "reset", "--quiet", "--hard")
    git(project, "rm", "--quiet", "home/facts.py")
    refused = subprocess.run(
        commit, cwd=project, env=home(tmp_path) | variables | path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode != 0, "a commit that only deletes"
    assert "facts" in refused.stdout + refused.stderr


# A week's update from the template, and a release: with stand-ins for the forge and the registry


@pytest.fixture
def forge(bake: Bake, environment: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A checkout of a project, as CI makes one of what a forge has."""

    def cloned(ci: str) -> Path:
        project = committed(bake(ci=ci, project_slug="shop"), environment)
        (project / ".cruft.json").write_text("{}\n")
        git(project, "add", "--all")
        git(project, "commit", "--quiet", "--amend", "--no-edit")
        git(tmp_path, "clone", "--quiet", "--bare", str(project), "forge.git")
        git(tmp_path, "clone", "--quiet", str(tmp_path / "forge.git"), "checkout")
        return tmp_path / "checkout"

    return cloned


def put_program(folder: Path, name: str, script: str) -> None:
    """A program that notes how it was called, and does what the script says."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f'#!/bin/sh\necho "{name} $*" >>"{folder}/calls"\n{script}\n')
    program.chmod(0o755)


def calls(folder: Path) -> list[str]:
    noted = folder / "calls"
    return noted.read_text().splitlines() if noted.exists() else []


UPDATED = 'case "$1" in update) echo new >>README.md ;; esac'
JOBS = {"github": ("template.yml", "update"), "gitlab": (".gitlab-ci.yml", "template")}


def updater(checkout: Path, environment: Path, update: str) -> Runner:
    """Runs the job that updates a project, with a `make` that does no more than this."""
    programs = checkout.parent / "programs"
    put_program(programs, "make", update)
    put_program(programs, "gh", 'case "$*" in *list*) cat "$0.count" 2>/dev/null || echo 0 ;; esac')
    variables = machine(checkout, environment) | {
        "CI_PROJECT_DIR": str(checkout), "CI_SERVER_HOST": "gitlab.example", "CI_PROJECT_PATH": "org/shop",
        "UPDATE_TOKEN": "t0ken",
        # The address that the job pushes to is that of the forge on this machine.
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": "https://template:t0ken@gitlab.example/org/shop.git",
        "GIT_CONFIG_KEY_0": f"url.{checkout.parent / 'forge.git'}.insteadOf",
    }  # fmt: skip
    for name in ("AUTHOR", "COMMITTER"):
        variables.pop(f"GIT_{name}_NAME")
        variables.pop(f"GIT_{name}_EMAIL")
    variables["PATH"] = f"{programs}{os.pathsep}{variables['PATH']}"
    context = {"secrets.UPDATE_TOKEN || github.token": "t0ken"}
    return Runner(checkout, variables, context, ACTIONS)


@pytest.mark.parametrize("ci", JOBS)
def test_an_update_from_the_template_is_pushed_to_a_branch(
    forge: Callable[[str], Path], environment: Path, ci: str
) -> None:
    checkout = forge(ci)
    bare, programs = checkout.parent / "forge.git", checkout.parent / "programs"
    git(bare, "config", "receive.advertisePushOptions", "true")
    runner = updater(checkout, environment, UPDATED)

    assert runner.run(job(checkout, *JOBS[ci])) == 0, runner.said
    assert git(bare, "show", "template:README.md").endswith("new\n")
    assert git(bare, "log", "-1", "--format=%s", "template") == "Update from the template\n"
    assert git(bare, "log", "-1", "--format=%s", "main") == "Work\n", "nobody has merged it"
    assert calls(programs)[:2] == ["make update", "make lock"]
    assert "t0ken" not in runner.said
    if ci == "github":
        assert calls(programs)[2] == "gh auth setup-git"
        assert calls(programs)[-1] == "gh pr create --fill --head template"

        (programs / "gh.count").write_text("1\n")
        git(checkout, "checkout", "--quiet", "main")
        (programs / "calls").unlink()
        assert runner.run(job(checkout, *JOBS[ci])) == 0, runner.said
        assert not [call for call in calls(programs) if "create" in call], "it is open already"


@pytest.mark.parametrize("ci", JOBS)
def test_a_weekly_update_replaces_its_own_branch_and_nobody_elses(
    forge: Callable[[str], Path], environment: Path, ci: str
) -> None:
    checkout = forge(ci)
    bare = checkout.parent / "forge.git"
    git(bare, "config", "receive.advertisePushOptions", "true")
    runner = updater(checkout, environment, UPDATED)

    def next_week(update: str) -> str:
        git(checkout, "checkout", "--quiet", "main")
        put_program(checkout.parent / "programs", "make", update)
        assert runner.run(job(checkout, *JOBS[ci])) == 0, runner.said
        return git(bare, "rev-parse", "template")

    first = next_week(UPDATED)
    assert next_week(f"sleep 1; {UPDATED}") == first, "the same is not pushed again"
    second = next_week(UPDATED.replace("new", "newer"))
    assert second != first
    assert git(bare, "show", "template:README.md").endswith("newer\n")

    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "Mine", "--author", "Ada <ada@example.com>")  # fmt: skip
    git(checkout, "push", "--quiet", "origin", "template")
    mine = git(bare, "rev-parse", "template")
    assert next_week(UPDATED) == mine
    assert "template: its last commit is somebody's; merge the branch" in runner.said


@pytest.mark.parametrize("ci", JOBS)
def test_an_update_brings_its_lock_file(
    forge: Callable[[str], Path], environment: Path, ci: str
) -> None:
    checkout = forge(ci)
    bare = checkout.parent / "forge.git"
    git(bare, "config", "receive.advertisePushOptions", "true")
    moved = """sed -i 's/^    "serving-tools",$/&\\n    "tinycss2",/' pyproject.toml"""
    update = f"""case "$1" in update) {moved} ;; *) exec /usr/bin/make "UV={UV}" "$@" ;; esac"""
    runner = updater(checkout, environment, update)
    assert runner.run(job(checkout, *JOBS[ci])) == 0, runner.said
    assert "tinycss2" not in git(bare, "show", "main:uv.lock")
    assert "tinycss2" in git(bare, "show", "template:uv.lock")


@pytest.mark.parametrize("ci", JOBS)
def test_a_project_that_is_not_linked_asks_for_no_update(
    forge: Callable[[str], Path], environment: Path, ci: str
) -> None:
    checkout = forge(ci)
    if ci == "gitlab":
        (rule,) = read(checkout / ".gitlab-ci.yml")["template"]["rules"]
        assert rule["exists"] == [".cruft.json"]
        return
    git(checkout, "rm", "--quiet", ".cruft.json")
    git(checkout, "commit", "--quiet", "--message", "Not linked")
    runner = updater(checkout, environment, "exit 1")
    assert runner.run(job(checkout, *JOBS[ci])) == 0, runner.said
    assert not calls(checkout.parent / "programs")


@pytest.mark.parametrize("ci", JOBS)
@pytest.mark.parametrize(
    ("update", "status"), [("true", 0), ("echo 'make update: a conflict' >&2; exit 1", 1)]
)
def test_without_an_update_nothing_is_pushed(
    forge: Callable[[str], Path], environment: Path, ci: str, update: str, status: int
) -> None:
    checkout = forge(ci)
    runner = updater(checkout, environment, update)
    assert bool(runner.run(job(checkout, *JOBS[ci]))) == bool(status), runner.said
    assert "template" not in git(checkout.parent / "forge.git", "branch", "--list")
    assert not [call for call in calls(checkout.parent / "programs") if call.startswith("gh")]


DIGEST = "sha256:" + "5e" * 32


def test_a_release_on_github_is_named_after_it_was_attested(
    forge: Callable[[str], Path], environment: Path
) -> None:
    checkout = forge("github")
    programs = checkout.parent / "programs"
    put_program(programs, "docker", "")
    variables = machine(checkout, environment) | {
        "GITHUB_REPOSITORY": "Tea-House/Shop", "GITHUB_REF_NAME": "v1.2.3",
    }  # fmt: skip
    variables["PATH"] = f"{programs}{os.pathsep}{variables['PATH']}"
    image = "ghcr.io/tea-house/shop"
    seen: list[str] = []

    def build(inputs: Mapping[str, str], runner: Runner) -> None:
        assert f"name={image}," in inputs["outputs"], "a registry takes small letters alone"
        assert inputs["build-args"] == "REVISION=c0ffee\nEXTRAS=s3\n"
        runner.context["steps.build.outputs.digest"] = DIGEST
        seen.append("build")

    def attest(inputs: Mapping[str, str], runner: Runner) -> None:
        assert (inputs["subject-name"], inputs["subject-digest"]) == (image, DIGEST)
        assert not calls(programs), "it has no name yet"
        seen.append("attest")

    actions = {
        **ACTIONS, "docker/setup-buildx-action": ACTIONS["actions/checkout"],
        "docker/login-action": lambda inputs, runner: seen.append(f"login {inputs['registry']}"),
        "docker/build-push-action": build, "actions/attest": attest,
    }  # fmt: skip
    context = {
        "github.actor": "ada", "github.token": "t0ken", "github.sha": "c0ffee", "vars.EXTRAS": "s3",
        "github.event.repository.visibility": "public",
        "github.server_url": "https://github.com", "github.repository": "Tea-House/Shop",
    }  # fmt: skip
    runner = Runner(checkout, variables, context, actions)

    assert runner.run(job(checkout, "publish.yml", "image")) == 0, runner.said
    assert seen == ["login ghcr.io", "build", "attest"]
    (named,) = calls(programs)
    assert named == f"docker buildx imagetools create --tag {image}:1.2.3 {image}@{DIGEST}"
    assert f"{image}@{DIGEST}" in (checkout.parent / "summary").read_text()


def test_a_release_on_gitlab_says_its_digest(
    forge: Callable[[str], Path], environment: Path
) -> None:
    checkout = forge("gitlab")
    programs = checkout.parent / "programs"
    put_program(programs, "docker", f'echo \'{{"containerimage.digest": "{DIGEST}"}}\' >build.json')
    variables = machine(checkout, environment) | {
        "CI_PROJECT_DIR": str(checkout), "CI_REGISTRY_IMAGE": "registry.example/shop", "CI_COMMIT_TAG": "v1.2.3",
        "CI_COMMIT_SHA": "c0ffee", "CI_PROJECT_URL": "https://gitlab.example/org/shop",
        "EXTRAS": "s3",
    }  # fmt: skip
    variables["PATH"] = f"{programs}{os.pathsep}{variables['PATH']}"
    (programs / "python").symlink_to(sys.executable)
    runner = Runner(checkout, variables)

    assert runner.run(job(checkout, ".gitlab-ci.yml", "publish")) == 0, runner.said
    (built,) = calls(programs)
    assert "--build-arg REVISION=c0ffee --build-arg EXTRAS=s3 " in built
    assert built.endswith("--tag registry.example/shop:1.2.3 .")
    assert f"Deploy it by its digest: {DIGEST}" in runner.said
