"""The benchmarks' commands: `make bench`, or `python -m benchmarks --help`."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks import flame, generation, sites
from benchmarks.compare import compare
from benchmarks.guard import guard
from benchmarks.header import header
from benchmarks.plots import plots
from benchmarks.report import report
from benchmarks.results import Case, OtherRunError, Results, Samples
from benchmarks.run import FULL, QUICK, Plan, Runner
from benchmarks.servers import WAYS
from benchmarks.workloads import WORKLOADS


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="measure; a run that was ended goes on where it was")
    run.add_argument(
        "--quick", action="store_true", help="the four that matter most, in under 3 minutes"
    )
    run.add_argument(
        "--fresh", action="store_true", help="throw away what an earlier run has measured"
    )
    run.add_argument("--way", nargs="+", choices=WAYS, help="only these servers")
    run.add_argument("--workload", nargs="+", choices=WORKLOADS, help="only these workloads")
    run.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], help="only these")
    run.add_argument("--concurrency", nargs="+", type=int, help="only these, of loads by wrk")
    run.add_argument("--workers", nargs="+", type=int, help="only these numbers of them")
    run.add_argument("--name", help="of the results; full, or quick")
    run.add_argument("--rounds", type=int)
    run.add_argument("--seconds", type=int, help="of each load")
    run.add_argument(
        "--template", nargs="+", type=Path, default=[], metavar="PATH",
        help="other templates, whose generation is timed beside this one's",
    )  # fmt: skip

    comparison = commands.add_parser("compare", help="what changed between two runs, beyond noise")
    comparison.add_argument("before", type=Path)
    comparison.add_argument("after", type=Path)

    publish = commands.add_parser(
        "report", help="write a run's samples, tables and plots to a folder"
    )
    publish.add_argument("results", type=Path)
    publish.add_argument("folder", type=Path)

    commands.add_parser("guard", help="hold the ratios' floors")

    graph = commands.add_parser("flame", help="a flame graph of one view's requests")
    graph.add_argument("workload", choices=WORKLOADS, nargs="?", default="sync")
    graph.add_argument("--way", choices=WAYS, default="ours")
    graph.add_argument("--seconds", type=int, default=10)

    chosen = parser.parse_args()
    # So that servers are ended by whoever started them.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    match chosen.command:
        case "compare":
            print(*compare(Results.read(chosen.before), Results.read(chosen.after)), sep="\n")
        case "report":
            write(Results.read(chosen.results), chosen.folder)
        case "run":
            with alone():
                measure(chosen)
        case "guard":
            with alone():
                sys.exit(guard() or 0)
        case "flame":
            with alone():
                print(flame.record(chosen.way, chosen.workload, chosen.seconds))


@contextmanager
def alone() -> Iterator[None]:
    """Ends the process where another one measures: both would be wrong."""
    sites.FOLDER.mkdir(parents=True, exist_ok=True)
    lock = FileLock(sites.FOLDER / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        sys.exit(f"another process measures ({lock.lock_file} is locked): wait for it, or end it")
    try:
        yield
    finally:
        lock.release()


def plan_of(chosen: argparse.Namespace) -> Plan:
    plan = QUICK if chosen.quick else FULL
    cases = tuple(
        case
        for case in plan.cases
        if (not chosen.workload or case.workload in chosen.workload)
        and (not chosen.database or case.database in chosen.database)
        and (not chosen.workers or case.workers in chosen.workers)
        and (
            not chosen.concurrency
            or case.kind != "saturation"
            or case.concurrency in chosen.concurrency
        )
    )
    ways = tuple(way for way in WAYS if way in (chosen.way or plan.ways))
    # A rate is half of what these serve, which is measured then, too.
    if not {"ours", "granian-wsgi"} & set(ways):
        cases = tuple(case for case in cases if case.kind != "rate")
    cases = tuple(case for case in cases if case.kind != "rate" or Case(case.workload) in cases)
    changed = {name: value for name in ("rounds", "seconds") if (value := getattr(chosen, name))}
    return replace(plan, cases=cases, ways=ways, **changed)


def measure(chosen: argparse.Namespace) -> None:
    plan = plan_of(chosen)
    for template in chosen.template:
        if not (template / "cookiecutter.json").is_file():
            sys.exit(f"{template} is no template: it has no cookiecutter.json")
    name = chosen.name or ("quick" if chosen.quick else "full")
    lines = sites.FOLDER / f"{name}.jsonl"
    if chosen.fresh:
        lines.unlink(missing_ok=True)
    try:
        samples = Samples(lines, header(plan, sites.environment()))
    except OtherRunError as error:
        sys.exit(str(error))
    Runner(plan, samples).run()
    write(Results(samples.header, tuple(samples.all.values())), sites.FOLDER / name)
    if plan.cases == FULL.cases and plan.ways == FULL.ways:
        generation.measure_images(samples)
    generation.measure_templates(samples, chosen.template)
    results = Results(samples.header, tuple(samples.all.values()))
    write(results, sites.FOLDER / name)


def write(results: Results, folder: Path) -> None:
    """Writes the samples, the tables and the plots, and prints the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    results.write(folder / "results.json")
    text = report(results)
    (folder / "results.md").write_text(text)
    for name, plot in plots(results):
        (folder / name).write_text(plot)
    print(f"\n{text}\n{folder} has it, with plots, and results.json for `compare`.")


if __name__ == "__main__":
    main()
