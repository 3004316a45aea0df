"""What was measured: samples, the file that they are kept in, and what they say in spite of noise."""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """What is measured, whoever serves it."""

    workload: str
    kind: str = "saturation"
    database: str = "sqlite"
    concurrency: int = 32
    workers: int = 1

    def __str__(self) -> str:
        several = f", {self.workers} workers" if self.workers > 1 else ""
        return f"{self.workload}, {self.kind}, {self.database}, {self.concurrency} at once{several}"


@dataclass(frozen=True)
class Sample:
    """One measurement of one server in one round; `values` by name, None where there is no result.

    A sample with errors is no result.
    """

    case: Case
    way: str
    round: int
    values: Mapping[str, float]
    errors: int = 0

    @property
    def key(self) -> tuple[Case, str, int]:
        return self.case, self.way, self.round


class OtherRunError(Exception):
    """The file holds samples that were measured otherwise."""


class Samples:
    """The samples of a run, each written when it is measured, so that a run can go on where it was ended."""

    def __init__(self, file: Path, header: Mapping[str, Any]) -> None:
        """Raises OtherRunError where the file is of a run that had another header, but for its date and load."""
        self.file = file
        self.header = header
        self.all: dict[tuple[Case, str, int], Sample] = {}
        if file.exists():
            kept, self.all = read_lines(file)
            differs = [
                name
                for name in header
                if name not in ("date", "load") and kept.get(name) != header[name]
            ]
            if differs:
                raise OtherRunError(
                    f"{file} is of another run, with other {', '.join(differs)}:"
                    " --fresh throws it away and begins anew"
                )
            self.header = kept
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(header) + "\n")

    def lacks(self, key: tuple[Case, str, int]) -> bool:
        """Whether it is still to be measured: also where nothing was, since a server did not start, say."""
        sample = self.all.get(key)
        return sample is None or bool(sample.errors and not sample.values)

    def add(self, sample: Sample) -> None:
        self.all[sample.key] = sample
        with self.file.open("a") as file:
            file.write(json.dumps(asdict(sample)) + "\n")


def read_lines(file: Path) -> tuple[dict[str, Any], dict[tuple[Case, str, int], Sample]]:
    """The header and the samples; a last line that was cut off is left out."""
    first, *lines = file.read_text().splitlines()
    samples: dict[tuple[Case, str, int], Sample] = {}
    for number, line in enumerate(lines):
        try:
            sample = sample_of(json.loads(line))
        except ValueError:
            if number + 1 < len(lines):
                raise
            file.write_text("\n".join([first, *lines[:-1], ""]))
            break
        samples[sample.key] = sample
    return json.loads(first), samples


def sample_of(kept: Mapping[str, Any]) -> Sample:
    return Sample(**{**kept, "case": Case(**kept["case"])})


@dataclass(frozen=True)
class Results:
    """A whole run."""

    header: Mapping[str, Any]
    samples: tuple[Sample, ...]

    @classmethod
    def read(cls, file: Path) -> "Results":
        kept = json.loads(file.read_text())
        return cls(kept["header"], tuple(map(sample_of, kept["samples"])))

    def write(self, file: Path) -> None:
        header = json.dumps(self.header, indent=1)
        lines = ",\n".join(json.dumps(asdict(sample)) for sample in self.samples)
        file.write_text(f'{{"header": {header},\n"samples": [\n{lines}\n]}}\n')

    def cases(self, kind: str) -> list[Case]:
        """The cases of a kind, in the order in which they were measured."""
        return list(
            dict.fromkeys(sample.case for sample in self.samples if sample.case.kind == kind)
        )

    def ways(self, case: Case) -> list[str]:
        return list(dict.fromkeys(sample.way for sample in self.samples if sample.case == case))

    def values(
        self, case: Case, way: str, name: str, *, right_alone: bool = False
    ) -> dict[int, float]:
        """What was measured, by round; nothing where a round had an error.

        `right_alone`: also then, since `answers` is of right answers alone.
        """
        own = [each for each in self.samples if each.case == case and each.way == way]
        if not right_alone and any(sample.errors for sample in own):
            return {}
        return {each.round: each.values[name] for each in own if name in each.values}

    def errors(self, case: Case, way: str) -> int:
        return sum(each.errors for each in self.samples if each.case == case and each.way == way)


@dataclass(frozen=True)
class Figure:
    """A median, the lowest and the highest of what was measured, and an interval that holds the true median.

    The interval is of order statistics: it supposes nothing of how the noise is spread, and is wrong as often
    as `DOUBT` says at most. With fewer than five rounds there is none that is right so often.
    """

    median: float
    least: float
    most: float
    low: float
    high: float
    rounds: int


DOUBT = 0.07


def figure(values: Iterable[float]) -> Figure | None:
    """The figure of some values; None without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    inner = widest(len(ordered))
    low, high = (
        (float("-inf"), float("inf")) if inner is None else (ordered[inner], ordered[-1 - inner])
    )
    return Figure(statistics.median(ordered), ordered[0], ordered[-1], low, high, len(ordered))


def widest(number: int) -> int | None:
    """How many values at each end the interval leaves out; None where all together doubt too much.

    The true median lies below all values but the `out` lowest where at most `out` of as many coins show heads.
    """
    best = None
    for out in range((number + 1) // 2):
        chance = 2 * sum(comb(number, heads) for heads in range(out + 1)) / 2**number
        if chance <= DOUBT:
            best = out
    return best


def ratios(part: Mapping[int, float], whole: Mapping[int, float]) -> list[float]:
    """The ratio in each round that both have: what the machine does else in it, it does to both."""
    return [value / whole[number] for number, value in part.items() if whole.get(number)]
