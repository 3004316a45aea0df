"""Pods of a project's own manifests on the engine, behind a proxy that sends them requests while they are ready."""

import copy
import json
import os
import re
import socket
import struct
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.containers import build, docker, locked_project, require_engine
from tests.support.kubelet import Network, Pod, Rollout
from tests.support.kustomize import Object, rendered
from tests.support.server import PATIENCE, SECRET_KEY, free_port, wait_for
from tests.support.services import installed
from tests.support.sites import put_lifespan, put_site

pytestmark = pytest.mark.container

REQUESTS = 10_000
CLIENTS = 4
RATE = 25  # a second, of each
PASSWORD = "open sesame"


class Site:
    """An image of a project, its rendered manifests, a network, a database and what a Secret holds."""

    def __init__(self, folder: Path) -> None:
        project = locked_project(folder, database="postgres", kubernetes=True)
        put_site(project, "pods")
        put_lifespan(project, "slow")
        self.objects = rendered(project / "deploy" / "kubernetes" / "overlays" / "production")
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        build(project, self.name)
        self.network = Network(self.name)
        self.database = docker(
            "run", "--detach", f"--network={self.name}", "--network-alias=db", f"--env=POSTGRES_PASSWORD={PASSWORD}",
            "--env=POSTGRES_USER=ada", "--env=POSTGRES_DB=shop", "postgres:17",
        ).splitlines()[0]  # fmt: skip
        self.secret = folder / "secret"
        self.secret.mkdir()
        address = f"postgres://ada:{PASSWORD.replace(' ', '%20')}@db:5432/shop"
        for key, value in {"SECRET_KEY": SECRET_KEY, "DATABASE_URL": address}.items():
            (self.secret / key).write_text(value)
            # The kubelet gives them to the pod's group; whoever runs these tests may not be able to.
            (self.secret / key).chmod(0o444)
        self.wait_for_database()

    def wait_for_database(self) -> None:
        ask = ("exec", self.database, "pg_isready", "-h", "127.0.0.1", "-U", "ada", "-d", "shop")
        wait_for(lambda: "accepting" in docker(*ask, check=False), "the database")

    def the(self, kind: str, name: str | None = None) -> Object:
        (found,) = [
            each
            for each in self.objects
            if each["kind"] == kind
            and (name or each["metadata"]["name"]) == each["metadata"]["name"]
        ]
        return copy.deepcopy(found)

    def pod(self, template: Object, **variables: str) -> Pod:
        """A pod; `variables` as if the ConfigMap had them."""
        config = self.the("ConfigMap")
        data = config["data"] | {"__name__": config["metadata"]["name"]} | variables
        return Pod(template, data, self.secret, self.network, self.name)

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.database, check=False)
        self.network.remove()
        docker("image", "rm", "--force", self.name, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require_engine()
    site = Site(tmp_path_factory.mktemp("pods"))
    try:
        job = site.the("Job")
        migrations = site.pod(job["spec"]["template"])
        assert migrations.wait() == 0, migrations.log
        migrations.remove()
        yield site
    finally:
        site.remove()


class Names:
    """A DNS server that knows one name, of the pods that are to have requests, as of a headless Service."""

    ASKED = struct.Struct(
        ">6H"
    )  # number, flags, and how many questions, answers and others there are
    ANSWER = struct.Struct(
        ">HHHIH4s"
    )  # the question's name, type, class, seconds to keep it, length, address

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"udp/127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while True:
            asked, client = self._socket.recvfrom(512)
            if not asked:
                return
            number, *_ = self.ASKED.unpack_from(asked)
            name_and_type = asked.index(b"\0", self.ASKED.size) + 3
            of_type = asked[name_and_type - 2 : name_and_type]
            found = [
                self.ANSWER.pack(0xC00C, 1, 1, 0, 4, socket.inet_aton(each))
                for each in (self.addresses if of_type == b"\0\1" else [])
            ]
            head = self.ASKED.pack(number, 0x8580, 1, len(found), 0, 0)
            question = asked[self.ASKED.size : name_and_type + 2]
            self._socket.sendto(head + question + b"".join(found), client)

    def stop(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


class Proxy:
    """Caddy, which sends requests to the pods that a name has, on a connection for each.

    By name, since with a new configuration Caddy 2.6 may close a connection that has a request on its way.
    `retries`: whether a request whose connection is refused goes to another pod.
    """

    def __init__(self, folder: Path, *, retries: bool) -> None:
        self.port, self.admin, self.retries = free_port(), free_port(), retries
        self.log = folder / "caddy.log"
        self.names = Names()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.admin}", timeout=PATIENCE)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CADDY_ADMIN": f"127.0.0.1:{self.admin}",
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [installed(["caddy"]), "run", "--config", "-"],
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        assert self.process.stdin
        self.process.stdin.write(json.dumps(self._configuration([])).encode())
        self.process.stdin.close()
        wait_for(self._is_up, "Caddy")

    def _is_up(self) -> bool:
        try:
            return self.http.get("/config/").is_success
        except httpx.TransportError:
            return False

    def tell(self, addresses: list[str]) -> None:
        self.names.addresses = [each.partition(":")[0] for each in addresses]
        if (
            self.retries
        ):  # Caddy remembers which has failed of those alone that its configuration lists
            self.http.post("/load", json=self._configuration(addresses)).raise_for_status()

    def _configuration(self, addresses: list[str]) -> dict[str, Any]:
        handler: dict[str, Any] = {
            "handler": "reverse_proxy",
            "dynamic_upstreams": {
                "source": "a", "name": "web.test", "port": "8000", "refresh": "200ms",
                "resolver": {"addresses": [self.names.address]},
            },
            "headers": {"request": {"set": {"Host": ["example.com"], "X-Forwarded-Proto": ["https"]}}},
            "transport": {"protocol": "http", "keep_alive": {"enabled": False}, "dial_timeout": "1s"},
            "load_balancing": {"selection_policy": {"policy": "round_robin"}},
        }  # fmt: skip
        if self.retries:
            handler["load_balancing"]["try_duration"] = "10s"
            handler["health_checks"] = {"passive": {"fail_duration": "30s"}}
            del handler["dynamic_upstreams"]
            handler["upstreams"] = [{"dial": address} for address in addresses]
        server = {
            "listen": [f"127.0.0.1:{self.port}"],
            "automatic_https": {"disable": True},
            "routes": [{"handle": [handler]}],
        }
        return {
            "admin": {"listen": f"127.0.0.1:{self.admin}"},
            "apps": {"http": {"servers": {"site": server}}},
        }

    def stop(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait(PATIENCE)
        self.names.stop()

    @property
    def errors(self) -> str:
        """What Caddy says of requests that it could not pass on."""
        lines = self.log.read_text().splitlines()
        return "\n".join(line for line in lines if '"level":"error"' in line)

    def get(self, path: str) -> int:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE).status_code


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    made: list[Proxy] = []

    def start(*, retries: bool = False) -> Proxy:
        made.append(Proxy(tmp_path, retries=retries))
        return made[-1]

    yield start
    for each in made:
        each.stop()


class Load:
    """curl against the proxy, as it runs: each request on a connection of its own."""

    def __init__(self, proxy: Proxy, path: str, number: int, *options: str) -> None:
        self.proxy, self.number = proxy, number
        self.process = subprocess.Popen(
            [installed(["curl"]), "--silent", "--output", "/dev/null", "--write-out", "%{http_code}\n",
             "--header", "Connection: close", *options, f"http://127.0.0.1:{proxy.port}{path}?[1-{number}]"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def lost(self) -> int:
        """How many requests had no answer of 200; prints what they had."""
        said, _ = self.process.communicate(timeout=10 * PATIENCE)
        lost = self.number - said.split().count("200")
        if lost:
            print(Counter(said.split()), self.proxy.errors)
        return lost


class Clients:
    """Clients that send one request after another until `lost`; every other one POSTs."""

    def __init__(self, proxy: Proxy, path: str, body: Path) -> None:
        self._proxy, self._path = proxy, path
        self._loads: list[Load] = []
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        bodies = [(), ("--data-binary", f"@{body}")] * (CLIENTS // 2)
        self._clients = [self._pool.submit(self._send, *each) for each in bodies]

    def _send(self, *options: str) -> int:
        lost = 0
        while not self._over.is_set():
            load = Load(self._proxy, self._path, 100, "--rate", f"{RATE}/s", *options)
            lost += load.lost()
            self._loads.append(load)
        return lost

    @property
    def sent(self) -> int:
        return sum(load.number for load in self._loads)

    def lost(self) -> int:
        """Ends them; returns how many requests had no answer of 200."""
        self._over.set()
        self._pool.shutdown()
        return sum(each.result() for each in self._clients)


@pytest.fixture
def rollout(
    site: Site, proxy: Callable[..., Proxy]
) -> Iterator[Callable[..., tuple[Rollout, Proxy]]]:
    """Three pods that get requests: `rollout()` gives them and the proxy."""
    made: list[Rollout] = []

    def start(*, retries: bool = False) -> tuple[Rollout, Proxy]:
        before = proxy(retries=retries)
        rollout = Rollout(site.the("Deployment"), site.pod, before.tell)
        made.append(rollout)
        rollout.__enter__()
        rollout.scale(3)
        return rollout, before

    yield start
    for each in made:
        each.__exit__()


Start = Callable[..., tuple[Rollout, Proxy]]


def test_a_rolling_update_loses_no_request(site: Site, rollout: Start, tmp_path: Path) -> None:
    pods, before = rollout()
    old = {pod.id for pod in pods.pods}
    body = tmp_path / "body"
    body.write_text("tea" * 1000)
    clients = Clients(before, "/echo", body)

    template = site.the("Deployment")["spec"]["template"]
    while clients.sent < REQUESTS:  # all of them while pods are replaced
        new = pods.replace(
            template, lambda each: site.pod(each, LOG_LEVELS="home=debug"), within=120
        )
        assert new, "a new pod is not ready"

    lost = clients.lost()
    print(f"lost {lost} of {clients.sent}")
    assert lost == 0
    assert not old & {pod.id for pod in pods.pods}
    assert [pod.restarts for pod in pods.pods] == [0, 0, 0]
    assert pods.pods[0].end() < 45, "it ends by itself, within the grace"
    assert pods.pods[0].state["State"]["ExitCode"] == 0


def test_a_pod_whose_lifespan_fails_stops_the_rollout(site: Site, rollout: Start) -> None:
    pods, before = rollout()
    old = [pod.address for pod in pods.pods]
    load = Load(before, "/echo", 600, "--rate", "20/s")
    template = site.the("Deployment")["spec"]["template"]

    assert not pods.replace(template, lambda each: site.pod(each, EXIT_AT_START="yes"), within=20)

    assert load.lost() == 0
    assert pods.told == old, "the new one was never sent a request"
    *others, new = pods.pods
    assert new.restarts > 0
    assert "no tea today" in new.log
    assert all(pod.ready and pod.restarts == 0 for pod in others)


def test_a_database_that_is_gone_takes_pods_out_of_service_and_restarts_none(
    site: Site, rollout: Start
) -> None:
    pods, _ = rollout()
    docker("stop", "--time=10", site.database)

    wait_for(lambda: pods.told == [], "no pod to get requests")
    assert all(pod.answers("liveness") for pod in pods.pods)

    docker("start", site.database)
    site.wait_for_database()
    wait_for(lambda: len(pods.told) == 3, "all pods to be back")
    assert [pod.restarts for pod in pods.pods] == [0, 0, 0]


def test_a_node_that_dies_costs_no_more_than_what_its_pods_held(site: Site, rollout: Start) -> None:
    """The dead pod stays among those that get requests: so it is until the cluster misses the node."""
    pods, before = rollout(retries=True)
    clients = 30
    load = Load(before, "/wait", 600, "--parallel", "--parallel-max", str(clients))
    wait_for(lambda: len(re.findall("/wait", pods.pods[0].log)) > 5, "requests to be under way")

    pods.pods[0].kill()

    lost = load.lost()
    print(f"lost {lost} of {load.number}")
    assert lost <= clients / 3 + 2, "a third of those under way, and what came meanwhile"


def test_uploads_fail_where_no_disk_is_shared_and_all_else_can_be_written(
    site: Site, rollout: Start
) -> None:
    """Or they would be on one pod, and lost with it."""
    pods, before = rollout()
    wanted = "touch /tmp/x /var/tmp/x && ! touch /media/x 2>/dev/null && ! touch /app/x 2>/dev/null && echo right"
    assert docker("exec", pods.pods[0].id, "sh", "-c", wanted) == "right"
    assert before.get("/") == 200
    metrics = pods.pods[0].address.replace(":8000", ":9091")
    said = httpx.get(f"http://{metrics}/metrics", timeout=PATIENCE).text
    # 100 connections, 10 of them for people, for 11 pods and one more: 7 each, of which one is no thread's.
    assert "serving_threads_bound 6.0" in said
