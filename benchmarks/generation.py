"""The time that generation takes, beside other templates; the image's build and size."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import container
from benchmarks.results import Case, Sample, Samples
from tests.conftest import ROOT, clean_environment

ROUNDS = 5


def measure_templates(samples: Samples, others: list[Path]) -> None:
    """Seconds that cookiecutter takes for each, with the default answers, by turns; nothing without others."""
    if not others:
        return
    case = Case("generation", "generation", database="", concurrency=1)
    for number in range(-1, ROUNDS):  # the one before the first reads the files
        for template in [ROOT, *others]:
            own = template.resolve()
            name = "this template" if own == ROOT else "/".join(own.parts[-2:])
            if (case, name, number) not in samples.all:
                taken = generation_time(template)
                if number >= 0:
                    samples.add(Sample(case, name, number, {"seconds": taken}))


def generation_time(template: Path) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        done = subprocess.run(
            [Path(sys.executable).with_name("cookiecutter"), template.resolve(), "--no-input"],
            cwd=folder, env=clean_environment() | {"HOME": folder},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{template} gives no project with its default answers: {done.stderr.strip()}")
        return time.monotonic() - began


def measure_images(samples: Samples) -> None:
    """The figures of benchmarks/container.py, where a container engine answers."""
    case = Case("image", "image", database="", concurrency=1)
    if (case, "the default project", 0) in samples.all:
        return
    if not container.engine_answers():
        print("no container engine answers: images are not measured")
        return
    samples.add(Sample(case, "the default project", 0, container.measure_default()))
