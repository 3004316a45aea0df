"""What changed from one run to another beyond the noise of both."""

from collections.abc import Iterator

from benchmarks.report import case_title
from benchmarks.results import Case, Results, figure, ratios
from benchmarks.servers import WAYS
from benchmarks.workloads import WORKLOADS

# Each is compared with this server in the same round, so that a machine that has more to do in one run than
# in the other does not look like a change. What it does itself is not compared.
REFERENCE = "granian-wsgi"

NAMES = {
    "answers": "answers a second",
    "cpu": "CPU a request",
    "p50": "p50",
    "p99": "p99",
    "p999": "p99.9",
    "seconds": "seconds until all are answered",
    "start": "start to first answer",
    "stop": "SIGTERM to end",
    "memory": "memory",
}
MORE_IS_BETTER = {"answers"}


def compare(before: Results, after: Results) -> Iterator[str]:
    """Lines: how the runs differ, each change, and how much was compared."""
    for part in ("machine", "versions", "method"):
        for name in sorted(before.header[part].keys() | after.header[part].keys()):
            one, other = before.header[part].get(name), after.header[part].get(name)
            if one != other:
                yield f"other {part}: {name} {one} -> {other}"
    if not all(
        results.header["method"]["new servers in each round"] for results in (before, after)
    ):
        yield "one start of each server: what a new start changes looks like a change, too"
    compared = few = 0
    for case in dict.fromkeys(sample.case for sample in before.samples):
        for way in before.ways(case):
            broken = before.errors(case, way), after.errors(case, way)
            if any(broken) and way in after.ways(case):
                yield f"{title(case, after, way)}: failed requests {broken[0]} -> {broken[1]}"
            for name in NAMES:
                one, relative = of(before, case, way, name)
                other, relative_after = of(after, case, way, name)
                if not (one and other) or relative != relative_after:
                    continue
                first, second = figure(one), figure(other)
                assert first
                assert second
                compared += 1
                if first.low == float("-inf") or second.low == float("-inf"):
                    few += 1
                elif first.high < second.low or second.high < first.low:
                    better = (second.median > first.median) == (name in MORE_IS_BETTER)
                    yield (
                        f"{title(case, after, way)}: {NAMES[name]}"
                        f"{f', against {WAYS[REFERENCE].title}' if relative else ''}:"
                        f" {first.median:.4g} ({first.low:.4g} to {first.high:.4g}) ->"
                        f" {second.median:.4g} ({second.low:.4g} to {second.high:.4g}),"
                        f" {second.median / first.median:.2f} x, {'better' if better else 'WORSE'}"
                    )
    yield f"compared: {compared}"
    if few:
        yield f"too few rounds to tell a change from noise, of those: {few} (at least 5 are needed)"


def of(results: Results, case: Case, way: str, name: str) -> tuple[list[float], bool]:
    """What was measured in each round, against the reference where there is one."""
    own = results.values(case, way, name)
    reference = results.values(case, REFERENCE, name)
    if way == REFERENCE:
        return [], False
    if reference and name != "memory":
        return ratios(own, reference), True
    return list(own.values()), False


def title(case: Case, results: Results, way: str) -> str:
    if case.workload not in WORKLOADS:  # an image, or a generation
        return f"{case.kind}, {way}"
    return f"{case_title(case, results)} ({case.kind}), {WAYS[way].title}"
