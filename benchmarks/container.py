"""The image's budgets, measured: its size, its memory, and how long it takes to build, start and stop.

What each answer, and the extra of the object store, adds to the size is measured beside the default's.

    .venv/bin/python -m benchmarks.container

Needs a container engine and an otherwise idle machine. Prints each figure beside its limit, and ends
with status 1 where one is over it. Times are the best of five rounds, for what else the machine does
only adds to them; the README holds the limits, too.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.conftest import questions
from tests.support.containers import Container, build, docker, locked_project
from tests.support.server import SECRET_KEY, wait_for

ROUNDS = 5
TAG = "benchmark-container"
BASE = f"python:{questions()['python_version'][0]}-slim-trixie"
VOLUME = "benchmark-container"

LIMITS = {
    "added on top of the base image, MB": 77.0,
    "rebuild after an edit of a view, s": 5.0,
    "container start to first 200 on /readyz, s": 2.0,
    "memory of an idle container, MB": 100.0,
    "docker stop of an idle container, s": 1.0,
}

WHOLE = "the whole image, MB"
ANEW = "build without cached layers, s"  # measured once

# The answers, the EXTRAS, and what they may add to the size of the default image, MB.
ADDED: dict[str, tuple[dict[str, str], str, float]] = {
    "database=postgres": ({"database": "postgres"}, "", 13.5),
    "cache=valkey": ({"cache": "valkey"}, "", 7.5),
    "tasks=database": ({"tasks": "database"}, "", 4.0),
    "telemetry=sentry": ({"telemetry": "sentry"}, "", 7.0),
    "telemetry=opentelemetry": ({"telemetry": "opentelemetry"}, "", 11.0),
    "EXTRAS=s3": ({}, "s3", 28.0),
}


def size(image: str) -> float:
    """An image's size in MB, as `docker images` gives it."""
    bytes_: int = json.loads(docker("image", "inspect", image))[0]["Size"]
    return bytes_ / 1e6


def rebuild(project: Path) -> float:
    """Seconds that the build takes after an edit of a view."""
    views = project / "home" / "views.py"
    views.write_text(views.read_text() + f"\n# {time.monotonic()}\n")
    began = time.monotonic()
    build(project, TAG)
    return time.monotonic() - began


def start_and_stop() -> tuple[float, float, float]:
    """Seconds to the first 200 on /readyz, megabytes when idle, seconds to stop."""
    began = time.monotonic()
    container = Container(TAG, f"--volume={VOLUME}:/data")
    try:
        address = container.address

        def answers() -> bool:
            try:
                return httpx.get(f"{address}/readyz", verify=False).status_code == 200  # noqa: S501
            except httpx.TransportError:
                return False

        wait_for(answers, "readyz")
        started = time.monotonic() - began
        time.sleep(3)  # until it is idle
        stats = json.loads(docker("stats", "--no-stream", "--format=json", container.id))
        number, unit = (
            stats["MemUsage"].split("/")[0].strip()[:-3],
            stats["MemUsage"].split("/")[0].strip()[-3:],
        )
        assert unit == "MiB", stats
        began = time.monotonic()
        docker("stop", container.id)
        return started, float(number) * 1.048576, time.monotonic() - began
    finally:
        container.remove()


def added_by(answers: dict[str, str], extras: str) -> float:
    """The size in MB of the image that these give."""
    with tempfile.TemporaryDirectory() as folder:
        project = locked_project(Path(folder), **answers)
        try:
            docker("build", f"--build-arg=EXTRAS={extras}", f"--tag={TAG}-added", project)
            return size(f"{TAG}-added")
        finally:
            docker("image", "rm", "--force", f"{TAG}-added", check=False)


def engine_answers() -> bool:
    return not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode


def measure_default() -> dict[str, float]:
    """What is measured of the image of a project with the default answers: the figures of LIMITS, and its size."""
    with tempfile.TemporaryDirectory() as folder:
        project = locked_project(Path(folder))
        began = time.monotonic()
        build(project, TAG, "--no-cache")
        anew = time.monotonic() - began
        docker(
            "run", "--rm", f"--volume={VOLUME}:/data", f"--env=SECRET_KEY={SECRET_KEY}", TAG,
            "python", "manage.py", "migrate", "--verbosity=0",
        )  # fmt: skip
        try:
            whole = size(TAG)
            rounds = [start_and_stop() for _ in range(ROUNDS)]
            figures = [
                whole - size(BASE),
                best(lambda: rebuild(project)),
                *(min(column) for column in zip(*rounds, strict=True)),
            ]
        finally:
            docker("volume", "rm", "--force", VOLUME)
            docker("image", "rm", "--force", TAG)
    return {**dict(zip(LIMITS, figures, strict=True)), WHOLE: whole, ANEW: anew}


def best(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(ROUNDS))


def main() -> None:
    """Measures all, prints a table, and ends with status 1 where a limit is passed."""
    if not engine_answers():
        sys.exit("no container engine answers: nothing is measured")
    measured = measure_default()
    default = measured.pop(WHOLE)
    print(f"{ANEW:45} {measured.pop(ANEW):6.2f}")
    figures = list(measured.values())
    limits = LIMITS | {f"added by {what}, MB": limit for what, (*_, limit) in ADDED.items()}
    figures += [added_by(answers, extras) - default for answers, extras, _ in ADDED.values()]
    over = False
    for (what, limit), figure in zip(limits.items(), figures, strict=True):
        over = over or figure > limit
        print(f"{what:45} {figure:6.2f}  at most {limit:g}{'  OVER' if figure > limit else ''}")
    sys.exit(over)


if __name__ == "__main__":
    main()
