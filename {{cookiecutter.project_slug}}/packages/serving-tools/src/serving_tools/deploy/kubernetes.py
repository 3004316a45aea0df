"""Brings a project into a Kubernetes cluster; `make k8s-render`, `k8s-validate`, `k8s-deploy` and `k8s-rollback` call it.

    python3 -m serving_tools.deploy.kubernetes render | validate | deploy | rollback [REVISION]

OVERLAY names a folder of deploy/kubernetes/overlays/, and kubectl knows the cluster. A deployment pushes the image
and names it by its digest; runs the migrations, in a Job, and stops where they fail; then replaces the pods, and puts
back those of before where the new ones do not become ready. With DIGEST the image is there already, as IMAGE in a
registry, and nothing is built or pushed. DRY_RUN=1 prints each command that would change something, and runs none of
them; what a rollback would put back is asked of the cluster.

https://kubernetes.io/docs/reference/kubectl/
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from serving_tools.deploy.engine import ENGINE, EngineError, ask, configuration, write_line
from serving_tools.deploy.images import Images

DRY_RUN = os.environ.get("DRY_RUN", "") not in ("", "0")
OVERLAY = os.environ.get("OVERLAY") or "production"
OVERLAYS = "deploy/kubernetes/overlays"
FOLDER = f"{OVERLAYS}/{OVERLAY}"
RENDER = ("kubectl", "kustomize", FOLDER)

# Of an image that was pushed before. An empty one is given too: a job that fails to find its digest must not build.
DIGEST = os.environ.get("DIGEST")

# What an overlay says where `deploy` is to fill in the image that it has pushed.
NO_IMAGE = re.compile(r"\S+@sha256:0{64}")

# What is applied once the migrations are done. Everything else is there before them, since their Job may need it:
# whatever makes the Secret or a volume, for one.
LATER = ("Deployment", "CronJob", "HorizontalPodAutoscaler", "Ingress", "PodDisruptionBudget")

WEB = "deployment/web"

# The label of all pods of a deployment, which is of what was applied: the cluster counts the revisions of each
# Deployment by themselves, so their numbers drift apart. What the cluster keeps of a release has a second one once
# all its pods were ready.
RELEASE = "release-id"
SUCCEEDED = "release-succeeded"
LABELS = re.compile(
    r"^(  template:\n    metadata:\n(?:      (?!labels:).*\n)*      labels:\n)", re.MULTILINE
)

VERSIONS = ("1.35", "1.36", "1.37")  # of Kubernetes, the newest that kubernetes-validate knows

# Seconds that a pod of the migrations may take to be scheduled, pulled and started; the cluster may have to add
# a node first.
START_WITHIN = 600.0
TELL_AFTER = 30.0  # what one that waits waits for: an image that can't be pulled, most often
POLL = 2.0

# Seconds until the cluster knows of an undo, and no longer says of it that the release before made no progress.
SETTLE = 10.0


class Failed(Exception):
    """It stops here; the text says why, and what to do."""


def say(line: str) -> None:
    write_line(f"k8s: {line}")


@contextlib.contextmanager
def interrupted(what: str) -> Iterator[None]:
    """Gives a Ctrl-C the words that it is told with."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(what) from None


def run(*command: str, given: str = "", check: bool = True) -> str:
    """What a command prints, whose errors go to the terminal. Raises Failed where it fails or is not installed."""
    try:
        done = subprocess.run(
            command, input=given, stdout=subprocess.PIPE, text=True, check=False, errors="replace"
        )
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}; install it, and put it into PATH") from None
    if check and done.returncode:
        raise Failed(f"`{shlex.join(command)}` failed (status {done.returncode})")
    return done.stdout


def change(*command: str, given: str = "") -> str:
    """The same, of a command that changes something: with DRY_RUN it is printed instead."""
    if DRY_RUN:
        what = f"  # {summary(given)}" if given else ""
        print(f"{shlex.join(command)}{what}")
        return ""
    return run(*command, given=given)


def summary(objects: str) -> str:
    return ", ".join(f"{kind(each)}/{name(each)}" for each in objects.split("\n---\n"))


def render() -> list[str]:
    """The objects of the overlay, each as YAML with sorted keys and nothing else: kubectl writes it so."""
    if not os.path.isfile(f"{FOLDER}/kustomization.yaml"):
        there = ", ".join(sorted(os.listdir(OVERLAYS)))
        raise Failed(f"OVERLAY={OVERLAY!r} has no {FOLDER}/kustomization.yaml; there are {there}")
    objects = run(*RENDER).rstrip("\n").split("\n---\n")
    for each in objects:
        check_label(each)
    return objects


def field(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise Failed(f"an object of OVERLAY={OVERLAY} has no line {pattern!r}")
    return found[1]


def kind(text: str) -> str:
    return field(r"^kind: (\w+)$", text)


def name(text: str) -> str:
    return field(r'^metadata:\n(?:  .*\n)*?  name: "?([^\s"]+)"?$', text)


def check_label(text: str) -> None:
    """Raises Failed where the pods of a Deployment or a Job lack the label by which they are found."""
    if kind(text) not in ("Deployment", "Job"):
        return
    label = f"app.kubernetes.io/component: {name(text)}"
    _, _, pods = text.partition("\n  template:\n")
    if not re.search(rf"^        {re.escape(label)}$", pods, re.MULTILINE):
        raise Failed(
            f"{kind(text)}/{name(text)} of OVERLAY={OVERLAY}: its pods are found by a label; give its template {label!r}"
        )


def validate() -> None:
    """Raises Failed where an object is not as the schemas of Kubernetes have it."""
    uv = os.environ.get("UV") or "uv"
    tool = (uv, "run", "--quiet", "--group", "scan", "kubernetes-validate", "--strict", "--quiet")
    with tempfile.NamedTemporaryFile("w", suffix=f"-{OVERLAY}.yaml") as file:
        file.write("\n---\n".join(render()))
        file.flush()
        if DRY_RUN:
            print(f"{shlex.join(RENDER)} > {OVERLAY}.yaml")
        for version in VERSIONS:
            where = f"{OVERLAY}.yaml" if DRY_RUN else file.name
            change(*tool, "--kubernetes-version", version, where)
            if not DRY_RUN:
                say(f"{OVERLAY} is right for Kubernetes {version}")


def way_back(release: str) -> str:
    """What puts back a release, for people who interrupt."""
    if not release:
        return "there are no pods of before that `make k8s-rollback` could put back"
    return f"`make k8s-rollback OVERLAY={OVERLAY} REVISION={release}` puts back the pods of before"


def registry_of(repository: str) -> str:
    """The registry of IMAGE. Raises Failed where it has none."""
    registry, slash, _ = repository.rpartition("/")
    if not slash:
        raise Failed(
            f"IMAGE={repository!r} names no registry that the cluster could pull from; set"
            f" IMAGE=registry.example/{repository or 'name'} in .env"
        )
    return registry


def given_image(digest: str) -> str:
    """The image of a digest. Raises Failed."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise Failed(
            f"DIGEST={digest!r} is no digest of an image; give the one that its push has named, sha256: and"
            " 64 hexadecimal digits in small letters"
        )
    # As the engine would have it of compose.yaml; but whoever only deploys needs no engine.
    repository = os.environ.get("IMAGE", "")
    registry_of(repository)
    return f"{repository}@{digest}"


def pushed_image() -> str:
    """Builds and pushes the image; returns it by its digest. Raises Failed, or EngineError."""
    images = Images(configuration())
    registry = registry_of(images.repository)
    change("make", "--no-print-directory", "build")
    if DRY_RUN:
        change(ENGINE, "push", f"{images.repository}:<commit>")
        return f"{images.repository}@<digest>"
    image = images.id_of(images.tag)
    if not image:
        raise EngineError(f"there is no image {images.name}")
    tagged = f"{images.repository}:{images.called(image)}"
    say(f"pushing {tagged}")
    digest = push(tagged)
    if not digest:
        raise Failed(
            f"`{ENGINE} push {tagged}` named no digest that {registry} gave it; where this is Podman, set ENGINE=podman"
        )
    return f"{images.repository}@{digest}"


def push(tagged: str) -> str:
    """Pushes an image; returns its digest in the registry. Podman gives one to what is built, and pushes another."""
    if os.path.basename(ENGINE).startswith("podman"):
        with tempfile.NamedTemporaryFile("r") as file:
            ask("push", f"--digestfile={file.name}", tagged, timeout=3600)
            return file.read().strip()
    found = re.search(r"digest: (sha256:[0-9a-f]{64})", ask("push", tagged, timeout=3600))
    return found[1] if found else ""


def labelled(objects: list[str]) -> tuple[str, list[str]]:
    """The release that these objects are, and the objects, of which each pod of a Deployment has its label."""
    text = "\n---\n".join(each for each in objects if kind(each) == "Deployment")
    release = hashlib.sha256(text.encode()).hexdigest()[:12]
    label = f'        {RELEASE}: "{release}"\n'
    return release, [
        LABELS.sub(rf"\g<1>{label}", each) if kind(each) == "Deployment" else each
        for each in objects
    ]


class Revision(NamedTuple):
    """What the cluster keeps of a Deployment, by the number that it gives it."""

    number: int
    release: str
    succeeded: bool


class Cluster:
    """A namespace of the cluster that kubectl knows."""

    def __init__(self, objects: list[str]) -> None:
        self.release, self.objects = labelled(objects)
        self.namespace = name(next(each for each in objects if kind(each) == "Namespace"))
        self.kubectl = ("kubectl", f"--namespace={self.namespace}")

    def of_kind(self, *kinds: str, other: bool = False) -> list[str]:
        return [each for each in self.objects if (kind(each) in kinds) is not other]

    def apply(self, objects: Iterable[str]) -> None:
        change(*self.kubectl, "apply", "--filename=-", given="\n---\n".join(objects))

    def deployments(self) -> list[str]:
        """Their names, the servers last: nothing may enqueue what no worker knows."""
        names = (f"deployment/{name(each)}" for each in self.of_kind("Deployment"))
        return sorted(names, key=lambda each: each == WEB)

    def migrate(self) -> None:
        """Runs the Job of the migrations. Raises Failed where it fails, or its pod does not start."""
        for job in map(name, self.of_kind("Job")):
            # A Job can't be changed; and one that is still at it must not have a second beside it.
            if not DRY_RUN and self._state_of(job) == "running":
                raise Failed(
                    f"job/{job} runs already: wait for it, or end it with"
                    f" `{shlex.join(self.kubectl)} delete job/{job}`"
                )
            change(*self.kubectl, "delete", f"job/{job}", "--ignore-not-found")
            self.apply(each for each in self.of_kind("Job") if name(each) == job)
            if DRY_RUN:
                change(*self.kubectl, "wait", "--for=condition=complete", f"job/{job}")
                continue
            state = self._end_of(job)
            if state == "complete":
                continue
            self.explain(job)
            if state == "running":  # or it would migrate later, when nobody looks on
                change(*self.kubectl, "delete", f"job/{job}", "--ignore-not-found")
                raise Failed(
                    f"no pod of job/{job} has started within {START_WITHIN:g} s, so it is deleted; it did nothing,"
                    " and the pods stay as they are"
                )
            raise Failed("the migrations failed; the pods stay as they are")

    def _end_of(self, job: str) -> str:
        """The state in which a Job ends; "running" where no pod of it has started in time."""
        started = time.monotonic()
        told = False
        while (state := self._state_of(job)) == "running":
            phases = {pod["status"].get("phase") for pod in self._pods(job)}
            waited = time.monotonic() - started
            if not phases & {"Running", "Succeeded", "Failed"}:
                if waited > START_WITHIN:
                    break
                if waited > TELL_AFTER and not told:
                    say(f"job/{job} waits for its pod to start, {START_WITHIN:g} s at most")
                    self.explain(job)
                    told = True
            time.sleep(POLL)
        return state

    def _state_of(self, job: str) -> str:
        """Of a Job: "complete", "failed", "running" or "none"."""
        found = run(*self.kubectl, "get", f"job/{job}", "--ignore-not-found", "--output=json")
        if not found.strip():
            return "none"
        conditions = json.loads(found).get("status", {}).get("conditions", [])
        ended = {each["type"].lower() for each in conditions if each["status"] == "True"}
        return next((each for each in ("complete", "failed") if each in ended), "running")

    def roll_out(self) -> None:
        """Replaces the pods. Raises Failed where they do not become ready, once those of before are back."""
        before = {each: self._current(each) for each in self.deployments()}
        with interrupted(
            f"what was changed goes on in the cluster; {way_back(before[WEB].release)}"
        ):
            try:
                for each in self.deployments():
                    self.apply(
                        it for it in self.of_kind("Deployment") if each == f"deployment/{name(it)}"
                    )
                    self._wait_for(each)
                self.apply(self.of_kind(*LATER[1:]))
                of_release = f"--selector={RELEASE}={self.release}"
                mark = (f"{SUCCEEDED}=true", "--overwrite")
                change(*self.kubectl, "label", "replicasets", of_release, *mark)
            except Failed as error:  # also where kubectl has applied all but one object
                say(str(error))
                # The failed pods are gone once those of before are back.
                for each in self.deployments():
                    self.explain(each.partition("/")[2])
                ends = [self._put_back(*item) for item in reversed(before.items())]
                raise Failed(
                    f"the deployment failed; {'; '.join(ends)}; what else was applied stays as it is"
                ) from None

    def _revisions(self, deployment: str) -> list[Revision]:
        """Those that the cluster has of a Deployment, in any order."""
        selector = f"--selector=app.kubernetes.io/component={deployment.partition('/')[2]}"
        found = run(*self.kubectl, "get", "replicasets", selector, "--output=json")
        each_metadata = [each["metadata"] for each in json.loads(found or "{}").get("items", [])]
        return [
            Revision(
                int(each["annotations"]["deployment.kubernetes.io/revision"]),
                each["labels"].get(RELEASE, ""),
                SUCCEEDED in each["labels"],
            )
            for each in each_metadata
        ]

    def _current(self, deployment: str) -> Revision:
        """What a Deployment runs, which has the highest number; 0 where there is none yet, and in a dry run."""
        if DRY_RUN:
            return Revision(0, "", succeeded=False)
        return max(self._revisions(deployment), default=Revision(0, "", succeeded=False))

    def _put_back(self, deployment: str, before: Revision) -> str:
        """Puts back what a Deployment ran; returns what came of it."""
        if not before.number:
            return f"{deployment} ran nothing before"
        try:
            if self._current(deployment).number == before.number:
                return f"{deployment} is what it was"
            self.undo(deployment, before.number)
        except Failed as error:
            return f"{error}: {deployment} is not what it was"
        return f"the pods of {deployment} of before are back"

    def _wait_for(self, deployment: str) -> None:
        """Raises Failed where a rollout makes no progress for its progressDeadlineSeconds."""
        change(*self.kubectl, "rollout", "status", deployment)

    def undo(self, deployment: str, number: int) -> None:
        """Puts back a Deployment's pods of a revision. Raises Failed where there are none, or they fail too."""
        change(*self.kubectl, "rollout", "undo", deployment, f"--to-revision={number}")
        # kubectl takes away what it has applied, and no longer finds in a file; of what an undo brings back it knows
        # nothing, and the next deployment would keep it.
        set_applied = ("apply", "set-last-applied", "--filename=-", "--create-annotation")
        change(*self.kubectl, *set_applied, given="" if DRY_RUN else self._undone(deployment))
        try:
            self._wait_for(deployment)
        except Failed as error:
            say(f"{error}; it is asked again, as this may be of the release before")
            time.sleep(SETTLE)
            self._wait_for(deployment)

    def _undone(self, deployment: str) -> str:
        """What was applied last, with the pods that are there now."""
        output = "--output=json"
        applied = json.loads(run(*self.kubectl, "apply", "view-last-applied", deployment, output))
        there = json.loads(run(*self.kubectl, "get", deployment, output))
        applied["spec"]["template"] = there["spec"]["template"]
        return json.dumps(applied)

    def release_of(self, wanted: str = "") -> tuple[str, dict[str, int]]:
        """A release, and its revision of each Deployment, servers first, by a revision of the servers or its own name.

        Without one it is the last that succeeded and that they do not run. Raises Failed where there is none.
        """
        names = self.deployments()[::-1]
        kept = {each: self._revisions(each) for each in names}
        known = sorted(each for each in kept[WEB] if each.release)
        if wanted:
            fit = [each for each in known if wanted in (str(each.number), each.release)]
        else:
            # Where a deployment was interrupted, some run the release of before still: all go back to it.
            running = {max(each).release for each in kept.values() if each}
            fit = [each for each in known if each.succeeded and {each.release} != running]
        if not fit:
            what = "such revision" if wanted else "other revision that succeeded"
            there = ", ".join(str(each.number) for each in known) or "none"
            raise Failed(
                f"REVISION={wanted!r}: {WEB} has no {what} of `make k8s-deploy`; there are {there}"
            )
        target = fit[-1]
        found = {WEB: target.number}
        for each in names[1:]:
            same = [it for it in kept[each] if it.release == target.release]
            if not same:
                raise Failed(
                    f"{each} has no pods of release {target.release}, as {WEB} has; all stay"
                )
            found[each] = max(same).number
        return target.release, found

    def _pods(self, component: str) -> list[dict[str, Any]]:
        selector = f"--selector=app.kubernetes.io/component={component}"
        found = json.loads(run(*self.kubectl, "get", "pods", selector, "--output=json") or "{}")
        return list(found.get("items", []))

    def explain(self, component: str) -> None:
        """Prints the cluster's warnings, and of each pod that is not ready why, and the end of its log.

        Raises nothing, since what is to be undone is undone after it.
        """
        try:
            self._warn_of(component)
            for pod in self._pods(component):
                self._explain_pod(pod)
        except (Failed, ValueError, LookupError, TypeError, AttributeError) as error:
            say(f"why {component} failed can't be told: {error}")

    def _explain_pod(self, pod: dict[str, Any]) -> None:
        status, pod_name = pod["status"], pod["metadata"]["name"]
        conditions = {each["type"]: each for each in status.get("conditions", [])}
        if conditions.get("Ready", {}).get("status") == "True":
            return
        why = [each.get("message") for each in conditions.values() if each["status"] != "True"]
        for container in status.get("containerStatuses", []):
            for state in (container.get("state", {}), container.get("lastState", {})):
                for word in ("waiting", "terminated"):
                    found = state.get(word, {})
                    why += [found.get("reason"), found.get("message")]
        say(f"pod {pod_name} is not ready: {'; '.join(dict.fromkeys(filter(None, why)))}")
        self._warn_of(pod_name)
        write_line(run(*self.kubectl, "logs", pod_name, "--tail=20", check=False).rstrip())

    def _warn_of(self, object_name: str) -> None:
        warnings = f"--field-selector=involvedObject.name={object_name},type=Warning"
        message = '--output=jsonpath={range .items[*]}{.reason}{": "}{.message}{"\\n"}{end}'
        told = run(*self.kubectl, "get", "events", warnings, message, check=False)
        for line in told.splitlines()[-3:]:
            say(f"  {line}")


def deploy() -> None:
    objects = render()
    wanted = {image for each in objects for image in NO_IMAGE.findall(each)}
    if DIGEST is not None and not wanted:
        raise Failed(
            f"DIGEST={DIGEST!r}: {FOLDER} names an image itself; give no DIGEST, or write a digest of 64 zeros there"
        )
    if wanted:
        image = pushed_image() if DIGEST is None else given_image(DIGEST)
        objects = [NO_IMAGE.sub(image, each) for each in objects]
    cluster = Cluster(objects)
    context = run("kubectl", "config", "current-context", check=False).strip() or "none"
    say(f"to namespace {cluster.namespace} of context {context}")
    cluster.apply(cluster.of_kind(*LATER, "Job", other=True))
    cluster.migrate()
    cluster.roll_out()
    if not DRY_RUN:
        say(
            f"{', '.join(cluster.deployments())} run {image if wanted else 'the image of the overlay'}"
        )


def rollback(wanted: str = "") -> None:
    cluster = Cluster(render())
    release, revisions = cluster.release_of(wanted)
    with interrupted(f"what was changed goes on in the cluster; {way_back(release)}"):
        for each, number in revisions.items():
            try:
                cluster.undo(each, number)
            except Failed as error:
                # The worker after the servers, of which those that serve may still be of the newer release.
                cluster.explain(each.partition("/")[2])
                raise Failed(
                    f"{error}: {each} does not run release {release}; what comes after it stays as it is"
                ) from None
    if not DRY_RUN:
        say(
            "the pods of before are back; the database stays as it is, with every migration that it has"
        )


def main(command: str, *arguments: str) -> int:
    try:
        if command == "render" and DRY_RUN:
            change(*RENDER)
        elif command == "render":
            print("\n---\n".join(render()))
        else:
            {"validate": validate, "deploy": deploy, "rollback": rollback}[command](*arguments)
    except (Failed, EngineError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt as error:
        say(f"interrupted: {str(error) or 'no pod was replaced; a Job that has begun goes on'}")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
