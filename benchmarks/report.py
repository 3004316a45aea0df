"""The tables, in Markdown."""

from collections.abc import Callable, Iterator

from benchmarks.results import Case, Figure, Results, figure, ratios
from benchmarks.servers import WAYS
from benchmarks.targets import TARGETS
from benchmarks.workloads import WORKLOADS

Cells = Callable[[Results, Case, str], list[str]]


def report(results: Results) -> str:
    """Every table there are samples for, with what they were measured on."""
    parts = ["\n".join(measured_with(results)), "### The ratios that count", target_table(results)]
    sections: list[tuple[str, str, list[str], Cells]] = [
        (
            "saturation",
            "As fast as it answers",
            ["answers a second", "against this project", "CPU a request", "memory"],
            saturation_cells,
        ),
        (
            "rate",
            "At a fixed rate",
            ["p50", "p99", "p99.9", "CPU a request", "memory"],
            rate_cells,
        ),
        (
            "at once",
            "All at the same time",
            ["seconds", "CPU a request", "memory"],
            at_once_cells,
        ),
        (
            "start",
            "Start and stop",
            ["start to first answer", "SIGTERM to end", "memory"],
            start_cells,
        ),
    ]
    for kind, title, columns, cells in sections:
        tables = [
            table([case_title(case, results), *columns], rows)
            for case in results.cases(kind)
            if (
                rows := [
                    [
                        WAYS[way].title,
                        *(failed(results, case, way, columns) or cells(results, case, way)),
                    ]
                    for way in results.ways(case)
                ]
            )
        ]
        if tables:
            parts += [f"### {title}", *tables]
    for kind, title in (("image", "The image"), ("generation", "Generation")):
        if cases := results.cases(kind):
            rows = [
                [way, *(shown(results, case, way, name) for name in names_of(results, case))]
                for case in cases
                for way in results.ways(case)
            ]
            parts += [f"### {title}", table(["", *names_of(results, cases[0])], rows)]
    return "\n\n".join(parts) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured_with(results: Results) -> Iterator[str]:
    machine, versions = results.header["machine"], results.header["versions"]
    method = results.header["method"]
    yield (
        f"Measured on {results.header['date']} at {results.header['commit']} on {machine['cores']} cores of"
        f" {machine['processor']} with {machine['memory, GB']} GB, {machine['system']},"
        f" Python {versions['python']}:"
    )
    yield (
        ", ".join(f"{name} {version}" for name, version in versions.items() if name != "python")
        + "."
    )
    fresh = (
        "new servers in each round" if method["new servers in each round"] else "one start of each"
    )
    yield (
        f"{method['rounds']} rounds of {method['seconds of a load']} s, {fresh}; each figure is a median, with"
        " the lowest and the highest of the rounds."
        + (
            f" When it began, {results.header['load']} processes wanted a core."
            if "load" in results.header
            else ""
        )
    )


def case_title(case: Case, results: Results) -> str:
    title = WORKLOADS[case.workload].title
    parts = [title]
    if case.database != "sqlite" or case.workload in ("row", "rows", "write", "login"):
        parts.append("PostgreSQL" if case.database == "postgres" else "SQLite")
    if case.kind == "saturation":
        parts.append(f"{case.concurrency} at once")
    if case.kind == "rate":
        asked = {
            value
            for way in results.ways(case)
            for value in results.values(case, way, "rate").values()
        }
        parts += [f"{max(asked):,.0f} requests a second"] if asked else []
    if case.workers > 1:
        parts.append(f"{case.workers} workers")
    return ", ".join(parts)


def shown(results: Results, case: Case, way: str, name: str, form: str = ".2f") -> str:
    """A figure with its spread."""
    found = figure(results.values(case, way, name).values())
    return spread(found, form) if found else ""


def spread(found: Figure, form: str) -> str:
    if f"{found.least:{form}}" == f"{found.most:{form}}":
        return f"{found.median:{form}}"
    return f"{found.median:{form}} ({found.least:{form}} to {found.most:{form}})"


def failed(results: Results, case: Case, way: str, columns: list[str]) -> list[str]:
    """The cells of a run with errors; nothing for one without."""
    errors = results.errors(case, way)
    return [f"{errors:,} failed", "no result", *[""] * (len(columns) - 2)] if errors else []


def saturation_cells(results: Results, case: Case, way: str) -> list[str]:
    own = results.values(case, "ours", "answers")
    ratio = figure(ratios(results.values(case, way, "answers"), own))
    return [
        shown(results, case, way, "answers", ",.0f"),
        f"{ratio.median:.2f} x" if ratio else "",
        shown(results, case, way, "cpu", ",.0f") + " us",
        shown(results, case, way, "memory", ".0f") + " MB",
    ]


def rate_cells(results: Results, case: Case, way: str) -> list[str]:
    if not results.values(case, way, "p99"):
        return ["more than it serves", "", "", "", ""]
    return [
        *(f"{shown(results, case, way, name)} ms" for name in ("p50", "p99", "p999")),
        shown(results, case, way, "cpu", ",.0f") + " us",
        shown(results, case, way, "memory", ".0f") + " MB",
    ]


def at_once_cells(results: Results, case: Case, way: str) -> list[str]:
    return [
        shown(results, case, way, "seconds") + " s",
        shown(results, case, way, "cpu", ",.0f") + " us",
        shown(results, case, way, "memory", ".0f") + " MB",
    ]


def start_cells(results: Results, case: Case, way: str) -> list[str]:
    return [
        shown(results, case, way, "start") + " s",
        shown(results, case, way, "stop") + " s",
        shown(results, case, way, "memory", ".0f") + " MB",
    ]


def names_of(results: Results, case: Case) -> list[str]:
    return list(
        dict.fromkeys(name for each in results.samples if each.case == case for name in each.values)
    )


def target_table(results: Results) -> str:
    """The ratios of TARGETS that were measured, each with its bound."""
    rows = []
    for what, target in TARGETS.items():
        found = target.figure(results)
        if found:
            kept = "yes" if target.kept(found.median) else "no"
            rows.append(
                [what, f"{spread(found, '.2f')} x", f"{target.sign} {target.bound:g} x", kept]
            )
    return table(["ratio", "measured", "bound", "reached"], rows)
