"""`make k8s-deploy` and its like against a cluster that a program plays, and `make plan`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Run, clean_environment, with_packages
from tests.support.command import UV
from tests.support.kustomize import by_python
from tests.support.sites import program
from tests.template.test_kubernetes import NEWEST

TOOLS = "packages/serving-tools/src"
DIGEST = f"reg.example/shop@sha256:{'5' * 64}"


class Played:
    """A project, and programs that play kubectl and an engine for it."""

    def __init__(self, folder: Path, project: Path) -> None:
        self.project = project
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name in ("kubectl", "engine", "podman"):
            played = self.programs / name
            played.write_text(f"#!{sys.executable} -IS\n{program('fake_kubectl')}")
            played.chmod(0o755)
        self.overlay("production")
        self.state: dict[str, Any] = {
            "calls": [], "applied": [], "images": [], "job": None, "turns": 0, "migration": "Complete", "stuck": [],
            "releases": {"deployment/web": {"4": "before"}, "deployment/worker": {"4": "before"}},
            "succeeded": ["before"], "unchanged": False, "stale": [], "lost": [], "last": {},
            "image": "reg.example/shop", "phase": "Running", "refused": "", "interrupted": "", "kubeconfig": "",
        }  # fmt: skip

    def overlay(self, name: str) -> None:
        """What kubectl would render."""
        objects = by_python(self.project / "deploy" / "kubernetes" / "overlays" / name)
        (self.programs / "rendered.yaml").write_text(yaml.safe_dump_all(objects))

    def run(self, *command: str, **variables: str) -> tuple[int, str]:
        """The exit status of a command, and what it says; `state` is what came of it."""
        self.begin()
        done = subprocess.run(
            command, cwd=self.project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            env=clean_environment()
            | {"PATH": f"{self.programs}:{os.environ['PATH']}", "ENGINE": str(self.programs / "engine")}
            | variables,
        )  # fmt: skip
        self.end()
        return done.returncode, done.stdout

    def begin(self) -> None:
        """Gives the programs their state."""
        (self.programs / "state.json").write_text(json.dumps(self.state))

    def end(self) -> None:
        """Takes up what has become of it."""
        self.state = json.loads((self.programs / "state.json").read_text())

    def waits(self, **seconds: float) -> None:
        """Makes it wait so long."""
        tool = self.project / TOOLS / "serving_tools" / "deploy" / "kubernetes.py"
        for name, value in seconds.items():
            text, number = re.subn(
                rf"^{name} = [\d.]+", f"{name} = {value}", tool.read_text(), flags=re.MULTILINE
            )
            assert number == 1
            tool.write_text(text)

    def running(self) -> list[str]:
        """The release that servers and workers run."""
        every = self.state["releases"]
        return [every[f"deployment/{name}"][max(every[f"deployment/{name}"], key=int)]
                for name in ("web", "worker")]  # fmt: skip

    def undone(self) -> list[str]:
        return [call for call in self.state["calls"] if call.startswith("kubectl rollout undo")]

    def tool(self, *arguments: str, **variables: str) -> tuple[int, str]:
        return self.run(sys.executable, "-I", TOOLS, "deploy.kubernetes", *arguments, **variables)


@pytest.fixture
def played(tmp_path: Path, kubernetes_project: Path) -> Played:
    project = shutil.copytree(kubernetes_project, tmp_path / "project")
    # The build is another test's.
    (project / "Makefile").write_text(
        f"build:\n\t@echo built\n\n{(project / 'Makefile').read_text()}"
    )
    text = (project / "Makefile").read_text()
    (project / "Makefile").write_text(text.replace("\nbuild: export", "\nold-build: export").replace(
        "\nbuild: .env", "\nold-build: .env"
    ))  # fmt: skip
    (project / ".env").write_text("SECRET_KEY=x\n")
    (project / "uv.lock").touch()
    found = Played(tmp_path, project)
    found.waits(POLL=0.1, SETTLE=0.1)
    return found


def test_a_deployment_pushes_migrates_and_then_replaces_by_digest(played: Played) -> None:
    rendered = played.programs / "rendered.yaml"
    rendered.write_text(
        f"{rendered.read_text()}---\nkind: ExternalSecret\nmetadata:\n  name: app\n"
    )
    make = ["make", f"UV={UV}", "k8s-deploy"]
    status, said = played.run(*make)

    assert status == 0, said
    first, job, worker, web, rest = played.state["applied"]
    # The Job may need whatever the overlay adds, such as what fetches its Secret.
    assert set(first) == {
        "Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy", "Service", "ExternalSecret"
    }  # fmt: skip
    assert (job, worker, web) == (["Job"], ["Deployment"], ["Deployment"])
    assert set(rest) == {"Ingress", "CronJob", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    # A task that no worker knows would be enqueued.
    waits = [call for call in played.state["calls"] if call.startswith("kubectl rollout status")]
    # However many pods there are: a rollout that makes progress goes on.
    assert waits == [f"kubectl rollout status deployment/{name}" for name in ("worker", "web")]
    deleted = played.state["calls"].index("kubectl delete job/migrate --ignore-not-found")
    assert deleted < played.state["calls"].index("kubectl rollout status deployment/web")
    assert set(played.state["images"]) == {DIGEST}
    assert "to namespace my-project-production of context test" in said
    assert "engine push reg.example/shop:1a2b3c4d5e6f" in played.state["calls"]


def test_the_digest_is_the_one_that_podman_has_pushed(played: Played) -> None:
    status, said = played.tool("deploy", ENGINE=str(played.programs / "podman"))
    assert status == 0, said
    assert set(played.state["images"]) == {DIGEST}


def test_nothing_is_replaced_where_the_migrations_fail(played: Played) -> None:
    played.state["migration"] = "Failed"
    status, said = played.tool("deploy")
    assert status == 1
    assert len(played.state["applied"]) == 2
    assert "no tea today" in said
    assert said.splitlines()[-1] == "k8s: the migrations failed; the pods stay as they are"


def test_migrations_that_run_already_are_left_alone(played: Played) -> None:
    played.state |= {"job": "Running", "migration": "Running"}
    status, said = played.tool("deploy")
    assert status == 1
    assert "delete job/migrate`" in said
    assert not [call for call in played.state["calls"] if call.startswith("kubectl delete")]


def test_a_rollout_that_fails_is_undone_and_says_why(played: Played) -> None:
    played.state["stuck"] = ["deployment/web"]
    status, said = played.tool("deploy")
    assert status == 1
    # The servers first, as they enqueue what the worker of before may not know.
    assert played.undone() == [
        f"kubectl rollout undo deployment/{name} --to-revision=4" for name in ("web", "worker")
    ]
    for words in ("CrashLoopBackOff; back-off 10s", "BackOff: restarting", "no tea today"):
        assert words in said
    assert said.splitlines()[-1].startswith("k8s: the deployment failed; ")
    for name in ("web", "worker"):
        assert f"the pods of deployment/{name} of before are back" in said.splitlines()[-1]


@pytest.mark.parametrize(
    "state",
    [
        {"refused": "Ingress"},  # kubectl goes on with the other objects
        {"stuck": ["deployment/web"], "phase": "unknown"},  # nobody can tell of the pods
    ],
)
def test_a_failure_is_undone_whatever_else_fails(played: Played, state: dict[str, Any]) -> None:
    played.state |= state
    status, said = played.tool("deploy")
    assert status == 1
    for name in ("web", "worker"):
        undone = f"kubectl rollout undo deployment/{name} --to-revision=4"
        assert undone in played.state["calls"], said
        assert f"the pods of deployment/{name} of before are back" in said.splitlines()[-1]


@pytest.mark.parametrize("phase", ["Pending", "none"])
def test_migrations_that_do_not_start_are_taken_back(played: Played, phase: str) -> None:
    """Else they would run later, beside the servers of before and whatever is deployed next."""
    played.waits(START_WITHIN=0.0)
    played.state |= {"migration": "Running", "phase": phase}
    status, said = played.tool("deploy")
    assert status == 1
    assert "no pod of job/migrate has started within 0 s" in said.splitlines()[-1]
    assert "BackOff: restarting" in said, "the warnings of the Job"
    assert played.state["calls"][-1] == "kubectl delete job/migrate --ignore-not-found"
    assert len(played.state["applied"]) == 2


def test_migrations_that_wait_to_start_say_why(played: Played) -> None:
    """Ten minutes are long for an image that nobody can pull; but a node may come yet."""
    played.waits(TELL_AFTER=0.0)
    played.state |= {"phase": "Pending", "turns": 2}
    status, said = played.tool("deploy")
    assert status == 0, said
    assert said.count("job/migrate waits for its pod to start, 600 s at most") == 1
    for words in ("CrashLoopBackOff; back-off 10s", "BackOff: restarting"):
        assert words in said


def test_migrations_that_run_are_waited_for(played: Played) -> None:
    played.waits(START_WITHIN=0.0)
    played.state["migration"] = "Running"
    played.state["interrupted"] = "get pods"
    status, said = played.tool("deploy")
    assert status == 130, said
    assert said.splitlines()[-1].startswith("k8s: interrupted: no pod was replaced")


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ({"releases": {}}, "deployment/web ran nothing before"),
        # An undo would bring back the release before it, as when the database is gone.
        ({"unchanged": True}, "deployment/web is what it was"),
    ],
)
def test_what_is_not_of_this_deployment_is_not_undone(
    played: Played, state: dict[str, Any], end: str
) -> None:
    played.state |= state | {"stuck": ["deployment/web"]}
    status, said = played.tool("deploy")
    assert status == 1
    assert end in said.splitlines()[-1]
    assert not played.undone()


def test_a_digest_of_the_overlay_is_kept(played: Played) -> None:
    """So it is where something deploys from git."""
    rendered = played.programs / "rendered.yaml"
    rendered.write_text(rendered.read_text().replace("0" * 64, "7" * 64))
    status, _ = played.tool("deploy")
    assert status == 0
    assert {image[-64:] for image in played.state["images"]} == {"7" * 64}
    assert not [call for call in played.state["calls"] if call.startswith("engine")]


GIVEN = "sha256:" + "7" * 64


@pytest.mark.parametrize("dry", ["", "1"])
def test_an_image_that_was_pushed_is_deployed_by_its_digest(played: Played, dry: str) -> None:
    (played.project / ".env").write_text("SECRET_KEY=x\nIMAGE=reg.example/tea/shop\n")
    make = ["make", f"UV={UV}", f"DRY_RUN={dry}", f"DIGEST={GIVEN}", "k8s-deploy"]
    status, said = played.run(*make, ENGINE="no-engine")
    assert status == 0, said
    assert "built" not in said
    assert "push" not in said
    if dry:
        assert {call.split()[1] for call in played.state["calls"]} == {"kustomize", "config"}
    else:
        assert set(played.state["images"]) == {f"reg.example/tea/shop@{GIVEN}"}
        assert said.splitlines()[-1].endswith(f" run reg.example/tea/shop@{GIVEN}")


@pytest.mark.parametrize("dry", ["", "1"])
@pytest.mark.parametrize(
    "digest",
    [
        "",  # of a job that has failed to find it: it must not build
        GIVEN[:-1], GIVEN + "7", GIVEN + "\n", GIVEN.upper(), GIVEN.removeprefix("sha256:"), "1.2.3",
        f"reg.example/tea/shop@{GIVEN}", "sha256:<digest>", GIVEN.replace("sha256", "sha512"),
    ],
)  # fmt: skip
def test_a_digest_that_is_none_changes_nothing(played: Played, digest: str, dry: str) -> None:
    given = {"DIGEST": digest, "IMAGE": "reg.example/tea/shop", "DRY_RUN": dry}
    status, said = played.tool("deploy", **given)
    assert (status, said) == (
        1,
        f"k8s: DIGEST={digest!r} is no digest of an image; give the one that its push has named,"
        " sha256: and 64 hexadecimal digits in small letters\n",
    )
    assert {call.split()[1] for call in played.state["calls"]} == {"kustomize"}


def test_make_passes_on_a_digest_that_is_empty(played: Played) -> None:
    status, said = played.run("make", f"UV={UV}", "DIGEST=", "k8s-deploy")
    assert status != 0
    assert "k8s: DIGEST='' is no digest of an image" in said
    assert "built" not in said


def test_a_digest_needs_the_name_of_its_image(played: Played) -> None:
    status, said = played.tool("deploy", DIGEST=GIVEN, IMAGE="")
    assert status == 1
    assert said.startswith(
        "k8s: IMAGE='' names no registry that the cluster could pull from; set IMAGE=registry.example/name "
    )
    assert not played.state["applied"]


def test_a_digest_beside_that_of_the_overlay_is_refused(played: Played) -> None:
    rendered = played.programs / "rendered.yaml"
    rendered.write_text(rendered.read_text().replace("0" * 64, "8" * 64))
    status, said = played.tool("deploy", DIGEST=GIVEN, IMAGE="reg.example/tea/shop")
    assert (status, said) == (
        1,
        f"k8s: DIGEST='{GIVEN}': deploy/kubernetes/overlays/production names an image itself;"
        " give no DIGEST, or write a digest of 64 zeros there\n",
    )
    assert not played.state["applied"]


def test_a_dry_run_changes_nothing(played: Played) -> None:
    make = [
        "make",
        f"UV={UV}",
        "DRY_RUN=1",
        "k8s-deploy",
        "k8s-render",
        "k8s-validate",
    ]
    status, said = played.run(*make)
    assert status == 0, said
    asked = {call.split()[1] for call in played.state["calls"]}
    assert asked <= {"kustomize", "config", "compose"}
    for words in ("make --no-print-directory build", "push", "Job/migrate",
                  "kubectl kustomize deploy/kubernetes/overlays/production > production.yaml",
                  "--kubernetes-version 1.37 production.yaml"):  # fmt: skip
        assert words in said


def test_a_dry_run_makes_no_file(played: Played) -> None:
    for name in (".env", "uv.lock"):
        (played.project / name).unlink()
    status, said = played.run("make", f"UV={UV}", "DRY_RUN=1", "k8s-deploy")
    assert status != 0
    assert ".env is not there; `make .env` writes one" in said
    for name in (".env", "uv.lock"):
        assert not (played.project / name).exists()


# What the cluster has of a project whose worker was deployed later, and stayed as it was for some time.
DRIFTED: dict[str, Any] = {
    "releases": {
        "deployment/web": {"6": "", "7": "first", "8": "second", "9": "third"},
        "deployment/worker": {"2": "first", "3": "second", "4": "third"},
    },
    "succeeded": ["first", "second", "third"],
}


@pytest.mark.parametrize(
    ("asked", "web", "worker"), [("", "8", "3"), ("7", "7", "2"), ("first", "7", "2")]
)
def test_a_rollback_goes_to_one_release(played: Played, asked: str, web: str, worker: str) -> None:
    """Each Deployment has revisions of its own."""
    make = ["make", f"UV={UV}", f"REVISION={asked}", "OVERLAY=staging", "k8s-rollback"]
    played.overlay("staging")
    played.state |= DRIFTED
    status, said = played.run(*make)
    assert status == 0, said
    assert played.undone() == [
        f"kubectl rollout undo deployment/web --to-revision={web}",
        f"kubectl rollout undo deployment/worker --to-revision={worker}",
    ]
    assert "the database stays as it is" in said


@pytest.mark.parametrize("asked", ["", "7", "first", "99"])
def test_a_dry_rollback_says_what_the_true_one_does(played: Played, asked: str) -> None:
    played.state |= DRIFTED
    dry, planned = played.tool("rollback", *asked.split(), DRY_RUN="1")
    assert {call.split()[1] for call in played.state["calls"]} == {"kustomize", "get"}
    status, said = played.tool("rollback", *asked.split())
    assert dry == status
    undone = [line for line in planned.splitlines() if "rollout undo" in line]
    assert [
        line.replace("--namespace=my-project-production ", "") for line in undone
    ] == played.undone()
    assert undone or planned == said


def test_a_rollback_that_fails_leaves_the_worker_and_says_why(played: Played) -> None:
    """The servers that still serve enqueue what only the newer worker knows."""
    played.state |= DRIFTED | {"stuck": ["deployment/web"], "lost": ["deployment/web"]}
    status, said = played.tool("rollback")
    assert status == 1
    assert played.undone() == ["kubectl rollout undo deployment/web --to-revision=8"]
    assert "no tea today" in said
    assert said.splitlines()[-1].endswith(
        ": deployment/web does not run release second; what comes after it stays as it is"
    )


@pytest.mark.parametrize(
    "secret",
    [
        "apiVersion: v1\ndata:\n  name: aHVudGVyMmFi\nkind: Secret\nmetadata:\n  name: app\n",
        'apiVersion: v1\ndata:\n  password: aHVudGVyMmFi\nkind: Secret\nmetadata:\n  name: "1234"\n',
        "data:\n  password: aHVudGVyMmFi\nkind: Secret\nmetadata:\n  labels:\n    name: x\n",
    ],
    ids=["a key called name", "a name of digits", "no name"],
)
@pytest.mark.parametrize("dry", ["", "1"])
def test_a_secret_of_the_overlay_reaches_no_terminal(played: Played, secret: str, dry: str) -> None:
    rendered = played.programs / "rendered.yaml"
    rendered.write_text(f"{rendered.read_text()}---\n{secret}")
    _, said = played.tool("deploy", DRY_RUN=dry)
    assert "aHVudGVyMmFi" not in said


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_pods_that_would_not_be_found_are_refused(played: Played, kind: str) -> None:
    rendered = played.programs / "rendered.yaml"
    text = rendered.read_text()
    name = {"Deployment": "web", "Job": "migrate"}[kind]
    own = re.search(
        rf"^[^-]*?^kind: {kind}\nmetadata:\n(?:  .*\n)*?  name: {name}\n", text, re.MULTILINE
    )
    assert own
    rendered.write_text(
        text.replace(own[0], own[0].replace(f"  name: {name}\n", "  name: other\n"))
    )
    status, said = played.tool("deploy")
    assert (status, said) == (
        1,
        f"k8s: {kind}/other of OVERLAY=production: its pods are found by a label;"
        " give its template 'app.kubernetes.io/component: other'\n",
    )
    assert not played.state["applied"]


@pytest.mark.parametrize(
    ("asked", "end"),
    [
        ("5", "REVISION='5': deployment/web has no such revision of `make k8s-deploy`; there are 7, 8, 9"),
        ("6", "REVISION='6': deployment/web has no such revision of `make k8s-deploy`; there are 7, 8, 9"),
        ("v1", "REVISION='v1': deployment/web has no such revision of `make k8s-deploy`; there are 7, 8, 9"),
        ("8", "deployment/worker has no pods of release second, as deployment/web has; all stay"),
    ],
)  # fmt: skip
def test_a_rollback_to_what_is_not_there_changes_nothing(
    played: Played, asked: str, end: str
) -> None:
    released = DRIFTED["releases"] | {"deployment/worker": {"4": "third"}}
    played.state |= DRIFTED | {"releases": released}
    status, said = played.tool("rollback", asked)
    assert (status, said) == (1, f"k8s: {end}\n")
    assert not [call for call in played.state["calls"] if call.startswith("kubectl rollout")]


def release_after(played: Played, digit: str, status: int = 0) -> str:
    """The release of a deployment of some image."""
    given = {"DIGEST": f"sha256:{digit * 64}", "IMAGE": "reg.example/shop"}
    found, said = played.tool("deploy", **given)
    assert found == status, said
    return str(
        played.state["last"]["deployment/web"]["spec"]["template"]["metadata"]["labels"][
            "release-id"
        ]
    )


def test_a_rollback_goes_to_what_succeeded(played: Played) -> None:
    played.state |= {"releases": {}, "stuck": ["deployment/web"]}
    release_after(played, "1", status=1)  # with nothing before it, it stays
    played.state["stuck"] = []
    good = release_after(played, "2")
    status, said = played.tool("rollback")
    assert (status, said) == (
        1,
        "k8s: REVISION='': deployment/web has no other revision that succeeded of `make k8s-deploy`; there are 1, 2\n",
    )
    better = release_after(played, "3")
    played.state["stuck"] = ["deployment/web"]
    release_after(played, "4", status=1)
    assert played.running() == [better, better]
    status, said = played.tool("rollback")
    assert status == 0, said
    assert played.running() == [good, good]


def test_a_rollback_leaves_a_release_that_was_restarted(played: Played) -> None:
    """`kubectl rollout restart` makes a revision of the same release."""
    played.state |= DRIFTED
    for number, name in (("10", "web"), ("5", "worker")):
        played.state["releases"][f"deployment/{name}"][number] = "third"
    status, said = played.tool("rollback")
    assert status == 0, said
    assert played.running() == ["second", "second"]


ROLLS = {"interrupted": "rollout status deployment/worker"}
REPLACED = {"interrupted": "rollout status deployment/web"}


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (ROLLS, True), (ROLLS, False), (REPLACED, True), (REPLACED, False),
        ({"interrupted": "label replicasets"}, True),
        # While it finds out why, and puts back.
        *(
            ({"interrupted": at, "stuck": ["deployment/web"]}, True)
            for at in ("get pods --selector=app.kubernetes.io/component=web", "undo deployment/web",
                       "undo deployment/worker", "set-last-applied")
        ),
    ],
)  # fmt: skip
def test_who_interrupts_a_deployment_learns_what_undoes_it(
    played: Played, state: dict[str, Any], named: bool
) -> None:
    played.overlay("staging")
    played.state |= DRIFTED | state
    status, said = played.tool("deploy", OVERLAY="staging")
    assert status == 130, said
    told = re.search(r"`(make k8s-rollback OVERLAY=staging REVISION=\w+)`", said.splitlines()[-1])
    assert told, said
    words = told[1].split() if named else ["make", "k8s-rollback", "OVERLAY=staging"]
    status, said = played.run(*words, f"UV={UV}")
    assert status == 0, said
    assert played.running() == ["third", "third"]


def test_who_interrupts_a_rollback_learns_what_ends_it(played: Played) -> None:
    played.state |= DRIFTED | {"interrupted": "rollout status deployment/web"}
    status, said = played.tool("rollback")
    assert status == 130, said
    assert "`make k8s-rollback OVERLAY=production REVISION=second`" in said.splitlines()[-1]
    status, said = played.tool("rollback", "second")
    assert status == 0, said
    assert played.running() == ["second", "second"]


def test_who_interrupts_the_first_deployment_is_told_that_nothing_was_before(
    played: Played,
) -> None:
    played.state |= {"releases": {}, "interrupted": "rollout status"}
    status, said = played.tool("deploy")
    assert status == 130, said
    assert "there are no pods of before" in said.splitlines()[-1]


@pytest.mark.parametrize("by", ["deploy", "rollback"])
def test_kubectl_knows_what_an_undo_has_brought_back(played: Played, by: str) -> None:
    """Else the next deployment keeps what its own file no longer has."""
    played.state |= DRIFTED
    release_after(played, "1")
    played.state["stuck"] = ["deployment/web"] if by == "deploy" else []
    status, said = played.tool(by)
    assert status == (1 if by == "deploy" else 0), said
    for name, release in zip(("web", "worker"), played.running(), strict=True):
        # The number of pods is not of what was applied: the next would reset it.
        assert played.state["last"][f"deployment/{name}"]["spec"] == {
            "template": {"metadata": {"labels": {"release-id": release}}}
        }


def test_an_undo_that_fails_too_is_told(played: Played) -> None:
    played.state |= {"stuck": ["deployment/web"], "lost": ["deployment/web"]}
    status, said = played.tool("deploy")
    assert status == 1
    assert "deployment/web is not what it was" in said.splitlines()[-1]
    assert "the pods of deployment/worker of before are back" in said.splitlines()[-1]


def test_what_is_missing_or_wrong_is_said_in_one_line(played: Played) -> None:
    status, said = played.tool("render", OVERLAY="test")
    assert (status, said) == (
        1,
        "k8s: OVERLAY='test' has no deploy/kubernetes/overlays/test/kustomization.yaml; there are production, staging\n",
    )
    played.state["image"] = "shop"
    status, said = played.tool("deploy")
    assert status == 1
    assert "set IMAGE=registry.example/shop in .env" in said
    (played.programs / "kubectl").unlink()
    status, said = played.tool("render", PATH=str(played.programs))
    assert said == "k8s: kubectl: No such file or directory; install it, and put it into PATH\n"


def test_it_validates_against_the_newest_versions(kubernetes_project: Path) -> None:
    text = (kubernetes_project / TOOLS / "serving_tools/deploy/kubernetes.py").read_text()
    assert f"VERSIONS = {tuple(NEWEST)!r}".replace("'", '"') in text


# make plan


def plan(project: Path, *variables: str) -> tuple[int, str]:
    make = ["make", "--no-print-directory", f"UV={UV}", *variables, "plan"]
    done = subprocess.run(
        make, cwd=project, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_plan_has_pods_threads_and_connections(kubernetes_project: Path) -> None:
    asked = ("REQUESTS=2000", "VIEW_MS=20", "CPU_MS=2")
    status, said = plan(kubernetes_project, *asked, "CONNECTIONS=100", "WORKER_REPLICAS=")
    rows = [line.split() for line in said.splitlines()]
    assert (status, [row[:2] for row in rows[1:4]]) == (
        0, [["pods", "6"], ["threads", "10"], ["connections", "98"]],
    )  # fmt: skip
    _, said = plan(kubernetes_project, *asked, "CONNECTIONS=50", "WORKER_REPLICAS=")
    assert "PgBouncer: max_client_conn = 98, default_pool_size = 40" in said
    # Forty connections, at 0.7, have 28 seconds of each second for 2,000 requests.
    assert "enough while a request's transactions take 14 ms at most" in said
    # Background tasks have sixteen, two workers' and four tasks' each.
    _, said = plan(kubernetes_project, *asked, "CONNECTIONS=120")
    assert re.search(r"^connections +114 ", said, re.MULTILINE), said
    _, said = plan(kubernetes_project, *asked, "CONNECTIONS=106", "WORKER_REPLICAS=0")
    assert re.search(r"^connections +106 ", said, re.MULTILINE), said


def test_a_plan_says_what_the_autoscaler_would_not_see(kubernetes_project: Path) -> None:
    """Views that wait: its pods would be three."""
    waits = ("REQUESTS=1000", "VIEW_MS=200", "CONNECTIONS=1000", "WORKER_REPLICAS=")
    _, said = plan(kubernetes_project, *waits, "CPU_MS=1")
    assert re.search(r"^pods +5 +minReplicas and maxReplicas in web.yaml", said, re.MULTILINE), said
    _, said = plan(kubernetes_project, *waits, "CPU_MS=20")
    assert re.search(r"^pods +29 +maxReplicas in web.yaml", said, re.MULTILINE), said


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ([], "plan: REQUESTS='' is no number above 0; try `make plan REQUESTS=2000"),
        (["REQUESTS=x", "VIEW_MS=1"], "plan: REQUESTS='x' is no number above 0"),
        (["REQUESTS=1", "VIEW_MS=nan"], "plan: VIEW_MS='nan' is no number above 0"),
        (["REQUESTS=1", "VIEW_MS=1", "CPU_MS=2"], "plan: CPU_MS=2 is more than VIEW_MS=1"),
        (["REQUESTS=1", "VIEW_MS=1", "CONNECTIONS=5"], "plan: CONNECTIONS=5 leaves none"),
    ],
)
def test_a_plan_of_nonsense_is_refused(
    kubernetes_project: Path, variables: list[str], words: str
) -> None:
    status, said = plan(kubernetes_project, *variables)
    assert status != 0
    assert said.startswith(words)


def test_a_plan_gives_pods_the_threads_that_settings_give_them(
    kubernetes_project: Path, run: Run
) -> None:
    ask = (
        "from data import connections as c; from serving_tools.deploy import plan as p;"
        "assert (c.RESERVE, c.THREADS_MAX) == (p.RESERVE, p.THREADS_MAX);"
        "assert all(c.of_tasks(r, n) == p.of_tasks(r, n) for r in (1, 2, 9) for n in (1, 4, 16));"
        "print([c.threads(n, servers=s + 1, workers=1) - p.threads_of(n, s) for n in range(5, 900, 7) for s in (1, 3, 40)])"
    )
    variables = with_packages(kubernetes_project, {"PYTHONDONTWRITEBYTECODE": "1"})
    shown = run(kubernetes_project, "python", "-c", ask, **variables).stdout
    assert set(json.loads(shown)) == {0}
