"""The CI of a generated project, as its files say it: schemas, permissions, pins, versions, AGENTS.md."""

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT, TEMPLATE, WIDEST, bake_into, questions
from tests.support.answers import choices
from tests.support.kustomize import rendered
from tests.support.workflows import Job, jobs, make_targets, read, workflows
from tests.support.workflows import job as job_of
from tests.template.test_make_targets import targets

PROGRAMS = Path(sys.executable).parent
SERVICES = [
    {"database": database, "cache": cache}
    for database in choices()["database"]
    for cache in choices()["cache"]
]
every_service = pytest.mark.parametrize(
    "answers", SERVICES, ids=lambda answers: "-".join(answers.values())
)
LOCKED: Mapping[str, Mapping[str, str]] = json.loads((ROOT / "versions.json").read_text())
VERSIONS, ACTIONS = LOCKED["versions"], LOCKED["actions"]
every_pipeline = pytest.mark.parametrize(
    "answers",
    [*SERVICES, {"database": "postgres", "kubernetes": "yes"}],
    ids=lambda answers: "-".join(answers.values()),
)


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on GitHub, with every service and a cluster; tests must not write into it."""
    folder = tmp_path_factory.mktemp("github")
    return bake_into(folder, ci="github", kubernetes=True, **WIDEST)


@pytest.fixture(scope="module")
def gitlab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One on GitLab."""
    folder = tmp_path_factory.mktemp("gitlab")
    return bake_into(folder, ci="gitlab", kubernetes=True, **WIDEST)


def program(name: str, *arguments: str | Path, cwd: Path, status: int = 0) -> str:
    """What a program of the template's own environment says."""
    done = subprocess.run(
        [PROGRAMS / name, *arguments], cwd=cwd, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == status, done.stdout
    return done.stdout


# Schemas and audits, as check-jsonschema and zizmor bring them


SCHEMAS = {
    ".github/workflows/*.yml": ["github-workflows"],
    ".github/dependabot.yml": ["dependabot"],
    ".gitlab-ci.yml": ["gitlab-ci", "--data-transform", "gitlab-ci"],
    ".gitlab/renovate.json": ["renovate"],
}


@pytest.mark.slow
@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("ci", choices()["ci"])
@every_pipeline
def test_every_file_follows_its_schema(tmp_path: Path, ci: str, answers: dict[str, str]) -> None:
    project = bake_into(tmp_path, ci=ci, **answers)
    checked = 0
    for pattern, (schema, *options) in SCHEMAS.items():
        if files := sorted(project.glob(pattern)):
            name = f"vendor.{schema}"
            program("check-jsonschema", "--builtin-schema", name, *options, *files, cwd=project)
            checked += len(files)
    assert checked == {"github": 4, "gitlab": 2, "none": 0}[ci]


def test_a_mistake_in_a_file_is_found(tmp_path: Path) -> None:
    """GitLab takes a job of this name for the image of all jobs."""
    broken = tmp_path / ".gitlab-ci.yml"
    broken.write_text("image: {stage: test, script: [make scan]}\n")
    options = SCHEMAS[".gitlab-ci.yml"][1:]
    name = "vendor.gitlab-ci"
    program("check-jsonschema", "--builtin-schema", name, *options, broken, cwd=tmp_path, status=1)


@pytest.mark.slow
@pytest.mark.usefixtures("fast_hooks")
@every_pipeline
def test_zizmor_finds_nothing(tmp_path: Path, answers: dict[str, str]) -> None:
    project = bake_into(tmp_path, ci="github", **answers)
    said = program("zizmor", "--offline", "--no-progress", ".", cwd=project)
    assert "No findings to report" in said
    assert all(f"completed ./.github/workflows/{name}" in said for name in workflows(project))


def test_zizmor_would_find_something(tmp_path: Path, github: Path) -> None:
    workflow = tmp_path / ".github" / "workflows" / "ci.yml"
    workflow.parent.mkdir(parents=True)
    text = (github / ".github" / "workflows" / "ci.yml").read_text()
    workflow.write_text(text.replace("        with: { persist-credentials: false }\n", ""))
    assert "artipacked" in program("zizmor", "--offline", ".", cwd=tmp_path, status=13)


# What every job holds to


def test_no_job_may_do_more_than_it_says(github: Path) -> None:
    for name, workflow in workflows(github).items():
        assert workflow["permissions"] == {}, name
        assert workflow["concurrency"]["group"], name
        for job in workflow["jobs"].values():
            assert job["permissions"]["contents"] in ("read", "write"), name
            limit = 120 if job is workflow["jobs"].get("deploy") else 30
            assert "uses" in job or job["timeout-minutes"] <= limit, name
    ci = workflows(github)["ci.yml"]["jobs"]
    assert all(job["permissions"] == {"contents": "read"} for job in ci.values())


def test_no_checkout_keeps_the_token(github: Path) -> None:
    steps = [step for job in jobs(github) for step in job.steps]
    checkouts = [step for step in steps if "actions/checkout@" in step.get("uses", "")]
    assert len(checkouts) == len(list(jobs(github)))
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_token_is_near_what_an_update_runs(github: Path, gitlab: Path) -> None:
    """A variable of a schedule is one of every job; a protected one of an environment is not."""
    weekly = workflows(github)["template.yml"]["jobs"]
    assert weekly["update"]["permissions"] == {"contents": "read"}
    assert not re.search(r"secrets\.|github\.token", json.dumps(weekly["update"]))
    assert "secrets.UPDATE_TOKEN" in json.dumps(weekly["propose"])
    assert weekly["propose"]["environment"] == "template"
    pipeline = read(gitlab / ".gitlab-ci.yml")
    assert "UPDATE_TOKEN" not in json.dumps(pipeline["update"] | pipeline[".scheduled"])
    assert "environment" not in pipeline["update"]
    assert "UPDATE_TOKEN" in json.dumps(pipeline["propose"])
    assert pipeline["propose"]["environment"] == {"name": "template", "action": "access"}
    assert pipeline["propose"]["cache"] == [], "which the other one may have filled"


def test_every_action_is_pinned_by_its_commit_with_its_version(github: Path) -> None:
    pinned = set()
    for path in (github / ".github" / "workflows").glob("*.yml"):
        for used in re.findall(r"uses: (.+)", path.read_text()):
            if used.startswith("$/"):  # of this repository, at this commit
                assert (github / used.removeprefix("$/")).is_file()
            else:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
                pinned.add(used)
    assert pinned == set(ACTIONS.values()), "one that is not used"


def test_no_commands_text_comes_from_an_expression(github: Path) -> None:
    """Whoever names a branch would write a command."""
    assert not [step for job in jobs(github) for step in job.steps if "${{" in step.get("run", "")]


def test_a_release_takes_nothing_from_a_cache(github: Path, gitlab: Path) -> None:
    publish = workflows(github)["publish.yml"]
    assert list(publish["on"]) == ["push"]
    assert list(publish["on"]["push"]) == ["tags"]
    (build,) = [step for step in publish["jobs"]["image"]["steps"] if step.get("id") == "build"]
    assert build["with"]["provenance"] == "mode=max"
    assert build["with"]["sbom"] is True
    assert "push-by-digest=true" in build["with"]["outputs"]
    assert not [name for name in build["with"] if name.startswith("cache")]
    script = read(gitlab / ".gitlab-ci.yml")["publish"]["script"][0]
    assert "--provenance=mode=max" in script
    assert "--sbom=true" in script
    assert "--cache" not in script


def test_a_tag_of_a_version_alone_is_a_release(github: Path, gitlab: Path) -> None:
    """Not one as `vendor-import`, which would come out as the image `endor-import`."""
    (pattern,) = workflows(github)["publish.yml"]["on"]["push"]["tags"]
    pipeline = read(gitlab / ".gitlab-ci.yml")
    rules = [
        rule["if"]
        for job in pipeline.values()
        if isinstance(job, dict)
        for rule in job.get("rules", [])
        if "CI_COMMIT_TAG" in rule["if"]
    ]
    assert len(rules) == 3
    (expression,) = {rule.removeprefix("$CI_COMMIT_TAG =~ ").strip("/") for rule in rules}
    for tag, released in (
        ("v1.2.3", True), ("v10.0.0-rc.1", True), ("v2", True),
        ("vendor-import", False), ("v", False), ("version-1", False), ("1.2.3", False), ("dev1", False),
    ):  # fmt: skip
        assert fnmatch.fnmatchcase(tag, pattern) == released, tag
        assert bool(re.search(expression, tag)) == released, tag
    ci = (ROOT / "docs" / "ci.md").read_text()
    assert f"allow the tags `{pattern}` alone" in " ".join(ci.split())


def test_a_deployment_waits_for_people_and_for_the_one_before_it(
    github: Path, gitlab: Path
) -> None:
    deploy = workflows(github)["publish.yml"]["jobs"]["deploy"]
    assert deploy["environment"] == "production", "whose reviewers hold it back"
    assert deploy["needs"] == "image"
    assert deploy["permissions"] == {"contents": "read"}
    assert "${{" not in deploy["concurrency"]["group"], "one group for all tags"
    assert deploy["concurrency"]["cancel-in-progress"] is False
    pipeline = read(gitlab / ".gitlab-ci.yml")
    assert pipeline["deploy"]["environment"] == deploy["environment"]
    assert pipeline["deploy"]["needs"] == ["publish"]
    assert pipeline["deploy"]["rules"] == [{**pipeline["publish"]["rules"][0], "when": "manual"}]
    assert pipeline["deploy"]["resource_group"]
    assert pipeline["deploy"]["interruptible"] is False


def test_a_deployment_is_cut_by_no_limit_but_its_own(github: Path, gitlab: Path) -> None:
    """One that is cut leaves the cluster half-way, and nothing undoes it."""
    tool = github / "packages/serving-tools/src/serving_tools/deploy/kubernetes.py"
    (start,) = re.findall(r"^START_WITHIN = ([\d.]+)$", tool.read_text(), re.MULTILINE)
    seconds = float(start)
    for each in rendered(github / "deploy" / "kubernetes" / "overlays" / "production"):
        if each["kind"] == "Job":
            seconds += each["spec"]["activeDeadlineSeconds"]
        if each["kind"] == "Deployment":  # what fails is undone, and waited for again
            seconds += 2 * each["spec"]["progressDeadlineSeconds"]
    assert seconds > 6000
    assert workflows(github)["publish.yml"]["jobs"]["deploy"]["timeout-minutes"] * 60 > seconds
    (hours,) = re.findall(r"^(\d+) hours$", read(gitlab / ".gitlab-ci.yml")["deploy"]["timeout"])
    assert int(hours) * 3600 > seconds


def test_nothing_of_another_run_sees_the_key_of_the_cluster(github: Path, gitlab: Path) -> None:
    steps = workflows(github)["publish.yml"]["jobs"]["deploy"]["steps"]
    (uv,) = [step for step in steps if "setup-uv@" in step.get("uses", "")]
    assert uv["with"]["enable-cache"] is False
    assert read(gitlab / ".gitlab-ci.yml")["deploy"]["cache"] == []
    # One step has the secret, and no other job.
    files = (github / ".github" / "workflows").glob("*.yml")
    assert "".join(path.read_text() for path in files).count("secrets.KUBECONFIG") == 1
    assert [step["env"] for step in steps if "secrets." in str(step)] == [
        {"CONTENT": "${{ secrets.KUBECONFIG }}"}
    ]


@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_a_project_without_a_cluster_deploys_to_none(tmp_path: Path, ci: str) -> None:
    project = bake_into(tmp_path, ci=ci, **WIDEST)
    assert "deploy" not in {job.name for job in jobs(project)}
    for path in (*project.glob(".github/workflows/*"), *project.glob(".gitlab-ci.yml")):
        assert "k8s" not in path.read_text()
        assert "outputs:\n" not in path.read_text(), "of a job, which nobody reads"


@pytest.mark.usefixtures("fast_hooks")
@every_service
def test_a_pipeline_has_the_services_that_were_chosen(
    tmp_path: Path, answers: dict[str, str]
) -> None:
    """On GitHub `make test` starts those of compose.yaml."""
    pipeline = read(bake_into(tmp_path, ci="gitlab", **answers) / ".gitlab-ci.yml")
    wanted = [f"postgres:{VERSIONS['postgres']}"] if answers["database"] == "postgres" else None
    assert pipeline["test"].get("services") == wanted
    assert ("DATABASE_URL" in pipeline["test"].get("variables", {})) == bool(wanted)


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_both_ask_for_the_same(request: pytest.FixtureRequest, ci: str) -> None:
    found: dict[str, list[str]] = {}
    for job in jobs(request.getfixturevalue(ci)):
        if job.file != "publish.yml" and job.name not in ("publish", "deploy"):
            found[job.name] = [target for step in job.steps for target in make_targets(step)]
    assert sorted(filter(None, found.values())) == [
        ["lint"], ["scan", "up", "smoke"], ["test", "check"], ["update", "lock"],
    ]  # fmt: skip


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_every_target_that_ci_runs_is_there(request: pytest.FixtureRequest, ci: str) -> None:
    project = request.getfixturevalue(ci)
    run = {target for job in jobs(project) for step in job.steps for target in make_targets(step)}
    own = targets(project / "Makefile") | targets(project / "deploy" / "kubernetes" / "targets.mk")
    assert run - own <= {"update"}, "which is the template's other way"


def test_updates_of_dependencies_are_grouped_and_wait(github: Path, gitlab: Path) -> None:
    updates = read(github / ".github" / "dependabot.yml")["updates"]
    kinds = [update["package-ecosystem"] for update in updates]
    assert kinds == ["uv", "github-actions", "docker", "docker-compose"]
    for update in updates:
        assert update["cooldown"]["default-days"] >= 7
        (group,) = update["groups"].values()
        assert group["patterns"] == ["*"]
    renovate = json.loads((gitlab / ".gitlab" / "renovate.json").read_text())
    assert renovate["minimumReleaseAge"] == "7 days"
    assert "lockFileMaintenance" not in renovate, "it waits for no age"
    assert renovate["osvVulnerabilityAlerts"], "other alerts are GitHub's alone"


def test_renovate_leaves_the_bounds_of_packages_to_the_template(gitlab: Path) -> None:
    """Another strategy replaces a bound that a new version is out of."""
    renovate = json.loads((gitlab / ".gitlab" / "renovate.json").read_text())
    (python,) = [rule for rule in renovate["packageRules"] if rule.get("groupName") == "python"]
    assert python["matchManagers"] == ["pep621"]
    assert python["rangeStrategy"] == "in-range-only"
    assert "rangeStrategy" not in renovate


def test_an_update_of_images_finds_them(github: Path) -> None:
    """Dependabot reads no ARG in a FROM: there are none but Python's, whose version is the owner's."""
    froms = re.findall(r"^FROM (\S+)", (github / "Dockerfile").read_text(), re.MULTILINE)
    assert [image for image in froms if "$" in image] == [
        "python:${PYTHON_VERSION}-slim-trixie"
    ] * 2
    assert f"ghcr.io/astral-sh/uv:{VERSIONS['uv']}" in froms


def test_a_machine_without_uv_gets_the_version_of_the_image(default_project: Path) -> None:
    made = (default_project / "Makefile").read_text()
    (fetched,) = re.findall(r"pip install .*", made)
    assert fetched.endswith(" 'uv==$(UV_VERSION).*'")
    assert f"\nUV_VERSION := {VERSIONS['uv']}\n" in made


# Before a commit


def test_the_hooks_have_no_tools_of_their_own(default_project: Path) -> None:
    config = read(default_project / ".pre-commit-config.yaml")
    for repository in config["repos"]:
        assert repository["repo"] == "local", "another repository has a version"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            assert "additional_dependencies" not in hook
            assert hook["entry"].split()[0] == "make"
            assert hook["entry"].split()[1] in targets(default_project / "Makefile")


# One place for each version


PINS = re.compile(
    r"\b(?:ghcr\.io/astral-sh/uv|postgres|valkey/valkey|caddy|docker|python):\d{1,2}\b"
    r"|@[0-9a-f]{40}|\btrixie\b|(?<![\w-])(?:django|django-stubs|granian)(?:\[\w+\])?[<>=~]=?\d"
    r"|\b(?:UV|PYTHON)_VERSION=\d"
)


def sources() -> Iterator[Path]:
    """The template's files that hold versions of what a project is made of, unrendered."""
    for path in sorted(TEMPLATE.rglob("*")):
        if path.is_file() and "packages" not in path.relative_to(TEMPLATE).parts:
            yield path


def test_every_version_stands_in_versions_json_alone() -> None:
    second = [
        f"{path.relative_to(TEMPLATE)}: {found}"
        for path in sources()
        if path.suffix in {"", ".json", ".toml", ".yaml", ".yml", ".env", ".example"}
        for found in PINS.findall(path.read_text())
    ]
    assert not second, "a second place for a version"


def test_a_second_place_would_be_found() -> None:
    for text in (
        "image: postgres:18", "uses: a/b@" + 40 * "0", '"django>=6.2,<7"', "FROM python:3.14-slim",
        "ARG UV_VERSION=0.14", '"granian[reload]>=2.8"', "COPY --from=ghcr.io/astral-sh/uv:0.13",
    ):  # fmt: skip
        assert PINS.search(text), text
    assert not PINS.search("FROM python:${PYTHON_VERSION}-slim")


def test_the_versions_are_used() -> None:
    text = "".join(path.read_text() for path in sources())
    assert {name for name in VERSIONS if f"'{name}' | version" not in text} == set()
    assert {name for name in ACTIONS if f"'{name}' | action" not in text} == set()


def bounds(requirements: list[str], package: str) -> str:
    """What a list of requirements says of a package's version."""
    (found,) = {
        match[1]
        for each in requirements
        if (match := re.fullmatch(rf"{package}(?:\[[\w,]+\])?([<>=~].*)", each))
    }
    return found


def test_what_is_copied_as_it_is_has_the_same_versions() -> None:
    """The packages are rendered by nobody: they need a second place, which must say the same."""
    serving, tools = (
        tomllib.loads((TEMPLATE / "packages" / name / "pyproject.toml").read_text())
        for name in ("django-serving", "serving-tools")
    )
    assert bounds(serving["project"]["dependencies"], "django") == VERSIONS["django"]
    assert bounds(tools["project"]["dependencies"], "django") == VERSIONS["django"]
    granian = bounds(serving["project"]["dependencies"], "granian")
    assert granian.split(",")[0] == VERSIONS["granian"].split(",")[0]
    for package in (serving, tools):
        (build,) = package["build-system"]["requires"]
        assert build.startswith(f"uv_build>={VERSIONS['uv']},")


def test_the_texts_name_the_same_versions() -> None:
    readme = (ROOT / "README.md").read_text()
    django = re.sub(r"^>=(\d+\.\d+).*", r"\1", VERSIONS["django"])
    granian = re.sub(r"^>=(\d+).*", r"\1", VERSIONS["granian"])  # the weekly bump raises the rest
    pythons = questions()["python_version"]
    assert f"Django {django}, Granian {granian} and Python {pythons[0]}" in " ".join(readme.split())
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"uv>={VERSIONS['uv']}" in own["dependency-groups"]["dev"]
    assert own["project"]["requires-python"] == f">={pythons[-1]}"


# AGENTS.md


@pytest.fixture(scope="module")
def agents(default_project: Path) -> str:
    return (default_project / "AGENTS.md").read_text()


def test_agents_md_is_read_in_a_minute(agents: str) -> None:
    assert len(agents.splitlines()) < 60


def test_every_command_of_agents_md_is_a_target(agents: str, default_project: Path) -> None:
    named = set(
        re.findall(r"(?:`|^    )make ([a-z ]+?)(?= *(?:`|#|[A-Z]+=))", agents, re.MULTILINE)
    )
    words = {word for command in named for word in command.split()}
    assert {"setup", "test", "lint", "check", "dev", "format", "app"} <= words
    assert words <= targets(default_project / "Makefile")


def test_every_path_of_agents_md_is_there(agents: str, default_project: Path) -> None:
    spans = set(re.findall(r"`([\w.*/-]+)`", agents))
    made = {".env", "uv.lock", "lifespan.py", "tests.py"}  # by `make setup`; of an app
    paths = {span for span in spans if re.search(r"[/.]\w*$", span)}
    paths -= {"request.state", "time.sleep"}
    assert len(paths) > 10
    assert [path for path in paths - made if not (default_project / path).exists()] == []
    assert list(default_project.glob("*/lifespan.py"))
    assert list(default_project.glob("*/tests.py"))


def test_every_folder_of_a_project_stands_in_agents_md(agents: str, widest_project: Path) -> None:
    folders = {path.name for path in widest_project.iterdir() if path.is_dir()}
    told = {name for name in folders if f"`{name}/`" in agents}
    assert folders - told <= {".github", "deploy", "telemetry"}, "a room that nobody is told of"


@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("mode", choices()["lifespan_mode"])
def test_agents_md_says_whether_a_lifespan_runs(tmp_path: Path, mode: str) -> None:
    said = (bake_into(tmp_path, lifespan_mode=mode) / "AGENTS.md").read_text()
    assert ("opened in the app's `lifespan.py`" in said) == (mode != "disabled")
    assert ("No `lifespan.py` runs here" in said) == (mode == "disabled")


@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("kubernetes", [False, True])
def test_agents_md_says_where_a_container_has_its_variables(
    tmp_path: Path, kubernetes: bool
) -> None:
    project = bake_into(tmp_path, database="postgres", kubernetes=kubernetes)
    said = (project / "AGENTS.md").read_text()
    assert "`compose.yaml`" in said
    assert ("`deploy/kubernetes/base/server.env`" in said) == kubernetes
    assert (project / "deploy" / "kubernetes" / "base" / "server.env").exists() == kubernetes
    assert len(said.splitlines()) < 60


def test_the_page_says_what_the_week_is_not_for(gitlab: Path) -> None:
    """Renovate decides by it which update there is; uv, which writes the lock file, is told nothing of it."""
    page = " ".join((ROOT / "docs" / "ci.md").read_text().split())
    told = "For Python packages on GitLab that is all: Renovate's `uv lock` takes the newest version within"
    assert "exclude-newer" not in (gitlab / "pyproject.toml").read_text()
    assert told in page


def test_what_no_file_can_turn_on_stands_in_the_page(github: Path, gitlab: Path) -> None:
    page = (ROOT / "docs" / "ci.md").read_text()
    settings = " ".join(page.partition("Settings, Advanced Security: ")[2].split())
    assert settings.startswith('"Dependabot alerts" and "Dependabot security updates".')
    first = (github / ".github" / "dependabot.yml").read_text().splitlines()[0]
    assert "where the settings turn them on" in first
    # What the engine writes there is read by the job beside it, by way of the runner's volume.
    certificates = job_of(gitlab, ".gitlab-ci.yml", "container").variables["DOCKER_CERT_PATH"]
    assert f'volumes = ["{certificates}", "/cache"]' in page
    assert "privileged = true" in page


def test_a_look_at_who_has_committed_to_a_branch_sees_its_commits(
    github: Path, gitlab: Path
) -> None:
    """Of a shallow checkout's history, `--not HEAD^` leaves out less than all of main's."""
    asks = [
        each for project in (github, gitlab) for each in jobs(project) if each.name == "propose"
    ]
    assert len(asks) == 2
    for each in asks:
        (whole,) = [step for step in each.steps if "--not HEAD^" in step.get("run", "")]
        depths = [
            step["with"].get("fetch-depth")
            for step in each.steps
            if "checkout@" in step.get("uses", "")
        ]
        assert whole
        assert (depths, each.variables.get("GIT_DEPTH")) in (([0], None), ([], "0"))


def test_the_test_it_runs_by_name_is_there(agents: str, default_project: Path) -> None:
    (file,) = re.findall(r"uv run pytest (\S+) -k", agents)
    assert (default_project / file).exists()


def test_a_job_extends_what_is_there(gitlab: Path) -> None:
    """The runner of these tests merges as GitLab does."""
    found: dict[str, Job] = {job.name: job for job in jobs(gitlab)}
    assert found["container"].variables["DOCKER_HOST"] == "tcp://docker:2376"
    assert found["test"].variables.keys() >= {"UV_LOCKED", "DATABASE_URL"}
    assert "DOCKER_HOST" not in found["lint"].variables


def test_what_yaml_takes_for_another_value_is_quoted(github: Path, gitlab: Path) -> None:
    """An env of GitHub's is a text: a bare yes or 1 would arrive as true, or as a number."""
    for project in (github, gitlab):
        for job in jobs(project):
            assert all(isinstance(value, str) for value in job.variables.values()), job.name
