"""The code that a page shows; and the README of packages/django-serving, as somebody follows it."""

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import TEMPLATE

PACKAGE = TEMPLATE / "packages" / "django-serving"
README = PACKAGE / "README.md"


def tokens(page: Path = README) -> Iterator[tuple[str, Token]]:
    """Each token of a page, with the heading that it stands below."""
    heading, below = "", False
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        if below:
            heading = token.content
        below = token.type == "heading_open"
        yield heading, token


def blocks(language: str, page: Path = README) -> list[tuple[str, str]]:
    """The blocks of code in a language, each with the heading that it stands below."""
    return [
        (heading, token.content)
        for heading, token in tokens(page)
        if token.type == "fence" and token.info == language
    ]


def files(page: Path = README) -> list[tuple[str, str, str]]:
    """The files that a page has one write: heading, path and text; the text's first line names the path."""
    found = []
    for heading, text in blocks("python", page):
        path = re.match(r"# ([\w/]+\.py)\n", text)
        assert path, f"no path in the first line: {text}"
        found.append((heading, path[1], text))
    return found


def rows(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, their cells as written, the row of titles left out."""
    cells = [
        token.content for below, token in tokens() if below == heading and token.type == "inline"
    ]
    lines = README.read_text().splitlines()
    table = lines[lines.index(f"## {heading}") :]
    made = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in table[
            : next((i for i, line in enumerate(table) if i and line.startswith("## ")), None)
        ]
        if line.startswith("|")
    ]
    assert all(cell in cells for row in made[2:] for cell in row), (
        "the table is rendered as it reads"
    )
    return made[2:]


def follow(project: Path, *headings: str) -> None:
    """Writes the files below these headings into a project, in this order.

    What is for the settings comes at their end; a list of paths that is shown again is one more.
    """
    wanted = [each for heading in headings for each in files() if each[0] == heading]
    assert {heading for heading, _, _ in wanted} == set(headings)
    written: set[str] = set()
    for _, name, text in wanted:
        file = project / name
        if name.endswith("settings.py"):
            file.write_text(f"{file.read_text()}\n{text}")
        elif name.endswith("urls.py") and name in written:
            more = text.replace("urlpatterns = [", "urlpatterns += [")
            file.write_text(f"{file.read_text()}\n{more}")
        else:
            if file.parent != project:
                file.parent.mkdir(parents=True, exist_ok=True)
                (file.parent / "__init__.py").touch()
            file.write_text(text)
        written.add(name)
