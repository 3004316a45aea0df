"""Plays kubectl, and the engine that pushes an image, by state.json beside it."""

import json
import os
import re
import signal
import sys
from typing import Never

folder = os.path.dirname(os.path.abspath(__file__))
path = folder + "/state.json"
with open(path) as file:
    state = json.load(file)
words = [word for word in sys.argv[1:] if not word.startswith("--namespace=")]
name = os.path.basename(__file__)
state["calls"].append(" ".join([name, *words]))


def done(status: int = 0, text: str = "", error: str = "") -> Never:
    with open(path, "w") as file:
        json.dump(state, file)
    if text:
        print(text)
    if error:
        print(error, file=sys.stderr)
    raise SystemExit(status)


interrupted = state["interrupted"]
if interrupted and interrupted in " ".join(words):
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
if words[0] == "apply":
    given = sys.stdin.read()
    kinds = re.findall(r"^kind: (\w+)$", given, re.MULTILINE)
    state["applied"].append(kinds)
    state["images"] += re.findall(r"image: (\S+)", given)
    if "Job" in kinds:
        state["job"] = "Running"
    if "Deployment" in kinds and not state["unchanged"]:
        found = state["revisions"]
        for name in re.findall(
            r"^kind: Deployment\nmetadata:\n(?:  .*\n)*?  name: (\w+)$", given, re.MULTILINE
        ):
            name = "deployment/" + name
            found[name] = str(int(found.get(name, "0")) + 1)
            (release,) = re.findall(r"^        release-id: \"(\w{12})\"$", given, re.MULTILINE)
            state["releases"].setdefault(name, {})[found[name]] = release
    if state["refused"] in kinds:  # the others are applied
        done(1, error="error: admission webhook denied the request")
    done()
if words[:2] == ["delete", "job/migrate"]:
    state["job"] = None
elif words[0] == "delete":
    component, _, of = words[1].partition("/")[2].rpartition("-")
    del state["releases"][f"deployment/{component}"][of]
if words[:2] == ["get", "job/migrate"]:
    if state["job"] is None:
        done()
    shown = state["job"]
    state["job"] = state["migration"] if shown == "Running" else shown
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
            "name": f"{component}-{of}",
            "annotations": {number: of},
            "labels": {"release-id": it} if it else {},
        }
        for of, it in state["releases"].get(f"deployment/{component}", {}).items()
    ]
    done(text=json.dumps({"items": [{"metadata": each} for each in items]}))
if words[:2] == ["get", "events"]:
    done(text="BackOff: restarting the failed container")
if words[0] == "logs":
    done(text="no tea today")
if words[0] == "get" and words[1] in ("deployment/web", "deployment/worker"):
    done(text=state["revisions"].get(words[1], ""))
if words[:2] == ["rollout", "undo"]:
    state["stuck"] = [each for each in state["stuck"] if each != words[2]]
    releases = state["releases"].get(words[2], {})
    now, before = str(int(state["revisions"][words[2]]) + 1), words[3].rpartition("=")[2]
    state["revisions"][words[2]] = now  # what is put back gets a new number
    releases[now] = releases.pop(before, "")
if words[:2] == ["rollout", "status"] and words[2] in state["stuck"]:
    done(1, error="error: deployment exceeded its progress deadline")
if words[0] == "config":
    done(text="test")
done()
