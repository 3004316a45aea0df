"""A small runner of what a project's CI files say: GitHub's workflows and GitLab's pipeline, job by job.

It knows a few actions (ACTIONS) and expressions, those that the files have; another one is a mistake of the test.
"""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PIPELINE = ".gitlab-ci.yml"
WORKFLOWS = Path(".github", "workflows")


class Job(NamedTuple):
    """A job: where it stands, and its steps. GitLab's script is one step."""

    file: str
    name: str
    steps: list[dict[str, Any]]
    variables: dict[str, str]


def read(path: Path) -> dict[Any, Any]:
    """A file of YAML. PyYAML takes the key `on` for true."""
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in loaded.items()}


def workflows(project: Path) -> dict[str, dict[Any, Any]]:
    """GitHub's workflows of a project, by file."""
    return {path.name: read(path) for path in sorted((project / WORKFLOWS).glob("*.yml"))}


def jobs(project: Path) -> Iterator[Job]:
    """Every job of a project's CI that has steps."""
    for file, workflow in workflows(project).items():
        shell = workflow.get("defaults", {}).get("run", {}).get("shell")
        for name, job in workflow["jobs"].items():
            if "steps" in job:
                steps = [{"shell": shell, **step} for step in job["steps"]]
                yield Job(file, name, steps, workflow.get("env", {}) | job.get("env", {}))
    if (project / PIPELINE).exists():
        yield from pipeline(read(project / PIPELINE))


def pipeline(loaded: Mapping[str, Any]) -> Iterator[Job]:
    """GitLab's jobs, with what they extend. Artifacts are those of an action before the script, and behind it."""
    for name, job in loaded.items():
        if isinstance(job, dict) and "script" in job:
            parents = job.get("extends", [])
            names = [parents] if isinstance(parents, str) else parents
            chain = [loaded["default"], *(loaded[parent] for parent in names), job]
            variables = dict(loaded["variables"])
            before: list[str] = []
            for each in chain:
                variables |= each.get("variables", {})
                before = each.get("before_script", before)
            needed = [
                {"uses": "actions/download-artifact", "with": {"name": need}}
                for need in job.get("needs", [])
            ]
            kept = [
                {"uses": "actions/upload-artifact", "with": {"name": name, "path": path}}
                for path in job.get("artifacts", {}).get("paths", [])
            ]
            script = {"run": "\n".join([*before, *job["script"]]), "shell": "bash"}
            yield Job(PIPELINE, name, [*needed, script, *kept], variables)


def job(project: Path, file: str, name: str) -> Job:
    """One of them."""
    (found,) = [each for each in jobs(project) if (each.file, each.name) == (file, name)]
    return found


def make_targets(step: Mapping[str, Any]) -> list[str]:
    """The Make targets that a step runs."""
    return re.findall(r'^make ([a-z0-9-]+)(?: "?[A-Z]+=\S+)*$', step.get("run", ""), re.MULTILINE)


Action = Callable[[Mapping[str, Any], "Runner"], None]


class Runner:
    """Runs the steps of a job in a checkout, as a runner of GitHub or GitLab does: each in a Bash of its own."""

    def __init__(
        self,
        checkout: Path,
        variables: Mapping[str, str],
        context: Mapping[str, str] | None = None,
        actions: Mapping[str, Action] | None = None,
    ) -> None:
        self.checkout = checkout
        self.variables = dict(variables)  # of the machine
        temporary = str(checkout.parent)
        self.variables["RUNNER_TEMP"] = temporary
        self.context = {"runner.temp": temporary, **(context or {})}  # what expressions stand for
        self.actions = actions or {}
        self.ran: list[str] = []
        self.said = ""

    def run(self, job: Job, forced: Mapping[str, str] | None = None) -> int:
        """The exit status of the first step that fails, or 0. Forced variables win over those of the job."""
        for step in job.steps:
            if not self.holds(step.get("if", "")):
                continue
            if "uses" in step:
                self.use(step)
                continue
            own = {name: self.expanded(text) for name, text in step.get("env", {}).items()}
            variables = {name: self.of_gitlab(value) for name, value in job.variables.items()}
            if status := self.shell(step, {**variables, **own, **(forced or {})}):
                return status
        return 0

    def holds(self, condition: str) -> bool:
        """Whether a step's `if` has it run, after steps that have all succeeded."""
        if found := re.fullmatch(r"hashFiles\('([\w./-]+)'\) != ''", condition):
            return (self.checkout / found[1]).is_file()
        if found := re.fullmatch(r"([\w.]+) == '(\w+)'", condition):
            return self.context[found[1]] == found[2]
        return {"": True, "failure()": False}[condition]

    def use(self, step: Mapping[str, Any]) -> None:
        """Does what an action would have done for the steps that follow."""
        name = step["uses"].partition("@")[0]
        inputs = {key: self.expanded(str(value)) for key, value in step.get("with", {}).items()}
        self.actions[name](inputs, self)

    def shell(self, step: Mapping[str, Any], variables: Mapping[str, str]) -> int:
        """Runs the commands of a step. What it writes to GITHUB_OUTPUT becomes part of the context."""
        output = self.checkout.parent / "output"
        output.write_text("")
        files = {
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.checkout.parent / "summary"),
        }
        # GitHub adds pipefail to a shell that is named alone; GitLab always.
        pipefail = ["-o", "pipefail"] if step["shell"] == "bash" else []
        done = subprocess.run(
            ["bash", "-e", *pipefail, "-c", step["run"]], cwd=self.checkout,
            env={**self.variables, **files, **variables}, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.ran.append(step["run"])
        self.said += done.stdout
        for line in output.read_text().splitlines():
            key, _, value = line.partition("=")
            self.context[f"steps.{step['id']}.outputs.{key}"] = value
        return done.returncode

    def expanded(self, text: str) -> str:
        """A text with GitHub's expressions replaced."""
        return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: self.context[found[1]], text)

    def of_gitlab(self, text: str) -> str:
        """A variable of a job with those that GitLab sets in it."""
        return re.sub(r"\$(CI_\w+)", lambda found: self.variables[found[1]], text)
