"""Every step of a generated project's CI that needs no engine, in a fresh checkout; and the hooks before a commit.

Those that need one are in tests/containers/test_container_ci.py.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import Bake, clean_environment, with_packages
from tests.support.command import UV, git, home
from tests.support.owner import Owner
from tests.support.services import Postgres
from tests.support.workflows import Action, Runner, job, jobs, make_targets, read, workflows
from tests.template.test_ci import SERVICES
from tests.template.test_kubernetes_targets import Played

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


def upload(inputs: Mapping[str, str], runner: Runner) -> None:
    """As both forges do: without a file's mode."""
    kept = runner.checkout.parent / "artifacts" / inputs["name"]
    kept.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(runner.checkout / inputs["path"], kept / inputs["path"])


def download(inputs: Mapping[str, str], runner: Runner) -> None:
    shutil.copytree(
        runner.checkout.parent / "artifacts" / inputs["name"], runner.checkout, dirs_exist_ok=True
    )


ACTIONS: Mapping[str, Action] = {
    "actions/checkout": lambda inputs, runner: None,  # made by git clone
    "astral-sh/setup-uv": lambda inputs, runner: None,  # on the PATH of every machine here
    "actions/upload-artifact": upload,
    "actions/download-artifact": download,
}


def fresh() -> Iterator[Any]:
    """Every CI and services: half of them, with each pair of answers, and the others where all is tested."""
    for place, (ci, answers) in enumerate(product(CI, SERVICES)):
        mark = [] if place.bit_count() % 2 else [pytest.mark.matrix]
        yield pytest.param(ci, answers, marks=mark, id="-".join([*answers.values(), ci]))


@pytest.mark.parametrize(("ci", "answers"), list(fresh()))
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
def forge(bake: Bake, environment: Path, tmp_path: Path) -> Callable[..., Path]:
    """A checkout of a project, as CI makes one of what a forge has."""

    def cloned(ci: str, **answers: Any) -> Path:
        project = committed(bake(ci=ci, project_slug="shop", **answers), environment)
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
UPDATES = {"github": "template.yml", "gitlab": ".gitlab-ci.yml"}
TOKEN = "t0ken"


class Week(NamedTuple):
    """How the weekly jobs ended, what they said, and which programs the one with the token has called."""

    status: int
    said: str
    called: list[str]


Weekly = Callable[[str], Week]


@pytest.fixture
def week(ci: str, forge: Callable[[str], Path], environment: Path, tmp_path: Path) -> Weekly:
    """Has the project updated by its two jobs, each in a checkout of its own, with a `make` of this script."""
    forge(ci)
    git(tmp_path / "forge.git", "config", "receive.advertisePushOptions", "true")
    programs = tmp_path / "programs"

    def run(name: str) -> tuple[int, str]:
        checkout = tmp_path / name
        shutil.rmtree(checkout, ignore_errors=True)
        git(tmp_path, "clone", "--quiet", str(tmp_path / "forge.git"), name)
        variables = machine(checkout, environment) | {
            "CI_PROJECT_DIR": str(checkout), "CI_SERVER_HOST": "gitlab.example",
            # One with a port and below a path. What the job pushes to is the forge on this machine.
            "CI_PROJECT_URL": "http://gitlab.example:8929/git/org/shop",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": f"http://template:{TOKEN}@gitlab.example:8929/git/org/shop.git",
            "GIT_CONFIG_KEY_0": f"url.{tmp_path / 'forge.git'}.insteadOf",
        }  # fmt: skip
        for role in ("AUTHOR", "COMMITTER"):
            variables.pop(f"GIT_{role}_NAME")
            variables.pop(f"GIT_{role}_EMAIL")
        variables["PATH"] = f"{programs}{os.pathsep}{variables['PATH']}"
        context = {}
        if in_environment(checkout, ci, name):
            variables["UPDATE_TOKEN"] = TOKEN
            context["secrets.UPDATE_TOKEN || github.token"] = TOKEN
        runner = Runner(checkout, variables, context, ACTIONS)
        return runner.run(job(checkout, UPDATES[ci], name)), runner.said

    def of(update: str) -> Week:
        put_program(programs, "make", f"env | grep -q TOKEN={TOKEN} && exit 1\n{update}")
        listed = 'if test -e "$0.open"; then cat "$0.open"; else echo "[]"; fi'
        put_program(programs, "gh", f'case "$*" in *list*) {listed} ;; esac')
        status, said = run("update")
        if status:
            return Week(status, said, [])
        asked = calls(programs)
        status, more = run("propose")
        return Week(status, said + more, calls(programs)[len(asked) :])

    return of


def in_environment(checkout: Path, ci: str, name: str) -> bool:
    """Whether a job is given what is kept for the environment `template`."""
    if ci == "github":
        return bool(workflows(checkout)[UPDATES[ci]]["jobs"][name].get("environment") == "template")
    own = read(checkout / UPDATES[ci])[name].get("environment", {})
    return bool(own == {"name": "template", "action": "access"})


each_ci = pytest.mark.parametrize("ci", UPDATES)


@each_ci
def test_an_update_from_the_template_is_pushed_to_a_branch(
    week: Weekly, ci: str, tmp_path: Path
) -> None:
    bare = tmp_path / "forge.git"
    done = week(UPDATED)
    assert done.status == 0, done.said
    assert git(bare, "show", "template:README.md").endswith("new\n")
    assert git(bare, "log", "-1", "--format=%s", "template") == "Update from the template\n"
    assert git(bare, "log", "-1", "--format=%s", "main") == "Work\n", "nobody has merged it"
    assert TOKEN not in done.said
    if ci == "github":
        assert done.called[0] == "gh auth setup-git"
        assert done.called[-1] == "gh pr create --fill --head template"


@pytest.mark.parametrize("ci", ["github"])
def test_a_pull_request_is_made_where_none_of_this_repository_is_open(
    week: Weekly, tmp_path: Path
) -> None:
    """On GitLab the push itself asks for one."""
    listed = tmp_path / "programs" / "gh.open"
    listed.parent.mkdir()
    for request, created in (
        ('[{"isCrossRepository":false}]', False),
        ('[{"isCrossRepository":true},{"isCrossRepository":false}]', False),
        ('[{"isCrossRepository":true}]', True),
    ):
        listed.write_text(f"{request}\n")
        done = week(UPDATED)
        assert done.status == 0, done.said
        assert ("gh pr create --fill --head template" in done.called) == created, request

    listed.unlink()
    listed.mkdir()  # so that it cannot be said
    done = week(UPDATED.replace("new", "newer"))
    assert done.status != 0, "a job that proposes nothing, and is green"


@each_ci
def test_what_has_the_token_runs_nothing_of_an_update(week: Weekly, tmp_path: Path) -> None:
    """As a template that was taken over would have it: by a Makefile, hooks, and a program called git."""
    evil = "printf '#!/bin/sh\\ntouch ../taken\\n' | tee git >Makefile; chmod +x git"
    done = week(f'case "$1" in update) {evil}; git config core.hooksPath "$PWD" ;; esac')
    assert done.status == 0, done.said
    assert "touch ../taken" in git(tmp_path / "forge.git", "show", "template:Makefile")
    assert not (tmp_path / "taken").exists()
    proposed = tmp_path / "propose"
    assert "touch ../taken" not in (proposed / "Makefile").read_text()
    assert not (proposed / "git").exists()
    assert not [call for call in done.called if not call.startswith("gh ")]


@each_ci
def test_an_update_arrives_as_it_was_made(week: Weekly, tmp_path: Path) -> None:
    changes = [
        "git rm -q home/facts.py", "chmod +x README.md", "git mv AGENTS.md 'Für Agenten.md'",
        r"printf '\0\377\r\n' >static/new.bin", "touch empty", "ln -s README.md link",
        r"printf 'one\r\ntwo \n\n' >trailing.txt", "printf none >no-newline",
        "rm -r static/*.svg static/*.css || true",
    ]  # fmt: skip
    done = week(f'case "$1" in update) {"; ".join(changes)} ;; esac')
    assert done.status == 0, done.said
    (made,) = git(tmp_path / "update", "write-tree").split()
    assert git(tmp_path / "forge.git", "rev-parse", "template^{tree}") == f"{made}\n"
    raw = git(tmp_path / "forge.git", "diff", "--raw", "--no-renames", "main", "template")
    assert {"A", "D", "M"} <= {line.split()[4] for line in raw.splitlines()}
    assert " 120000 " in raw
    assert "update.patch" not in raw


@each_ci
def test_a_weekly_update_replaces_its_own_branch_and_nobody_elses(
    week: Weekly, tmp_path: Path
) -> None:
    bare, checkout = tmp_path / "forge.git", tmp_path / "checkout"

    def next_week(update: str) -> str:
        done = week(update)
        assert done.status == 0, done.said
        said.append(done.said)
        return git(bare, "rev-parse", "template")

    said: list[str] = []
    first = next_week(UPDATED)
    assert next_week(f"sleep 1; {UPDATED}") == first, "the same is not pushed again"
    second = next_week(UPDATED.replace("new", "newer"))
    assert second != first
    assert git(bare, "show", "template:README.md").endswith("newer\n")

    git(checkout, "fetch", "--quiet", "origin")
    git(checkout, "checkout", "--quiet", "template")
    identity = git(checkout, "log", "-1", "--format=%cn%n%ce").splitlines()
    bots = ["-c", f"user.name={identity[0]}", "-c", f"user.email={identity[1]}"]
    mine = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    works = {
        "a commit": [[*mine, "commit", "--quiet", "--allow-empty", "--message", "Mine"]],
        "amended": [[*mine, "commit", "--quiet", "--amend", "--message", "Mine"]],
        "below one of a job's": [
            [*mine, "commit", "--quiet", "--allow-empty", "--message", "Mine"],
            [*bots, "commit", "--quiet", "--allow-empty", "--message", "Formatted"],
        ],
    }
    for what, commands in works.items():
        git(checkout, "reset", "--quiet", "--hard", second.strip())
        for command in commands:
            with_own_name(checkout, *command)
        git(checkout, "push", "--quiet", "--force", "origin", "template")
        assert next_week(UPDATED) == git(checkout, "rev-parse", "HEAD"), what
        assert "template: somebody has committed there; merge the branch" in said[-1]

    git(bare, "update-ref", "refs/heads/main", "template")
    merged = git(bare, "rev-parse", "template")
    assert next_week(UPDATED) != merged, "what is merged stands in the way of nothing newer"


def with_own_name(folder: Path, *arguments: str) -> None:
    """git, with the name that the arguments say and not with that of the tests."""
    names = ("GIT_AUTHOR_", "GIT_COMMITTER_")
    variables = {
        key: value for key, value in home(folder.parent).items() if not key.startswith(names)
    }
    subprocess.run(["git", *arguments], cwd=folder, env=variables, check=True)


@each_ci
def test_an_update_brings_its_lock_file(week: Weekly, tmp_path: Path) -> None:
    bare = tmp_path / "forge.git"
    moved = """sed -i 's/^    "serving-tools",$/&\\n    "tinycss2",/' pyproject.toml"""
    done = week(f"""case "$1" in update) {moved} ;; *) exec /usr/bin/make "UV={UV}" "$@" ;; esac""")
    assert done.status == 0, done.said
    assert "tinycss2" not in git(bare, "show", "main:uv.lock")
    assert "tinycss2" in git(bare, "show", "template:uv.lock")


@each_ci
def test_a_project_that_is_not_linked_asks_for_no_update(
    week: Weekly, ci: str, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    if ci == "gitlab":
        pipeline = read(checkout / ".gitlab-ci.yml")
        for name in ("update", "propose"):
            (rule,) = pipeline[pipeline[name]["extends"]]["rules"]
            assert rule["exists"] == [".cruft.json"]
        return
    git(checkout, "rm", "--quiet", ".cruft.json")
    git(checkout, "commit", "--quiet", "--message", "Not linked")
    git(checkout, "push", "--quiet", "origin", "main")
    done = week("exit 1")
    assert (done.status, done.called) == (0, []), done.said


@each_ci
@pytest.mark.parametrize(
    ("update", "status"), [("true", 0), ("echo 'make update: a conflict' >&2; exit 1", 1)]
)
def test_without_an_update_nothing_is_pushed(
    week: Weekly, tmp_path: Path, update: str, status: int
) -> None:
    done = week(update)
    assert bool(done.status) == bool(status), done.said
    assert "template" not in git(tmp_path / "forge.git", "branch", "--list")
    assert not done.called


DIGEST = "sha256:" + "5e" * 32


def test_a_release_on_github_is_named_after_it_was_attested(
    forge: Callable[..., Path], environment: Path
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


def test_a_release_on_gitlab_says_its_digest(forge: Callable[..., Path], environment: Path) -> None:
    checkout = forge("gitlab")
    programs = checkout.parent / "programs"
    put_program(programs, "apt-get", "")
    put_program(
        programs, "docker",
        f'case "$1 $2" in login*) cat >"$0.login" ;; "buildx build") echo \'{{"containerimage.digest": "{DIGEST}"}}\' >build.json ;; esac',
    )  # fmt: skip
    variables = machine(checkout, environment) | {
        "CI_PROJECT_DIR": str(checkout), "CI_REGISTRY_IMAGE": "registry.example/shop", "CI_COMMIT_TAG": "v1.2.3",
        "CI_COMMIT_SHA": "c0ffee", "CI_PROJECT_URL": "https://gitlab.example/org/shop",
        "EXTRAS": "s3", "CI_REGISTRY": "registry.example", "CI_REGISTRY_USER": "ci", "CI_REGISTRY_PASSWORD": TOKEN,
    }  # fmt: skip
    variables["PATH"] = f"{programs}{os.pathsep}{variables['PATH']}"
    (programs / "python").symlink_to(sys.executable)
    runner = Runner(checkout, variables, actions=ACTIONS)

    assert runner.run(job(checkout, ".gitlab-ci.yml", "publish")) == 0, runner.said
    *before, built = calls(programs)
    assert [call.split(" --")[0] for call in before] == [
        "apt-get update -qq", "apt-get install -qq", "docker login", "docker context create engine",
        "docker buildx create",
    ]  # fmt: skip
    assert before[1].endswith(" docker-cli docker-compose docker-buildx")
    assert before[2] == "docker login --username ci --password-stdin registry.example"
    assert (programs / "docker.login").read_text() == f"{TOKEN}\n"
    assert before[4] == "docker buildx create --use engine"
    assert "--build-arg REVISION=c0ffee --build-arg EXTRAS=s3 " in built
    assert built.endswith("--tag registry.example/shop:1.2.3 .")
    assert f"Deploy it by its digest: {DIGEST}" in runner.said


SHOP = "registry.example/tea-house/shop"
DEPLOYS = {"github": ("publish.yml", "deploy"), "gitlab": (".gitlab-ci.yml", "deploy")}


def deployer(checkout: Path, played: Played, key: str) -> Runner:
    """Runs the job that deploys, on a machine without an engine and without any package of the project."""
    variables = machine(checkout, checkout.parent / "none") | {
        "CI_PROJECT_DIR": str(checkout), "CI_REGISTRY_IMAGE": SHOP, "KUBECONFIG": key,
    }  # fmt: skip
    del variables["UV_NO_SYNC"]
    variables["PATH"] = f"{played.programs}{os.pathsep}{variables['PATH']}"
    (played.programs / "python").symlink_to(sys.executable)
    put_program(played.programs, "apt-get", "")
    published = checkout.parent / "artifacts" / "publish"  # of the job before
    published.mkdir(parents=True)
    (published / "build.json").write_text(f'{{"containerimage.digest": "{DIGEST}"}}')
    context = {
        "secrets.KUBECONFIG": key,
        "needs.image.outputs.image": SHOP, "needs.image.outputs.digest": DIGEST,
    }  # fmt: skip
    played.begin()
    return Runner(checkout, variables, context, ACTIONS)


@pytest.mark.parametrize("ci", DEPLOYS)
def test_a_release_is_deployed_by_its_digest(
    forge: Callable[..., Path], tmp_path: Path, ci: str
) -> None:
    checkout = forge(ci, database="postgres", kubernetes=True)
    played = Played(tmp_path, checkout)
    content = "apiVersion: v1\nusers: [{name: ci, user: {token: t0ken}}]"
    file = tmp_path / "kubeconfig"
    if ci == "gitlab":  # as GitLab writes a variable that is a file
        file.write_text(content)
    runner = deployer(checkout, played, content if ci == "github" else str(file))

    assert runner.run(job(checkout, *DEPLOYS[ci])) == 0, runner.said
    played.end()
    assert set(played.state["images"]) == {f"{SHOP}@{DIGEST}"}
    assert "kubectl rollout status deployment/web" in played.state["calls"]
    assert played.state["kubeconfig"] == str(file)
    assert file.read_text().rstrip("\n") == content
    assert ci == "gitlab" or file.stat().st_mode & 0o777 == 0o600
    assert "t0ken" not in runner.said
    assert not (tmp_path / "none").exists(), "no package sees the key"
    installed = [call.split()[-1] for call in calls(played.programs) if " install " in call]
    assert installed == (["kubectl"] if ci == "gitlab" else [])


@pytest.mark.parametrize("ci", DEPLOYS)
def test_a_deployment_without_a_key_says_where_it_belongs(
    forge: Callable[..., Path], tmp_path: Path, ci: str
) -> None:
    checkout = forge(ci, database="postgres", kubernetes=True)
    played = Played(tmp_path, checkout)
    runner = deployer(checkout, played, "")
    assert runner.run(job(checkout, *DEPLOYS[ci])) != 0
    assert runner.said.startswith("deploy: the environment production has no ")
    assert "KUBECONFIG; set it in Settings, " in runner.said
    assert len(runner.said.splitlines()) == 1
    played.end()
    assert not played.state["calls"]


def test_a_key_on_gitlab_that_is_no_file_is_not_printed(
    forge: Callable[..., Path], tmp_path: Path
) -> None:
    checkout = forge("gitlab", database="postgres", kubernetes=True)
    runner = deployer(checkout, Played(tmp_path, checkout), "apiVersion: v1\ntoken: t0ken")
    assert runner.run(job(checkout, *DEPLOYS["gitlab"])) != 0
    assert "of type File" in runner.said
    assert "t0ken" not in runner.said
