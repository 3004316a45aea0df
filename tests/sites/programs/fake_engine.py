"""Plays a container engine that keeps its containers in state.json.

`faults` there names commands that fail: what they do first, and say.
"""

import fcntl
import json
import os
import sys
import time
from typing import Never

folder = os.path.dirname(os.path.abspath(__file__))
with open(folder + "/lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    path = folder + "/state.json"
    with open(path) as file:
        state = json.load(file)
    containers = state["containers"]

    def save() -> None:
        ready = [c for c in containers.values() if c["running"] and c["ready"]]
        state["least"] = min(state["least"], len(ready))
        with open(path + ".new", "w") as new:
            json.dump(state, new)
        os.replace(path + ".new", path)

    def done(status: int = 0, text: str = "", error: str = "") -> Never:
        save()
        if text:
            print(text)
        if error:
            print(error, file=sys.stderr)
        raise SystemExit(status)

    def build(fault: str | None) -> None:
        """A build that has begun before ends, and takes the name of its image."""
        if fault == "built":
            state["tags"]["latest"] = "sha256:later"

    words = sys.argv[1:]
    name = words[1] if words[0] in ("compose", "container", "image") else words[0]
    state["calls"] = state["calls"] + [" ".join(words)]
    count = state["counts"][name] = state["counts"].get(name, 0) + 1
    if state["gone_after"] is not None and len(state["calls"]) > state["gone_after"]:
        done(1, error="Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    if name == "config":
        services = {
            "web": {"image": "shop:latest", "deploy": {"replicas": state["replicas"]}},
        }
        if state["proxy"]:
            services["proxy"] = {"environment": {"SITE_ADDRESS": state["proxy"]}}
        if any(c["service"] == "worker" for c in containers.values()):
            services["worker"] = {}
        services |= state["needed"]
        if state["needed"]:
            services["web"]["depends_on"] = {each: {} for each in state["needed"]}
        text = json.dumps({"name": "shop", "services": services})
        done(text=text.replace("$", "$$"))
    if name == "ls":
        filters = dict(w.split("=", 2)[2].split("=") for w in words if w.startswith("--filter"))
        service = filters.get("com.docker.compose.service")
        oneoff = filters.get("com.docker.compose.oneoff") == "True"
        done(
            text="\n".join(
                i
                for i, c in containers.items()
                if c["service"] == service and c["oneoff"] == oneoff
            )
        )
    if name == "inspect":
        if words[0] == "image":
            tag = words[-1].removeprefix("shop:")
            image = state["tags"].get(tag, tag)
            if not image.startswith("sha256:"):
                done(1, error="Error: No such image: " + words[-1])
            done(text=json.dumps([{"Id": image, "Config": {}}]))
        for identity in words[2:]:
            if identity not in containers:
                done(1, error="Error: No such container: " + identity)
        found = [
            {
                "Id": i,
                "Created": c["created"],
                "Image": c["image"],
                "RestartCount": c["restarts"],
                "Config": {"Env": c["env"], "Cmd": c["command"]},
                "Mounts": [],
                "State": {"Running": c["running"], "Status": c["status"], "ExitCode": 0},
            }
            for i, c in containers.items()
            if i in words[2:]
        ]
        done(text=json.dumps(found))
    if name == "tag":
        state["tags"][words[-1].removeprefix("shop:")] = words[1]
        done()
    if name == "prune":
        done(1, error="Error response from daemon: " + state["faults"]["prune"])
    if name == "run":
        fault = state["faults"].get("run")
        build(fault)
        if fault == "hangs":
            save()
            fcntl.flock(lock, fcntl.LOCK_UN)
            time.sleep(600)
        done(1 if fault == "fails" else 0)
    if name == "up":
        identity = "new" + str(count)
        fault = state["faults"].get(identity)
        build(fault)
        if "--wait" in words:  # it replaces those of another image
            for one in containers.values():
                one["image"] = state["tags"]["latest"]
            done()
        containers[identity] = {
            "service": words[-1],
            "image": state["tags"]["latest"],
            "created": time.time(),
            "restarts": 0,
            "oneoff": False,
            "running": True,
            "ready": True,
            "status": "running",
            "env": [],
            "command": [],
        }
        if fault == "full":
            containers[identity].update(running=False, ready=False, status="created")
            done(
                1,
                error="Error response from daemon: mkdir /var/lib/docker: no space left on device",
            )
        if fault == "restarts":
            containers[identity].update(restarts=3, ready=False)
        if fault == "hangs":
            containers[identity].update(ready=False)
        done()
    if name == "exec":
        c = containers.get(words[1])
        if c and state["faults"].get(words[1]) == "falls ill" and count > 3:
            c["ready"] = False
        done(0 if c and c["running"] and c["ready"] else 1, error="not ready")
    if name in ("stop", "rm"):
        identity = words[-1]
        if identity not in containers:
            done(1, error="Error: No such container: " + identity)
        if name == "stop":
            containers[identity].update(running=False, status="exited")
        else:
            del containers[identity]
            if state["faults"].get(identity) == "in progress":
                done(1, error="removal of container " + identity + " is already in progress")
        done()
    if name == "logs":
        done(text="no tea today")
    done(2, error="no such command: " + " ".join(words))
