"""The figures that a live server gives to Prometheus: Granian's own, and those of each worker."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Run, Serve
from tests.support.server import PATIENCE, Server, free_ports, listens, wait_for
from tests.support.sites import put_site


@pytest.fixture
def ports() -> int:
    """The first of four ports in a row that nobody listens on."""
    return free_ports(4)


def figures(port: int) -> dict[str, float]:
    """What is served there, by name; the figures of several workers are added up."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text + "\n"):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def test_a_worker_serves_the_figures_of_its_threads(
    project: Path, serve: Serve, ports: int
) -> None:
    put_site(project, "waiting")
    variables = {"GRANIAN_METRICS_ENABLED": "true", "GRANIAN_METRICS_PORT": str(ports)}
    server = serve(project, **variables, SERVING_THREADS="4", GRANIAN_METRICS_SCRAPE_INTERVAL="1")
    server.ready().wait_for_log(f"metrics at http://127.0.0.1:{ports + 1}/metrics")
    server.get("/")
    idle = figures(ports + 1)
    assert idle["serving_threads_bound"] == 4
    assert idle["serving_threads_busy"] == idle["serving_threads_queued"] == 0
    assert idle["serving_threads_idle"] >= 1
    assert idle["process_resident_memory_bytes"] > 0, "the client library's own"

    with ThreadPoolExecutor(7) as clients:
        answers = [clients.submit(server.get, "/wait/") for _ in range(7)]
        wait_for(lambda: figures(ports + 1)["serving_threads_busy"] == 4, "four busy threads")
        wait_for(lambda: figures(ports + 1)["serving_threads_queued"] == 3, "three waiting calls")
        server.get("/open/")
        assert {answer.result().status_code for answer in answers} == {200}
    wait_for(lambda: figures(ports + 1)["serving_threads_busy"] == 0, "no busy thread")

    wait_for(
        lambda: figures(ports).get("granian_requests_handled_total", 0) >= 9,
        "Granian's own figures",
    )
    assert not listens(ports + 2)
    assert server.get("/metrics").status_code == 404, "the site's own port has none"
    assert server.stop() == 0
    assert not listens(ports + 1)


def listening_workers(server: Server) -> set[int]:
    """The processes that have said where their figures are."""
    return {r["process.pid"] for r in server.records if r["message"].startswith("metrics at ")}


def test_each_worker_has_its_port_and_hands_it_on(project: Path, serve: Serve, ports: int) -> None:
    variables = {"GRANIAN_METRICS_ENABLED": "true", "GRANIAN_METRICS_PORT": str(ports)}
    server = serve(project, **variables, GRANIAN_WORKERS="2", GRANIAN_RESPAWN_INTERVAL="2")
    server.ready(2)
    for port in (ports + 1, ports + 2):
        server.wait_for_log(f":{port}/metrics")
    assert len(listening_workers(server)) == 2

    server.signal(signal.SIGHUP)
    server.wait_for_log('"Stopped old worker-', 2)
    for port in (ports + 1, ports + 2):
        server.wait_for_log(f":{port}/metrics", 2)
        assert figures(port)["serving_threads_bound"] > 0
    assert len(listening_workers(server)) == 4
    assert not listens(ports + 3)
    assert server.stop() == 0


@pytest.mark.parametrize("enabled", [True, False])
def test_no_worker_is_forked_beside_the_threads_that_count(
    project: Path, serve: Serve, run: Run, ports: int, enabled: bool
) -> None:
    """A worker that was forked while one of them held a lock never answered: one of 70 starts."""
    put_site(project, "waiting")
    variables = {
        "GRANIAN_METRICS_ENABLED": str(enabled).lower(),
        "GRANIAN_METRICS_PORT": str(ports),
    }
    server = serve(project, **variables).ready()
    started = next(r for r in server.records if r["message"] == "Started worker-1")
    command = Path(f"/proc/{started['process.pid']}/cmdline").read_text()
    default = "import multiprocessing; print(multiprocessing.get_start_method())"
    method = run(project, "python", "-c", default).stdout.strip()
    assert ("spawn_main" in command) == enabled, "else it is forked"
    assert server.get("/").status_code == 200
    assert server.get("/method/").text == method, "an app's own stay as they are"
    assert server.stop() == 0


def test_metrics_are_off_unless_asked_for(project: Path, serve: Serve, ports: int) -> None:
    server = serve(project, GRANIAN_METRICS_PORT=str(ports)).ready()
    assert not listens(ports)
    assert not listens(ports + 1)
    assert server.stop() == 0


@pytest.mark.parametrize("port", ["99999", "65535"])
def test_a_port_that_leaves_none_for_the_workers_is_an_error_that_names_it(
    project: Path, serve: Serve, port: str
) -> None:
    server = serve(
        project,
        GRANIAN_METRICS_ENABLED="true",
        GRANIAN_METRICS_ADDRESS="127.0.0.1",
        GRANIAN_METRICS_PORT=port,
    )
    assert server.wait() == 1
    assert f"GRANIAN_METRICS_PORT='{port}': Must be from 1 to 65534." in server.log
