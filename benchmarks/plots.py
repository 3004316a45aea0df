"""Plots as SVG, readable on a light page and on a dark one.

A failed run has no bar, nor has what serves no Django: beside its bar the others would all look alike.
`overview.svg` has what most people choose between; the others have everything, a file for each kind.
"""

from collections.abc import Collection, Iterable, Iterator
from html import escape

from benchmarks.report import case_title, spread
from benchmarks.results import Case, Figure, Results, figure
from benchmarks.run import QUICK
from benchmarks.servers import WAYS
from benchmarks.targets import ROW

STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.bar { fill: #8c959f }
.ours { fill: #0969da }
.range { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .bar { fill: #6e7681 }
  .ours { fill: #4493f8 }
  .range { stroke: #e6edf3 }
}
</style>"""
LABELS, BARS, VALUES, LINE = 230, 330, 190, 22  # pixels

# What is drawn of each kind: the value, how it is written, and what it is.
DRAWN = {
    "saturation": ("answers", ",.0f", "answers a second: more is better"),
    "rate": ("p99", ".1f", "99th percentile in ms: less is better"),
    "at once": ("seconds", ".2f", "seconds until all are answered: less is better"),
    "start": ("start", ".2f", "seconds from start to first answer: less is better"),
}


# The cases of the overview, whose servers are those of a quick run.
IN_SHORT = (*(case for case in QUICK.cases if case.kind == "saturation"), ROW)
HAVE_DJANGO = tuple(way for way in WAYS if way != "bare")


def plots(results: Results) -> Iterator[tuple[str, str]]:
    """The files: the name of each, and an SVG with a chart for each case."""
    short = [case for case in results.cases("saturation") if case in IN_SHORT]
    if plot := plot_of(results, short, QUICK.ways, *DRAWN["saturation"]):
        yield "overview.svg", plot
    for kind, drawn in DRAWN.items():
        if plot := plot_of(results, results.cases(kind), HAVE_DJANGO, *drawn):
            yield f"{kind.replace(' ', '-')}.svg", plot


def plot_of(
    results: Results, cases: Iterable[Case], ways: Collection[str], name: str, form: str, unit: str
) -> str:
    """An SVG with a chart for each of these cases; empty where there is nothing to compare.

    `name`: of the value; `form`: how it is written; `unit`: what it is.
    """
    charts: list[str] = []
    top = LINE
    for case in cases:
        bars = {
            way: found
            for way in results.ways(case)
            if way in ways and (found := figure(results.values(case, way, name).values()))
        }
        if len(bars) > 1:
            charts += [f'<g transform="translate(0,{top})">']
            charts += [*bar_chart(case_title(case, results), bars, form), "</g>"]
            top += (len(bars) + 2) * LINE
    if not charts:
        return ""
    size = f"{LABELS + BARS + VALUES} {top + LINE}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">'
    title = f'<title>{unit}</title>\n<text class="title" x="8" y="{LINE}">{unit}</text>'
    return "\n".join([head, title, STYLE, *charts, "</svg>\n"])


def bar_chart(title: str, bars: dict[str, Figure], form: str) -> Iterator[str]:
    """A bar for each server, with a line from the lowest to the highest round."""
    scale = BARS / max(found.most for found in bars.values())
    yield f'<text class="title" x="8" y="{LINE}">{escape(title)}</text>'
    for place, (way, found) in enumerate(bars.items()):
        top = (place + 1.3) * LINE
        middle, base = top + LINE / 2 - 2, top + LINE * 0.6
        name = escape(WAYS[way].title.replace("`", ""))
        yield f'<text x="{LABELS - 8}" y="{base:.1f}" text-anchor="end">{name}</text>'
        yield (
            f'<rect class="{"ours" if way == "ours" else "bar"}" x="{LABELS}" y="{top:.1f}"'
            f' width="{found.median * scale:.1f}" height="{LINE - 5}"/>'
        )
        yield (
            f'<line class="range" x1="{LABELS + found.least * scale:.1f}" y1="{middle:.1f}"'
            f' x2="{LABELS + found.most * scale:.1f}" y2="{middle:.1f}"/>'
        )
        yield (
            f'<text x="{LABELS + found.most * scale + 8:.1f}" y="{base:.1f}">'
            f"{escape(spread(found, form))}</text>"
        )
