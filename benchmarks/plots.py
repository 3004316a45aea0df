"""Plots as SVG, readable on a light page and on a dark one.

A failed run has no bar, nor has what serves no Django: beside its bar the others would all look alike.
"""

from collections.abc import Iterator
from html import escape

from benchmarks.report import case_title, spread
from benchmarks.results import Figure, Results, figure
from benchmarks.servers import WAYS

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


def plots(results: Results) -> Iterator[tuple[str, str]]:
    """A file for each kind of measurement: its name, and an SVG with a chart for each case."""
    for kind, (name, form, unit) in DRAWN.items():
        charts: list[str] = []
        top = LINE
        for case in results.cases(kind):
            bars = {
                way: found
                for way in results.ways(case)
                if (found := figure(results.values(case, way, name).values()))
                and not results.errors(case, way)
                and way != "bare"
            }
            if len(bars) > 1:
                charts += [f'<g transform="translate(0,{top})">']
                charts += [*bar_chart(case_title(case, results), bars, form), "</g>"]
                top += (len(bars) + 2) * LINE
        if charts:
            size = f"{LABELS + BARS + VALUES} {top + LINE}"
            head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">'
            title = f'<title>{unit}</title>\n<text class="title" x="8" y="{LINE}">{unit}</text>'
            yield (
                f"{kind.replace(' ', '-')}.svg",
                "\n".join([head, title, STYLE, *charts, "</svg>\n"]),
            )


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
