"""`make plan` against a server: what it says a pod answers at most is what one measures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run, Serve, bake_site, with_packages
from tests.support.services import installed

SECONDS = 0.3  # that the view of tests/sites/pods.py takes, nearly all of it asleep
PODS, THREADS, CONNECTIONS = 3, 8, 55


@pytest.fixture(scope="module")
def waiting_project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    return bake_site(tmp_path_factory.mktemp("plan"), run, "pods")


def planned(project: Path) -> dict[str, str]:
    """The rows of a plan for fifty such views a second."""
    asked = {"REQUESTS": "50", "VIEW_MS": str(SECONDS * 1000), "CPU_MS": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "serving_tools.deploy.plan"], cwd=project, check=True, capture_output=True,
        text=True, env=with_packages(project, asked | {"CONNECTIONS": str(CONNECTIONS)}),
    )  # fmt: skip
    return dict(re.findall(r"^(\w[\w ]*?) {2,}(.*?)(?: {2,}.*)?$", done.stdout, re.MULTILINE))


def test_a_pod_answers_as_many_as_planned(waiting_project: Path, serve: Serve) -> None:
    rows = planned(waiting_project)
    assert (rows["pods"], rows["threads"]) == (str(PODS), f"{THREADS} a pod")
    promised = float(rows["at most"].split()[0]) / PODS

    server = serve(waiting_project, SERVING_THREADS=str(THREADS)).ready()
    said = subprocess.run(
        [installed(["h2load"]), "--h1", "-n160", "-c16", f"{server.address}/wait"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip

    assert "160 2xx" in said
    measured = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", said)
    assert measured, said
    print(f"planned {promised:.1f} a second, measured {measured[1]}")
    assert 0.75 * promised < float(measured[1]) < 1.05 * promised
