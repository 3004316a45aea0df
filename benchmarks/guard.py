"""Holds floors under the ratios that count: `make bench-guard`, in two minutes and on a busy machine too.

What is compared is the CPU time of a request, which what else the machine does hardly changes; answers a second
depend on who gets the processor. Servers take turns, and each turn gives a ratio. A ratio has fallen when the
whole interval that holds its true median (`benchmarks.results.figure`) lies under the floor: so the noise of this
very run says what is noise.
"""

import tempfile
from pathlib import Path

from benchmarks.results import Case, Results, Samples
from benchmarks.run import Plan, Runner
from benchmarks.targets import ASYNC, SYNC, Measure, Target

ROWS = Case("rows")


def cheaper(case: Case, other: Measure, floor: float) -> Target:
    """How many times the CPU time of our request another one takes."""
    return Target(other, Measure(case, "ours", "cpu"), "at least", floor)


# A fifth to a third below what idle machines have shown: wide enough for a busy one, and not for a hop more.
FLOORS = {
    "sync view, against Granian `wsgi`": cheaper(SYNC, Measure(SYNC, "granian-wsgi", "cpu"), 0.72),
    "sync view, against Django's handler": cheaper(SYNC, Measure(SYNC, "granian-asgi", "cpu"), 6),
    "async view, against Django's handler": cheaper(
        ASYNC, Measure(ASYNC, "granian-asgi", "cpu"), 5.5
    ),
    "async view, against its own sync view": cheaper(ASYNC, Measure(SYNC, "ours", "cpu"), 0.7),
    "10 rows from SQLite, against Granian `wsgi`": cheaper(
        ROWS, Measure(ROWS, "granian-wsgi", "cpu"), 0.75
    ),
}
MEASURES = [measure for floor in FLOORS.values() for measure in (floor.part, floor.whole)]
PLAN = Plan(
    ways=("ours", "granian-wsgi", "granian-asgi"),
    cases=(SYNC, ASYNC, ROWS),
    only=frozenset((measure.case, measure.way) for measure in MEASURES),
    rounds=9,
    seconds=1,
    fresh=False,
)


def guard() -> str:
    """Measures, and prints each ratio beside its floor; returns what has fallen in one line, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        samples = Samples(Path(folder) / "samples", {})
        Runner(PLAN, samples).run()
        results = Results({}, tuple(samples.all.values()))
    print()
    return judge(results)


def judge(results: Results) -> str:
    fallen = []
    for what, floor in FLOORS.items():
        ratio = floor.figure(results)
        if not ratio:
            fallen.append(f"{what}: requests failed")
            continue
        if down := ratio.high < floor.bound:
            fallen.append(f"{what}: {ratio.high:.2f} x at most, and its floor is {floor.bound:g} x")
        print(
            f"{what:46} {ratio.median:6.2f} x ({ratio.low:.2f} to {ratio.high:.2f}),"
            f" floor {floor.bound:g} x{'  FALLEN' if down else ''}"
        )
    return "; ".join(fallen)
