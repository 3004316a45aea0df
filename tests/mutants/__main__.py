"""Plants faults and lists those that no test notices: `make mutants [MODULES=] [SAMPLE=] [SEED=]`.

A run that was broken off goes on where it was: what a test has noticed is not tried again while its
function stays the same, and what none has noticed is once a test changes.
"""

import argparse
import hashlib
import itertools
import json
import math
import random
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Queue
from typing import Any, cast

from tests.mutants.faults import Fault, Module
from tests.mutants.projects import FOLDER, PROJECTS, Copy, Project, Run, python_of

WANTED = 0.9  # of all faults
# A sample fails where, if the tests noticed this share of all, fewer than one in so many would be as bad.
HELD, ODDS = 0.8, 2000
RESULTS = FOLDER / "results.jsonl"
SURVIVORS = Path(__file__).parent / "survivors.toml"


class Judge:
    """Tries a project's faults, in as many copies of it as there are jobs."""

    def __init__(self, project: Project, jobs: int, known: dict[str, Any]) -> None:
        self._project = project
        self._known = known
        self._all = [Copy(project, python_of(project), number) for number in range(jobs)]
        self._free: Queue[Copy] = Queue()
        for copy in self._all:
            self._free.put(copy)
        tests = project.found(project.tests)
        with ThreadPoolExecutor(jobs) as pool:
            runs = dict(zip(tests, pool.map(self._run, tests), strict=True))
        if failed := [f"{test} ({run.status})" for test, run in runs.items() if run.status]:
            names = ", ".join(failed)
            sys.exit(f"in {project.folder} these tests fail without a fault (status): {names}")
        # Quick ones first: most faults are noticed by many.
        self._runs = dict(sorted(runs.items(), key=lambda item: item[1].seconds))
        texts = b"".join((project.folder / test).read_bytes() for test in tests)
        self._digest = hashlib.sha256(texts).hexdigest()

    def _run(self, test: str) -> Run:
        with self._copy() as copy:
            return copy.test(test, 300, lines=True)

    @contextmanager
    def _copy(self) -> Iterator[Copy]:
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)

    def noticed(self, fault: Fault) -> str | None:
        """The module of tests that notices a fault; None if none does."""
        old = self._known.get(fault.key)
        if old and (old["test"] or old["digest"] == self._digest):
            return cast("str | None", old["test"])
        test = self._tried(fault)
        entry = {"key": fault.key, "test": test, "digest": self._digest,
                 "module": fault.module, "line": fault.line, "change": fault.change}  # fmt: skip
        with RESULTS.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        return test

    def _tried(self, fault: Fault) -> str | None:
        """By the tests that run the line, and by those of the module, which may run it in a process."""
        own = "" if self._project.runs_processes else f"/test_{Path(fault.module).stem}.py"
        with self._copy() as copy:
            for test, run in self._runs.items():
                if (fault.module, fault.line) in run.lines or test.endswith(own):
                    limit = 10 + 4 * run.seconds
                    if copy.plant(fault.module, fault.text, test, limit):
                        return test
        return None

    def close(self) -> None:
        for copy in self._all:
            copy.close()


def least(size: int) -> int:
    """How many of a sample must be noticed, so that chance alone does not fail it."""
    chance = 0.0
    for noticed in range(size + 1):
        chance += math.comb(size, noticed) * HELD**noticed * (1 - HELD) ** (size - noticed)
        if chance > 1 / ODDS:
            return noticed
    return size


def is_accepted(fault: Fault, accepted: dict[str, dict[str, str]]) -> bool:
    """Whether a survivor of this line, or of this change of it, is listed with its reason."""
    listed = accepted.get(fault.module, {})
    return fault.change in listed or fault.change.partition(" -> ")[0] in listed


def chosen(
    modules: list[tuple[Project, Module]],
    accepted: dict[str, dict[str, str]],
    sample: int,
    seed: int,
) -> Iterator[tuple[Project, Fault]]:
    """All faults but those whose survival was accepted, in a random order, up to the size of the sample."""
    numbers = [(project, module, n) for project, module in modules for n in range(len(module))]
    random.Random(seed).shuffle(numbers)  # noqa: S311  # no secret
    seen = set()

    def written() -> Iterator[tuple[Project, Fault]]:
        for project, module, number in numbers:
            fault = module.fault(number)
            if fault and fault.key not in seen and not is_accepted(fault, accepted):
                seen.add(fault.key)
                yield project, fault

    return itertools.islice(written(), sample or None)


def report(results: list[tuple[Fault, str | None]]) -> float:
    """Prints the survivors and the share that was noticed, by module; returns that of all."""
    total: Counter[str] = Counter(fault.module for fault, _ in results)
    noticed: Counter[str] = Counter(fault.module for fault, test in results if test)
    for fault, test in sorted(results, key=lambda result: (result[0].module, result[0].line)):
        if not test:
            print(f"{fault.module}:{fault.line}: {fault.change}")
    print()
    for module in sorted(total):
        print(
            f"{noticed[module]:5} of {total[module]:4}  {noticed[module] / total[module]:6.1%}  {module}"
        )
    rate = noticed.total() / max(1, total.total())
    print(f"{noticed.total():5} of {total.total():4}  {rate:6.1%}  all")
    return rate


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants")
    parser.add_argument(
        "modules", nargs="*", help="parts of the paths of modules; all unless given"
    )
    parser.add_argument("--sample", type=int, default=0, help="how many faults; all unless given")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    print(f"SEED={given.seed}", flush=True)
    accepted = tomllib.loads(SURVIVORS.read_text())
    modules = []
    for project in PROJECTS:
        project.make(python_of(project))
        for path in project.found(project.modules):
            if not given.modules or any(word in path for word in given.modules):
                modules.append((project, Module(path, (project.folder / path).read_text())))
    faults = list(chosen(modules, accepted, given.sample, given.seed))
    known = {}
    if RESULTS.exists() and not given.sample:
        known = {entry["key"]: entry for entry in map(json.loads, RESULTS.read_text().splitlines())}
    results: list[tuple[Fault, str | None]] = []
    for project in PROJECTS:
        if its := [fault for owner, fault in faults if owner is project]:
            judge = Judge(project, given.jobs, known)
            with closing(judge), ThreadPoolExecutor(given.jobs) as pool:
                results += zip(its, pool.map(judge.noticed, its), strict=True)
    rate = report(results)
    if not given.sample:
        return int(rate < WANTED)
    wanted = least(len(results))
    print(
        f"of a sample of {len(results)}, {wanted} must be noticed; SEED={given.seed} takes it again"
    )
    return int(sum(test is not None for _, test in results) < wanted)


if __name__ == "__main__":
    sys.exit(main())
