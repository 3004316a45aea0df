"""The pictures in docs/images/: made by `make pictures`, and held by the same tests, which say when one is out of date."""

import hashlib
import json
import os
import re
from html import escape

from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "images"
WRITES = os.environ.get("PICTURES") == "write"

# What each screenshot shows, as a digest: its pixels differ with fonts and browsers.
SHOWN = FOLDER / "shown.json"

# Letters and lines of a terminal, in pixels.
WIDE, HIGH, AROUND = 7.25, 18, 16

# Classes of a line, by the first pattern that it has.
CLASSES = {
    "command": r"^\$ ",
    "error": r"\bERROR\b|^\s*\w*Error: ",
    "warning": r"\[WARNING\]|\bWARNING\b",
}


def terminal(lines: list[str], title: str) -> str:
    """A terminal that shows these lines, as an SVG of text that can be read aloud and searched."""
    width = round(max(map(len, lines)) * WIDE + 2 * AROUND)
    height = len(lines) * HIGH + 2 * AROUND
    rows = []
    for number, line in enumerate(lines, 1):
        found = (name for name, pattern in CLASSES.items() if re.search(pattern, line))
        x, y = AROUND, AROUND + number * HIGH - 5
        rows.append(
            f'  <text x="{x}" y="{y}" class="{next(found, "plain")}">{escape(line, quote=False)}</text>'
        )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" role="img" xml:space="preserve">',
            f"  <title>{escape(title)}</title>",
            "  <style>",
            "    rect { fill: #161b22 }",
            "    text { fill: #adbac7; font: 12px ui-monospace, 'DejaVu Sans Mono', monospace; white-space: pre }",
            "    .command { fill: #fff; font-weight: bold }",
            "    .warning { fill: #f0c652 }",
            "    .error { fill: #ff8f85 }",
            "  </style>",
            f'  <rect width="{width}" height="{height}" rx="8"/>',
            *rows,
            "</svg>\n",
        ]
    )


def tidy(text: str, folders: dict[str, str]) -> list[str]:
    """The lines of a log, with numbers and places that do not differ from run to run."""
    for old, new in folders.items():
        text = text.replace(old, new)
    text = re.sub(r'"/[^"]*/lib/(python3\.\d+)/', r'"/usr/lib/\1/', text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "09:00:00Z", text)
    text = re.sub(r"(127\.0\.0\.1:|--port )\d+", r"\g<1>8000", text)
    text = re.sub(r"\[Makefile:\d+: ", "[Makefile: ", text)
    numbers: dict[str, str] = {}
    text = re.sub(
        r"(?<=PID: )\d+", lambda pid: numbers.setdefault(pid[0], str(40 + len(numbers))), text
    )
    return text.rstrip().splitlines()


def assert_drawn(name: str, svg: str) -> None:
    """Writes a drawing, or compares it with the one that is there, but for line numbers of code."""
    path = FOLDER / name
    if WRITES:
        path.write_text(svg)
    same = [re.sub(r"line \d+", "line", text) for text in (path.read_text(), svg)]
    assert same[0] == same[1], f"docs/images/{name} is out of date: `make pictures`"


def assert_photographed(name: str, png: bytes, shown: str) -> None:
    """Writes a screenshot, or compares what it shows with what the one that is there did."""
    path, digest = FOLDER / name, hashlib.sha256(shown.encode()).hexdigest()
    digests = json.loads(SHOWN.read_text()) if SHOWN.exists() else {}
    if WRITES:
        path.write_bytes(png)
        SHOWN.write_text(json.dumps({**digests, name: digest}, indent=2, sort_keys=True) + "\n")
        return
    assert path.exists(), f"there is no docs/images/{name}: `make pictures`"
    assert digests.get(name) == digest, f"docs/images/{name} is out of date: `make pictures`"
