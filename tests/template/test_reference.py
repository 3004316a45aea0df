"""The pages that list what the code has: every variable, every flag, every page, every file of a project."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.answers import files
from tests.support.command import template_make
from tests.support.variables import PAGE, SETTINGS, renewed
from tests.template.test_docs import links, number, shown_files, table_below

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
FLAGS = DOCS / "flags.md"


def variables_of(file: Path) -> dict[str, str]:
    """What a file of variables sets, lines that are commented out too."""
    found = re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", file.read_text(), re.MULTILINE)
    return dict(found)


# docs/variables.md


def test_the_table_of_variables_is_that_of_the_code() -> None:
    assert renewed(PAGE.read_text(), SETTINGS.read_text()) == PAGE.read_text(), (
        "run `make reference`"
    )


def test_make_reference_corrects_it(tmp_path: Path) -> None:
    page = tmp_path / "variables.md"
    text = PAGE.read_text()
    old = re.sub(r"(\| `SEND_TIMEOUT` \|).*(\| [^|]+ \|)", r"\1 | \2", text)
    gone = old.replace("\n| `DEBUG` |", "\n| `LIFESPAN_IS_GONE` | | | nothing |\n| `DEBUG` |")
    assert text != old != gone
    page.write_text(gone)
    template_make(ROOT, "reference", f"PAGE={page}")
    assert page.read_text() == text


def test_a_variable_without_words_is_named() -> None:
    more = 'COLOUR = env.str("COLOUR", "green")\n' + SETTINGS.read_text()
    with pytest.raises(LookupError, match="no words for COLOUR:"):
        renewed(PAGE.read_text(), more)


def test_every_variable_that_a_project_shows_is_on_a_page(widest_project: Path) -> None:
    shown = variables_of(widest_project / ".env.example")
    shown |= variables_of(widest_project / "config" / "granian.env")
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    missing = [name for name in shown if f"`{name}" not in text]
    assert not missing


# docs/flags.md


def test_every_flag_that_is_set_has_its_row_and_its_value(default_project: Path) -> None:
    text = (default_project / "config" / "granian.env").read_text()
    flags = dict(re.findall(r"^(GRANIAN_\w+)=(.*)$", text, re.MULTILINE))
    rows = table_below(FLAGS, "# The server's flags")
    told = {name.strip("`"): cells for name, cells in rows.items() if name != "flag"}
    assert list(told) == list(flags)
    for name, (value, why, when) in told.items():
        assert why
        assert when
        if value.startswith("`"):
            assert value.strip("`") == flags[name], name


# docs/README.md, and what can be read in three screens


def test_the_list_of_pages_has_every_page_once() -> None:
    listed = [name for name in links(DOCS / "README.md") if name.endswith(".md")]
    tables = re.findall(r"^\| (.*) \| [^|]+ \|$", (DOCS / "README.md").read_text(), re.MULTILINE)
    in_tables = re.findall(r"\(([\w./-]+\.md)\)", "".join(tables))
    assert set(listed) == set(in_tables)
    assert sorted(in_tables) == sorted(
        str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page.name != "README.md"
    )


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_is_three_screens_at_most(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 120


# README.md


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## )", README, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def test_the_tree_has_a_line_for_every_file(default_project: Path) -> None:
    shown = list(shown_files(section("What comes out")))
    named = [name for name in shown if not name.endswith("/")]
    assert len(named) == len(set(named)), "none has two"
    there = {
        name
        for name, path in files(default_project)
        if not name.startswith("packages/") and "__pycache__" not in name and path.stat().st_size
    }
    assert set(named) == there
    for name in shown:
        assert (default_project / name).exists(), name


def test_its_figures_are_those_of_the_pages_that_they_lead_to() -> None:
    failed, async_, lost = [
        cells
        for first, cells in table_below(ROOT / "README.md", "# cookiecutter").items()
        if first != "what counts"
    ]
    rows = table_below(DOCS / "postgres.md", "## Persistent connections")
    assert failed[:2] == [rows["sync view, Django's handler"][2], rows["sync view, persistent"][2]]

    measured = table_below(DOCS / "performance" / "results.md", "### The ratios that count")
    told = re.findall(r"[\d.]+", async_[1])
    kept = re.findall(r"[\d.]+", measured["async view, against Django's handler"][0])
    assert [float(figure) for figure in told] == [round(float(figure), 1) for figure in kept]
    assert "two cores" in async_[2]

    container = table_below(ROOT / "README.md", "## The container")
    (name,) = [name for name in container if "containers are replaced" in name]
    assert number(lost[1]) == number(container[name][1])
