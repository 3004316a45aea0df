"""Plays kubectl, and the engine that pushes an image, by state.json beside it."""

import json
import os
import re
import signal
import sys
from typing import Any, Never

folder = os.path.dirname(os.path.abspath(__file__))
path = folder + "/state.json"
with open(path) as file:
    state = json.load(file)
words = [word for word in sys.argv[1:] if not word.startswith("--namespace=")]
name = os.path.basename(__file__)
state["calls"].append(" ".join([name, *words]))
state["kubeconfig"] = os.environ.get("KUBECONFIG")


def done(status: int = 0, text: str = "", error: str = "") -> Never:
    with open(path, "w") as file:
        json.dump(state, file)
    if text:
        print(text)
    if error:
        print(error, file=sys.stderr)
    raise SystemExit(status)


def current(deployment: str) -> str:
    """The revision that it runs."""
    return str(max(map(int, state["releases"].get(deployment) or {"0": ""})))


def deployment(name: str, release: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"release-id": release}}}
    metadata = {"name": name.partition("/")[2]}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"template": template}}


interrupted = state["interrupted"]
if interrupted and interrupted in " ".join(words):
    state["interrupted"] = ""
    with open(path, "w") as file:  # before it is killed for it
        json.dump(state, file)
    os.kill(os.getppid(), signal.SIGINT)
    raise SystemExit(1)
if name in ("engine", "podman"):
    if words[:2] == ["compose", "config"]:
        web = {"image": state["image"] + ":latest"}
        done(text=json.dumps({"name": "shop", "services": {"web": web}}))
    if words[:2] == ["image", "inspect"]:
        found = {
            "Id": "sha256:built",
            "Created": "1",
            "RepoTags": [state["image"] + ":1a2b3c4d5e6f", state["image"] + ":latest"],
            "RepoDigests": [state["image"] + "@sha256:" + "9" * 64],  # Podman's, of what is built
        }
        done(text=json.dumps([found]))
    if words[:2] == ["image", "ls"]:
        done(text="sha256:built")
    if words[0] == "push":
        digest = "sha256:" + "5" * 64
        if name == "engine":
            done(text="1a2b3c4d5e6f: digest: " + digest + " size: 1234")
        (given,) = [word for word in words if word.startswith("--digestfile=")]
        with open(given.partition("=")[2], "w") as file:
            file.write(digest)
    done()
if words[0] == "kustomize":
    with open(folder + "/rendered.yaml") as file:
        done(text=file.read().rstrip("\n"))
if words[:2] == ["apply", "view-last-applied"]:
    done(text=json.dumps(state["last"].get(words[2]) or deployment(words[2], "")))
if words[:2] == ["apply", "set-last-applied"]:
    given = json.load(sys.stdin)
    state["last"]["deployment/" + given["metadata"]["name"]] = given
    done()
if words[0] == "apply":
    given = sys.stdin.read()
    kinds = re.findall(r"^kind: (\w+)$", given, re.MULTILINE)
    state["applied"].append(kinds)
    state["images"] += re.findall(r"image: (\S+)", given)
    if "Job" in kinds:
        state["job"] = "Running"
    if "Deployment" in kinds and not state["unchanged"]:
        for name in re.findall(
            r"^kind: Deployment\nmetadata:\n(?:  .*\n)*?  name: (\w+)$", given, re.MULTILINE
        ):
            name = "deployment/" + name
            (release,) = re.findall(r"^        release-id: \"(\w{12})\"$", given, re.MULTILINE)
            state["last"][name] = deployment(name, release)
            releases = state["releases"].setdefault(name, {})
            number = str(int(current(name)) + 1)
            # A revision that had the same pods gets a new number.
            state["releases"][name] = {k: v for k, v in releases.items() if v != release}
            state["releases"][name][number] = release
    if state["refused"] in kinds:  # the others are applied
        done(1, error="error: admission webhook denied the request")
    done()
if words[:2] == ["delete", "job/migrate"]:
    state["job"] = None
if words[0] == "label":
    (release,) = (word.rpartition("=")[2] for word in words if word.startswith("--selector="))
    state["succeeded"].append(release)
if words[:2] == ["get", "job/migrate"]:
    if state["job"] is None:
        done()
    shown = state["job"]
    if shown == "Running" and not state["turns"]:
        state["job"] = state["migration"]
    state["turns"] = max(state["turns"] - 1, 0)
    conditions = [{"type": shown, "status": "True"}]
    done(text=json.dumps({"status": {"conditions": conditions}}))
if words[:2] == ["get", "pods"]:
    if state["phase"] == "none":
        done(text='{"items": []}')
    if state["phase"] == "unknown" and "migrate" not in words[2]:
        done(1)
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s"}
    status = {
        "phase": state["phase"],
        "conditions": [{"type": "Ready", "status": "False", "message": "not ready: [web]"}],
        "containerStatuses": [{"state": {"waiting": waiting}}],
    }
    done(text=json.dumps({"items": [{"metadata": {"name": "web-1"}, "status": status}]}))
if words[:2] == ["get", "replicasets"]:
    component = words[2].rpartition("=")[2]
    number = "deployment.kubernetes.io/revision"
    items = [
        {
            "annotations": {number: of},
            "labels": ({"release-id": it} if it else {})
            | ({"release-succeeded": "true"} if it in state["succeeded"] else {}),
        }
        for of, it in state["releases"].get(f"deployment/{component}", {}).items()
    ]
    done(text=json.dumps({"items": [{"metadata": each} for each in items]}))
if words[:2] == ["get", "events"]:
    done(text="BackOff: restarting the failed container")
if words[0] == "logs":
    done(text="no tea today")
if words[0] == "get" and words[1] in ("deployment/web", "deployment/worker"):
    there = deployment(words[1], state["releases"][words[1]][current(words[1])])
    there["spec"]["replicas"] = 3  # of the autoscaler
    done(text=json.dumps(there))
if words[:2] == ["rollout", "undo"]:
    releases, wanted = state["releases"][words[2]], words[3].rpartition("=")[2]
    if wanted not in releases:
        done(1, error="error: unable to find specified revision in history")
    if wanted == current(words[2]):
        done(text="skipped rollback")
    # What is put back gets a new number; and for some seconds the cluster says of it what it said before.
    releases[str(int(current(words[2])) + 1)] = releases.pop(wanted)
    if words[2] in state["stuck"]:
        state["stuck"].remove(words[2])
        state["stale"].append(words[2])
if words[:2] == ["rollout", "status"]:
    if words[2] in state["stale"]:
        state["stale"].remove(words[2])
    elif words[2] not in state["stuck"] + state["lost"]:
        done()
    done(1, error="error: deployment exceeded its progress deadline")
if words[0] == "config":
    done(text="test")
done()
