"""This repository's workflows: valid, without findings of zizmor, and running what .ci/run runs."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, TEMPLATE, clean_environment
from tests.support.command import PROGRAMS, git
from tests.support.workflows import Runner
from tests.support.workflows import job as job_of

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
USES = re.compile(r"uses: ([\w./-]+)@(\S+)(?: # (v[\d.]+))?$", re.MULTILINE)

each = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)


def jobs(workflow: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(workflow.read_text())["jobs"]
    return found


def scripts(workflow: Path) -> list[str]:
    """The commands of its steps."""
    return [
        step["run"]
        for job in jobs(workflow).values()
        for step in job.get("steps", [])
        if "run" in step
    ]


def scripts_of(workflow: Path, job: str) -> list[str]:
    """Those of one job."""
    return [step["run"] for step in jobs(workflow)[job]["steps"] if "run" in step]


def test_every_workflow_follows_the_schema() -> None:
    schema = ["--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run(
        [PROGRAMS / "check-jsonschema", *schema, *WORKFLOWS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_zizmor_finds_nothing() -> None:
    done = subprocess.run(
        [PROGRAMS / "zizmor", "--offline", "--no-config", "--persona", "pedantic", FOLDER],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "No findings to report" in done.stdout + done.stderr


def test_actions_are_those_of_the_template() -> None:
    """By their commits, each with its version behind it: what raises the one raises the other."""
    texts = [workflow.read_text() for workflow in WORKFLOWS]
    used = {
        f"{action}@{commit} # {version}"
        for text in texts
        for action, commit, version in USES.findall(text)
    }
    assert sum(len(USES.findall(text)) for text in texts) == sum(
        text.count("uses:") - text.count("uses: $/")  # of this repository
        for text in texts
    )
    held = json.loads((ROOT / "versions.json").read_text())["actions"].values()
    assert used - set(held) == set()
    assert not (FOLDER.parent / "dependabot.yml").exists(), "a second one that raises them"


@each
def test_a_job_has_the_least_permissions_a_limit_of_time_and_keeps_no_credentials(
    workflow: Path,
) -> None:
    whole = yaml.safe_load(workflow.read_text())
    assert whole["permissions"] == {}
    assert "concurrency" in whole
    for name, job in jobs(workflow).items():
        assert "permissions" in job, name
        if "uses" in job:  # whose jobs have them
            assert (ROOT / job["uses"].removeprefix("$/")).is_file()
            continue
        assert job["timeout-minutes"] <= 60, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


# What runs packages that no lock file holds, or the template's own code.
UNREAD = re.compile(r"\b(?:uvx?|pip|make|python3?|cookiecutter)\b|\.ci/run")


@each
def test_what_runs_unread_code_has_no_token_that_writes_or_signs(workflow: Path) -> None:
    for name, job in jobs(workflow).items():
        ran = [step["run"] for step in job.get("steps", []) if UNREAD.search(step.get("run", ""))]
        if ran or "uses" in job:
            assert job["permissions"].items() <= {"contents": "read"}.items(), name
            assert "environment" not in job, name


def test_a_release_is_tested_and_approved_before_it_is_signed() -> None:
    found = jobs(FOLDER / "release.yml")
    assert found["test"]["uses"] == "$/.github/workflows/test.yml"
    assert "workflow_call" in yaml.safe_load((FOLDER / "test.yml").read_text())[True]
    assert found["build"]["needs"] == "test"
    assert found["publish"]["needs"] == "build"
    signing = [name for name, job in found.items() if "id-token" in job["permissions"]]
    assert signing == ["publish"]
    assert found["publish"]["environment"] == "release"
    steps = [step.get("uses") or step["run"] for step in found["publish"]["steps"]]
    assert [re.split("[@ ]", step)[0] for step in steps] == [
        "actions/download-artifact",
        "actions/attest",
        "gh",
    ]


@pytest.mark.slow
def test_a_release_is_built_without_the_environment_of_this_repository(tmp_path: Path) -> None:
    (build,) = scripts_of(FOLDER / "release.yml", "build")
    git(tmp_path, "clone", "--quiet", str(ROOT), "checkout")
    checkout = tmp_path / "checkout"
    for file in ("CHANGELOG.md", "maintenance/notes.py"):
        shutil.copyfile(ROOT / file, checkout / file)
    notes = (checkout / "CHANGELOG.md").read_text()
    (checkout / "CHANGELOG.md").write_text(notes.replace("## Unreleased", "## 9.8.7", 1))
    environ = clean_environment() | {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_REF_NAME": "v9.8.7",
    }
    subprocess.run(["bash", "-eo", "pipefail", "-c", build], cwd=checkout, env=environ, check=True)
    made = {path.name.split("-")[0] for path in (checkout / "build" / "dist").glob("*.whl")}
    packages = {path.name for path in (TEMPLATE / "packages").iterdir()}
    assert made == {name.replace("-", "_") for name in packages}
    assert (checkout / "build" / "notes.md").read_text().strip()
    assert not (checkout / ".venv").exists()


@each
def test_the_steps_are_shell_and_name_what_is_there(workflow: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for script in scripts(workflow):
        assert "${{" not in script, "a variable of env, which the shell quotes"
        done = subprocess.run(
            ["bash", "-n"], input=script, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for module in re.findall(r"python -m (maintenance\.\w+)", script):
            assert (ROOT / f"{module.replace('.', '/')}.py").exists()
        for target in re.findall(r"\bmake ([a-z-]+)", script):
            assert f"\n{target}:" in makefile
        for stages in re.findall(r"\.ci/run ([a-z- ]+)$", script, re.MULTILINE):
            assert set(stages.split()) <= set(stages_of_ci())


@each
def test_a_pipe_in_a_step_fails_where_a_part_of_it_does(workflow: Path) -> None:
    """GitHub adds pipefail to a shell that is named, and not to its own choice."""
    assert yaml.safe_load(workflow.read_text())["defaults"] == {"run": {"shell": "bash"}}
    steps = [step for job in jobs(workflow).values() for step in job.get("steps", [])]
    assert not [step for step in steps if "shell" in step]


@pytest.mark.parametrize(("defaults", "status"), [("{ run: { shell: bash } }", 1), ("{}", 0)])
def test_the_runner_has_pipefail_where_a_shell_is_named(
    tmp_path: Path, defaults: str, status: int
) -> None:
    workflow = tmp_path / "checkout" / ".github" / "workflows" / "a.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(f"defaults: {defaults}\njobs: {{ a: {{ steps: [run: false | true] }} }}\n")
    checkout = tmp_path / "checkout"
    assert Runner(checkout, os.environ).run(job_of(checkout, "a.yml", "a")) == status


@pytest.mark.parametrize(
    ("of_default", "of_parent", "of_job", "ran"),
    [
        ("[echo default]", "[echo parent]", "[echo job]", "job"),
        ("[echo default]", "[echo parent]", "", "parent"),
        ("[echo default]", "", "", "default"),
        ("[echo default]", "", "[]", ""),
        ("", "", "", ""),
    ],
)
def test_the_runner_has_what_gitlab_runs_before_a_script(
    tmp_path: Path, of_default: str, of_parent: str, of_job: str, ran: str
) -> None:
    def settings(before: str) -> str:
        return f"{{ interruptible: true{f', before_script: {before}' if before else ''} }}"

    pipeline = [
        f"default: {settings(of_default)}",
        "variables: {}",
        f".parent: {settings(of_parent)}",
        f"a: {{ extends: .parent, script: [echo script], {settings(of_job).strip('{}')} }}",
    ]
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / ".gitlab-ci.yml").write_text("\n".join(pipeline))
    runner = Runner(tmp_path / "checkout", os.environ)
    assert runner.run(job_of(runner.checkout, ".gitlab-ci.yml", "a")) == 0
    assert runner.said.split() == [*([ran] if ran else []), "script"]


def stages_of_ci() -> list[str]:
    text = (ROOT / ".ci" / "run").read_text()
    return re.findall(r"^(?:stage|further) make ([a-z-]+)", text, re.MULTILINE)


def test_each_stage_is_a_job_and_every_system_and_python_generates() -> None:
    found = jobs(FOLDER / "test.yml")
    assert found["stage"]["strategy"]["matrix"]["stage"] == stages_of_ci()
    matrix = found["generate"]["strategy"]["matrix"]
    assert {system.partition("-")[0] for system in matrix["system"]} == {
        "ubuntu",
        "macos",
        "windows",
    }
    assert matrix["python"] == ["3.12", "3.13", "3.14"]


@pytest.fixture
def ci(tmp_path: Path) -> Path:
    """A copy of .ci/run, its look for programs left out, whose `make` says what it is asked for."""
    (tmp_path / ".ci").mkdir()
    text = (ROOT / ".ci" / "run").read_text()
    head, _, rest = text.partition("# Debian's packages")
    _, mark, stages = rest.partition("# A test that would be skipped fails")
    assert mark
    (tmp_path / ".ci" / "run").write_text(f"{head}\n# {stages}")
    (tmp_path / "make").write_text('#!/bin/sh\necho "made $*"\n')
    for name in ("make", ".ci/run"):
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_ci_fails_with_a_stage(ci: Path) -> None:
    for stage in ("test", "mutants"):
        (ci / "make").write_text(f'#!/bin/sh\necho "made $*"\n[ "$1" != {stage} ]\n')
        done = run_ci(ci, "all")
        assert done.returncode == 1
        assert done.stdout.splitlines()[-1].startswith(f"made {stage}")


def test_ci_installs_what_is_missing_one_by_one(tmp_path: Path) -> None:
    """As on Ubuntu: no `chromium` for apt, but Chrome; here Debian's npm, which apt could not install, is there."""
    text = (ROOT / ".ci" / "run").read_text()
    head, mark, _ = text.partition("# The interpreter that")
    assert mark
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "run").write_text(
        f"{head}\nhas wrk; has chromium; ! has caddy; echo done\n"
    )
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "chmod"):
        (programs / name).symlink_to(str(shutil.which(name)))
    for name in ("google-chrome", "npm", "java"):
        (programs / name).symlink_to("/bin/true")
    (programs / "id").write_text("#!/bin/bash\necho 0\n")
    (programs / "apt-get").write_text(
        '#!/bin/bash\nname="${*: -1}"\necho "$1 $name" >>asked\n'
        '[ "$1" = install ] || exit 0\n[ "$name" != caddy ] || exit 100\n'
        f'cd "{programs}" && : >"$name" && chmod +x "$name"\n'
    )
    for name in ("id", "apt-get"):
        (programs / name).chmod(0o755)

    done = subprocess.run(
        [programs / "bash", ".ci/run"],
        cwd=tmp_path, env={"PATH": str(programs)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout == "done\n", done.stderr
    first, *asked = (tmp_path / "asked").read_text().splitlines()
    assert first.startswith("update ")
    assert all(line.startswith("install ") for line in asked)
    assert {"install curl", "install wrk", "install nghttp2-client", "install caddy"} <= set(asked)
    assert not {"install npm", "install chromium", "install default-jre-headless"} & set(asked)


def run_ci(ci: Path, *stages: str) -> subprocess.CompletedProcess[str]:
    path = f"{ci}:{os.environ['PATH']}"
    return subprocess.run(
        [ci / ".ci" / "run", *stages],
        env={"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_ci_runs_what_a_change_must_pass_or_all_or_what_is_named(ci: Path) -> None:
    def made(*stages: str) -> list[str]:
        return re.findall(r"^made ([a-z-]+)", run_ci(ci, *stages).stdout, re.MULTILINE)

    assert made("all") == stages_of_ci()
    must_pass = made()
    assert must_pass[:2] == ["lint", "test"]
    assert must_pass == [stage for stage in stages_of_ci() if stage in must_pass]
    assert not {"test-matrix", "test-pythons", "mutants"} & set(must_pass), "half an hour is all"
    assert made("lint", "test-matrix") == ["lint", "test-matrix"]
    none = run_ci(ci, "lintt")
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr.startswith(".ci/run: there is no stage lintt; ")


def test_the_push_of_the_demos_makes_a_commit_only_where_they_differ(tmp_path: Path) -> None:
    """As the workflow's step does it, with a repository on this disk in the place of GitHub's."""
    _, pack = scripts_of(FOLDER / "demos.yml", "generate")
    (step,) = scripts_of(FOLDER / "demos.yml", "push")
    remote = tmp_path / "remote"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    here = re.sub(r"https://\S+(?=\")", str(remote), step)
    assert here != step
    environ = clean_environment() | {
        "GITHUB_SHA": "abc", "GH_TOKEN": "", "GITHUB_REPOSITORY": "", "GIT_CONFIG_GLOBAL": os.devnull,
    }  # fmt: skip

    def push(content: str) -> list[str]:
        number = len(list(tmp_path.iterdir()))
        made, pushed = tmp_path / f"made{number}", tmp_path / f"pushed{number}"
        demos = made / "build" / "demos"
        demos.mkdir(parents=True)
        pushed.mkdir()
        (demos / ".gitignore").write_text("page\n")
        (demos / "page").write_text(content)
        (demos / "page").chmod(0o755)
        subprocess.run(["bash", "-eo", "pipefail", "-c", pack], cwd=made, env=environ, check=True)
        shutil.copyfile(made / "build" / "demos.bundle", pushed / "demos.bundle")
        subprocess.run(["bash", "-eo", "pipefail", "-c", here], cwd=pushed, env=environ, check=True)
        assert not list(pushed.rglob("page")), "nothing of them is a file beside the token"
        assert git(remote, "show", "demos:page") == content
        return git(remote, "log", "--format=%s", "demos").splitlines()

    assert len(push("one")) == 1
    assert len(push("one")) == 1
    assert len(push("two")) == 2
    listed = git(remote, "ls-tree", "demos").splitlines()
    assert [line.split()[0] for line in listed] == ["100644", "100755"]


@pytest.mark.parametrize(
    ("tag", "released"),
    [("v1.2.3", True), ("v10.0.12", True), ("v1.x.y", False), ("va.b.c", False)],
)
def test_a_tag_of_a_version_alone_is_a_release(tag: str, released: bool) -> None:
    """As GitHub reads a pattern: a dot is a dot, and a class with a plus as in other expressions."""
    whole = yaml.safe_load((FOLDER / "release.yml").read_text())
    (pattern,) = whole[True]["push"]["tags"]
    assert bool(re.fullmatch(pattern.replace(".", r"\."), tag)) == released


def test_the_weekly_push_replaces_its_own_branch_and_nobody_elses(tmp_path: Path) -> None:
    """As the workflow's step does it, in a clone of a repository on this disk."""
    (step,) = [text for text in scripts(FOLDER / "weekly.yml") if "git push" in text]
    seed, remote, gh = tmp_path / "seed", tmp_path / "remote", tmp_path / "programs" / "gh"
    git(tmp_path, "init", "--quiet", str(seed))
    (seed / "versions").write_text("old\n")
    git(seed, "add", "--all")
    git(seed, "commit", "--quiet", "--message", "First")
    git(tmp_path, "clone", "--quiet", "--bare", str(seed), str(remote))
    gh.parent.mkdir()
    gh.write_text('#!/bin/sh\necho "gh $*" >>"$0.calls"\ncat "$0.open"\n')
    gh.chmod(0o755)
    gh.with_name("gh.open").write_text('[{"isCrossRepository":false}]\n')
    (tmp_path / "bump").mkdir()

    def week(version: str) -> str:
        work = tmp_path / f"week{len(list(tmp_path.iterdir()))}"
        git(tmp_path, "clone", "--quiet", str(remote), str(work))
        (work / "versions").write_text(f"{version}\n")
        (tmp_path / "bump" / "changes.patch").write_text(git(work, "diff"))
        git(work, "checkout", "--quiet", ".")
        path = f"{gh.parent}{os.pathsep}{os.environ['PATH']}"
        environ = {
            **os.environ,
            "PATH": path,
            "RUNNER_TEMP": str(tmp_path),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        subprocess.run(["bash", "-eo", "pipefail", "-c", step], cwd=work, env=environ, check=True)
        return git(remote, "show", "weekly-versions:versions")

    assert week("1") == "1\n"
    assert week("2") == "2\n"
    git(seed, "fetch", "--quiet", str(remote), "weekly-versions")
    git(seed, "checkout", "--quiet", "FETCH_HEAD")
    git(seed, "commit", "--quiet", "--amend", "--message", "Mine")
    git(seed, "push", "--quiet", "--force", str(remote), "HEAD:weekly-versions")
    assert week("3") == "2\n"
    called = gh.with_name("gh.calls")
    assert "gh pr create" not in called.read_text(), "one is open"

    git(remote, "branch", "--quiet", "-D", "weekly-versions")
    gh.with_name("gh.open").write_text('[{"isCrossRepository":true}]\n')  # from a fork
    week("4")
    assert "gh pr create --head weekly-versions --title " in called.read_text()
    gh.with_name("gh.open").unlink()
    with pytest.raises(subprocess.CalledProcessError):
        week("5")
    whole = jobs(FOLDER / "weekly.yml")["propose"]["steps"][0]["with"]["fetch-depth"]
    assert whole == 0, "or more than the branch's own commits are not main's"
