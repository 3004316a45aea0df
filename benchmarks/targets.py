"""The ratios that count, each of one run and with the bound that it is to keep."""

from dataclasses import dataclass

from benchmarks.load import CONNECTIONS
from benchmarks.results import Case, Figure, Results, figure, ratios


@dataclass(frozen=True)
class Measure:
    """A value that is measured of one server."""

    case: Case
    way: str
    name: str = "answers"
    right_alone: bool = False  # counts what was answered right, also where requests failed

    def values(self, results: Results) -> dict[int, float]:
        return results.values(self.case, self.way, self.name, right_alone=self.right_alone)


@dataclass(frozen=True)
class Target:
    part: Measure
    whole: Measure
    sign: str  # "at least" or "at most"
    bound: float

    def figure(self, results: Results) -> Figure | None:
        """The ratio; None where one of both was not measured, or failed."""
        return figure(ratios(self.part.values(results), self.whole.values(results)))

    def kept(self, ratio: float) -> bool:
        return ratio >= self.bound if self.sign == "at least" else ratio <= self.bound


SYNC, ASYNC = Case("sync"), Case("async")
ROW = Case("row", database="postgres")
START = Case("sync", "start", concurrency=1)
HALF = Case("sync", "rate", concurrency=CONNECTIONS)


def against_wsgi(case: Case) -> Target:
    return Target(Measure(case, "ours"), Measure(case, "granian-wsgi"), "at least", 0.95)


TARGETS = {
    "sync view, against Granian `wsgi`": against_wsgi(SYNC),
    "async view, against its own sync view": Target(
        Measure(ASYNC, "ours"), Measure(SYNC, "ours"), "at least", 1
    ),
    "async view, against Django's handler": Target(
        Measure(ASYNC, "ours"), Measure(ASYNC, "granian-asgi"), "at least", 9
    ),
    "10 rows from SQLite, against Granian `wsgi`": against_wsgi(Case("rows")),
    "template of 50 rows, against Granian `wsgi`": against_wsgi(Case("template")),
    "page behind login, against Granian `wsgi`": against_wsgi(Case("login")),
    "one row from PostgreSQL, right answers alone, against Django's handler": Target(
        Measure(ROW, "ours"), Measure(ROW, "granian-asgi", right_alone=True), "at least", 10
    ),
    "start to the first answer, against gunicorn with uvicorn workers": Target(
        Measure(START, "ours", "start"), Measure(START, "gunicorn-uvicorn", "start"), "at most", 0.9
    ),
    "99th percentile at half the load, against Granian `wsgi`": Target(
        Measure(HALF, "ours", "p99"), Measure(HALF, "granian-wsgi", "p99"), "at most", 1.1
    ),
}
