"""Does on a container engine what Kubernetes does with a pod: from its manifest alone, as rendered.

A Pod has exactly the manifest's user, root, capabilities, resources, environment, volumes and arguments; its probes
come by the pod's address as Host; its end is preStop, TERM, grace and KILL. A Rollout replaces pods as a Deployment
does, and tells a proxy which are ready.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

from tests.support.containers import docker, free_network
from tests.support.kustomize import Object
from tests.support.server import wait_for

LAG = 1.0  # seconds until those who send requests know that a pod is to have none
BACK_OFF = 10.0  # seconds before a container that ended is started again

UNITS = {"Ki": "k", "Mi": "m", "Gi": "g"}


def size(text: str) -> str:
    """An amount as the engine writes it: "16Mi" is "16m"."""
    return re.sub(r"[KMG]i$", lambda unit: UNITS[unit[0]], text)


class Network:
    """A network of the pods' own; pods can be reached from here by their addresses."""

    def __init__(self, name: str) -> None:
        self.name = name
        docker("network", "create", f"--subnet={free_network()}.0/24", name)

    def remove(self) -> None:
        docker("network", "rm", self.name, check=False)


class Pod:
    """One pod of a manifest. `config` and `secret`: what its ConfigMap and its Secret hold."""

    def __init__(
        self, template: Object, config: dict[str, str], secret: Path, network: Network, image: str
    ) -> None:
        self.spec = template["spec"]
        (self.container,) = self.spec["containers"]
        assert self.container["envFrom"] == [{"configMapRef": {"name": config["__name__"]}}]
        own = {each["name"]: each["value"] for each in self.container.get("env", [])}
        self.variables = {k: v for k, v in config.items() if k != "__name__"} | own
        self.secret, self.network, self.image = secret, network, image
        self.ready = self.started = self.ending = False
        self.restarts = 0
        self.id = docker(
            "run", "--detach", *self._options(), image, *self._arguments()
        ).splitlines()[0]
        self._look()
        self.prober = threading.Thread(target=self._probe, daemon=True)
        self.prober.start()

    def _options(self) -> list[str]:
        pod, own = self.spec["securityContext"], self.container["securityContext"]
        limits = self.container["resources"]["limits"]
        assert pod["runAsNonRoot"]
        assert own["allowPrivilegeEscalation"] is False
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, "the engine's own"
        return [
            f"--network={self.network.name}",
            f"--user={pod['runAsUser']}:{pod['runAsGroup']}",
            f"--group-add={pod['fsGroup']}",
            *(["--read-only"] if own["readOnlyRootFilesystem"] else []),
            *(f"--cap-drop={name}" for name in own["capabilities"]["drop"]),
            "--security-opt=no-new-privileges",
            f"--memory={size(limits['memory'])}",
            f"--memory-swap={size(limits['memory'])}",
            f"--cpus={limits['cpu']}",
            *(f"--env={name}={value}" for name, value in self.variables.items()),
            *(self._mount(each) for each in self.container["volumeMounts"]),
        ]

    def _mount(self, mount: Object) -> str:
        (volume,) = [each for each in self.spec["volumes"] if each["name"] == mount["name"]]
        path, only = mount["mountPath"], ":ro" if mount.get("readOnly") else ""
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o440, "for the pod's group"
            return f"--volume={self.secret}:{path}{only}"
        empty = volume["emptyDir"]
        if empty.get("medium") == "Memory":
            return f"--tmpfs={path}:size={size(empty['sizeLimit'])},mode=1777"
        if only:
            return f"--tmpfs={path}:ro"
        # The kubelet's is everybody's to write to; the engine's is as the image has the folder.
        return f"--mount=type=volume,destination={path}"

    def _arguments(self) -> list[str]:
        return list(self.container.get("args", []))

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", self.id))[0]
        return found

    def _look(self) -> None:
        """Learns the process and the address that it has since it was started; asked of the engine once."""
        found = self.state
        self.process = Path("/proc", str(found["State"]["Pid"]))
        network = found["NetworkSettings"]["Networks"][self.network.name]
        self.address = f"{network['IPAddress']}:8000"

    @property
    def running(self) -> bool:
        return self.process.name != "0" and self.process.exists()

    @property
    def log(self) -> str:
        return docker("logs", self.id)

    def answers(self, kind: str) -> bool:
        """Whether a probe succeeds. A redirect does not: the kubelet follows one to the same host, where none leads."""
        probe = self.container[f"{kind}Probe"]
        asked = HTTPConnection(self.address, timeout=probe["timeoutSeconds"])
        try:
            asked.request("GET", probe["httpGet"]["path"])
            return 200 <= asked.getresponse().status < 300
        except (HTTPException, OSError):
            return False
        finally:
            asked.close()

    def _probe(self) -> None:
        """The kubelet's loop: starts a container that ended again, and asks its three probes."""
        if "startupProbe" not in self.container:
            return
        failed = dict.fromkeys(("startup", "readiness", "liveness"), 0)
        due = dict.fromkeys(failed, 0.0)
        while not self.ending:
            time.sleep(0.2)
            if not self.running:
                self._restart(BACK_OFF)
                failed = dict.fromkeys(failed, 0)
            for kind in ("readiness", "liveness") if self.started else ("startup",):
                probe = self.container[f"{kind}Probe"]
                if time.monotonic() < due[kind] or self.ending:
                    continue
                due[kind] = time.monotonic() + probe["periodSeconds"]
                failed[kind] = 0 if self.answers(kind) else failed[kind] + 1
                is_bad = failed[kind] >= probe["failureThreshold"]
                if kind == "startup" and not failed[kind]:
                    self.started = True
                elif kind == "readiness" and (is_bad or not failed[kind]):
                    self.ready = not is_bad and not self.ending
                elif kind != "readiness" and is_bad:
                    self._restart(0)

    def _restart(self, after: float) -> None:
        self.started = self.ready = False
        self.restarts += 1
        deadline = time.monotonic() + after
        while time.monotonic() < deadline and not self.ending:
            time.sleep(0.2)
        if not self.ending:
            docker("restart", f"--time={self.spec['terminationGracePeriodSeconds']}", self.id)
            self._look()

    def wait(self) -> int:
        """Waits for the end of a pod that is to end by itself; returns the exit status."""
        wait_for(lambda: not self.running, "the end of the pod")
        return int(self.state["State"]["ExitCode"])

    def end(self) -> float:
        """preStop, TERM, and KILL where the grace is over; returns how many seconds it took."""
        begun = time.monotonic()
        self.ending, self.ready = True, False
        grace = self.spec["terminationGracePeriodSeconds"]
        time.sleep(self.container["lifecycle"]["preStop"]["sleep"]["seconds"])
        left = grace - (time.monotonic() - begun)
        docker("stop", f"--time={int(left)}", self.id)
        return time.monotonic() - begun

    def kill(self) -> None:
        """As a node that dies takes its pods."""
        self.ending = True
        docker("kill", "--signal=KILL", self.id)

    def remove(self) -> None:
        self.ending = True
        self.prober.join(60)
        docker("rm", "--force", "--volumes", self.id, check=False)


class Rollout:
    """The pods of a Deployment, and the list of those that are ready, which a proxy is told."""

    def __init__(
        self, deployment: Object, make: Callable[[Object], Pod], tell: Callable[[list[str]], None]
    ) -> None:
        self.deployment, self.make, self.tell = deployment, make, tell
        self.pods: list[Pod] = []
        self.told: list[str] = []
        self._ends: list[threading.Thread] = []
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join(60)
        self._wait_for_ends()
        for pod in self.pods:
            pod.ending = True
        for pod in self.pods:
            pod.remove()

    def _watch(self) -> None:
        """What endpoints do: who sends requests is told a little later than a pod knows."""
        while not self._over.wait(0.2):
            now = [pod.address for pod in list(self.pods) if pod.ready]
            if now != self.told:
                time.sleep(LAG)
                self.told = now
                self.tell(now)

    def scale(self, number: int) -> None:
        """Starts so many pods, and waits until they get requests."""
        self.pods += [self.make(self.deployment["spec"]["template"]) for _ in range(number)]

        def ready() -> bool:
            ended = [pod.log for pod in self.pods if pod.restarts]
            assert not ended, ended[0]
            return len(self.told) == number

        wait_for(ready, f"{number} ready pods")

    def replace(self, template: Object, make: Callable[[Object], Pod], *, within: float) -> bool:
        """Replaces all pods as the Deployment's strategy says; False where it stops, as a new one is not ready."""
        spec = self.deployment["spec"]
        assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        for old in list(self.pods):
            new = make(template)
            self.pods.append(new)
            deadline = time.monotonic() + within
            while not (new.ready and new.address in self.told):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.2)
            time.sleep(spec["minReadySeconds"])
            self.pods.remove(old)
            # The cluster does not wait for its end before the next new one starts.
            self._ends.append(threading.Thread(target=self._end, args=[old]))
            self._ends[-1].start()
        self._wait_for_ends()
        return True

    @staticmethod
    def _end(pod: Pod) -> None:
        pod.end()
        pod.remove()

    def _wait_for_ends(self) -> None:
        for each in self._ends:
            each.join()
