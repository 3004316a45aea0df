"""What the texts name is there: modules, files, links; and docs/architecture.md names every module."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from benchmarks import container
from benchmarks.plots import plots
from benchmarks.report import report
from benchmarks.results import Results
from tests.conftest import ROOT, TEMPLATE, Bake, package_sources
from tests.support.answers import choices
from tests.support.command import home
from tests.support.names import is_there, module_file
from tests.support.readme import blocks, tokens

OWN_PACKAGES = sorted((TEMPLATE / "packages").iterdir())
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    TEMPLATE / "README.md",
    *(package / "README.md" for package in OWN_PACKAGES),
]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

SCALING = ROOT / "docs" / "scaling.md"

# What a path in a text may be relative to.
MANIFESTS = TEMPLATE / "deploy" / "kubernetes"
ROOTS = [ROOT, ROOT / "docs", TEMPLATE, MANIFESTS, *OWN_PACKAGES, *package_sources(TEMPLATE)]

# Files that are no part of the template: an owner writes them, or something that runs does.
ELSEWHERE = re.compile(
    r"(shop|mysite|build|\.secrets|\.venv)/.*|lifespan\.py|tests\.py|\.?/.*|0\.0\.0\.0/0|.*/"
    r"|deployment/\w+|[\w.-]+\.io/.*"  # objects and labels of a cluster
)

ARCHITECTURE = ROOT / "docs" / "architecture.md"


def test_single_answers_are_tried_as_contributing_says(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (command,) = re.findall(r"`(\S*cookiecutter \. .*)`", text)
    words = command.split()
    words[words.index("/tmp")] = str(tmp_path)  # noqa: S108
    subprocess.run(words, cwd=ROOT, env=home(tmp_path), check=True)
    made = (tmp_path / "my-project" / "compose.yaml").read_text()
    assert "image: postgres:" in made


# The generated README


@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("cache", choices()["cache"])
@pytest.mark.parametrize("database", choices()["database"])
@pytest.mark.parametrize("tasks", choices()["tasks"])
@pytest.mark.parametrize("telemetry", choices()["telemetry"])
def test_the_generated_readme_can_be_read_in_one_go(
    bake: Bake, database: str, cache: str, tasks: str, telemetry: str
) -> None:
    project = bake(database=database, cache=cache, tasks=tasks, telemetry=telemetry)
    lines = (project / "README.md").read_text().splitlines()
    # What an answer adds: a paragraph on tasks, the name of a folder.
    added = 5 * (tasks == "database") + (telemetry != "none")
    assert len(lines) < 150 + added


def test_no_other_answer_changes_its_length() -> None:
    conditions = re.findall(r"cookiecutter\.(\w+) ==", (TEMPLATE / "README.md").read_text())
    # The last within a line.
    assert set(conditions) == {"database", "cache", "tasks", "telemetry", "lifespan_mode"}


def test_what_scaling_does_to_a_deployment_it_does_in_its_namespace() -> None:
    """`kubectl` would take the context's, which is `default` most often."""
    commands = re.findall(r"`(kubectl\s[^`]*\brollout\s[^`]*)`", SCALING.read_text())
    assert len(commands) > 1
    assert all("--namespace" in each for each in commands), commands


# What all texts name


@pages
def test_every_module_that_is_named_is_there(page: Path) -> None:
    text = page.read_text()
    own = r"(?:serving|serving_tools|data)"
    named = set(re.findall(rf"(?<![\w./-]){own}(?:\.[A-Za-z_]\w*)+", text))
    imports = rf"from ({own}[\w.]*) import (?:\(([^)]*)\)|(.*))"
    for module, several, one in re.findall(imports, text):
        named |= {f"{module}.{name}" for name in re.findall(r"\w+", several or one)}
    modules = ("serving.checks", "serving.conf", "serving_tools.checks")
    with_checks = map(module_file, (*modules, "serving_tools.login_limits.checks"))
    checks = "".join((file or page).read_text() for file in with_checks)
    missing = [name for name in named if not is_there(name) and f'"{name}"' not in checks]
    assert not missing, f"{page.relative_to(ROOT)} names what is not there"


@pages
def test_every_file_that_is_named_is_there(page: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", page.read_text())
    words = {word.strip(",;:()") for span in spans for word in span.split()}
    ending = r"py|md|toml|json|yaml"
    paths = {
        word for word in words if re.fullmatch(rf"[\w.*-]+(/[\w.*-]*)+|[\w-]+\.({ending})", word)
    }
    missing = [path for path in paths if not ELSEWHERE.fullmatch(path) and not stands(path)]
    assert not missing, f"{page.relative_to(ROOT)} names what is not there"


def stands(path: str) -> bool:
    return any(any(root.glob(path)) for root in ROOTS)


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            ours = re.match(
                r"https://github\.com/org/cookiecutter-django-granian/tree/main/(.*)", target
            )
            assert not ours or (ROOT / ours[1]).exists(), f"{target} leads nowhere"
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), f"{page.relative_to(ROOT)}: {target} leads nowhere"
        assert not anchor or anchor in anchors(linked), f"{linked.name} has no heading #{anchor}"


def links(page: Path) -> Iterator[str]:
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        for child in token.children or []:
            if child.type == "link_open":
                yield unquote(str(child.attrs["href"]))


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_page_is_linked_from_the_readme_or_a_page() -> None:
    linked = {link for page in PAGES for link in links(page)}
    listed = set(
        re.findall(r"^\| `([\w-]+\.md)` \|", (TEMPLATE / "README.md").read_text(), re.MULTILINE)
    )
    names = {link.partition("#")[0].rpartition("/")[2] for link in linked} | listed
    lost = {page.name for page in (ROOT / "docs").glob("*.md")} - names
    assert not lost, "no page leads there"


# Commands that remove something

# The first word of a command, in a line of a shell or in one that it passes on.
REMOVAL = re.compile(r"(?:^|[\s;&|\"'(])(?:rm|rmdir|shred|dropdb|flush)\s")


def removals(page: Path) -> list[tuple[str, str]]:
    """Each line of a block that removes something, behind those before it; one that goes on is one line."""
    blocks = [token.content for _, token in tokens(page) if token.type in ("fence", "code_block")]
    found = []
    for block in blocks:
        lines = re.sub(r"\\\n\s*", "", block).splitlines()
        found += [
            ("\n".join(lines[:index]), line)
            for index, line in enumerate(lines)
            if REMOVAL.search(line)
        ]
    return found


@pages
def test_what_removes_names_no_variable_that_may_be_empty(page: Path) -> None:
    """In another shell than the one that set it, `rm -f /data/$copy*` is the database that is in use."""
    for _, line in removals(page):
        command = line[match.start() :] if (match := REMOVAL.search(line)) else line
        loose = re.findall(r"\$(?!\{\w+:\?\})\S*", command)
        assert not loose, f"{page.name}: {line.strip()}"


@pages
def test_what_removes_comes_after_a_step_that_succeeded(page: Path) -> None:
    """A shell at a prompt runs a block's next line whatever became of the one before."""
    for before, line in removals(page):
        alone = (
            not before.strip() or before.endswith("&&") or re.search(r"&&\s*(?:\S+ )*\brm", line)
        )
        assert alone, f"{page.name}: {line.strip()}"


def test_some_pages_remove_something() -> None:
    found = {page.name for page in PAGES if removals(page)}
    assert {"backups.md", "updating.md"} <= found


COPIES = [text for _, text in blocks("sh", ROOT / "docs" / "backups.md")]


@pytest.mark.parametrize("block", COPIES, ids=["out", "back", "uploads-out", "uploads-back"])
@pytest.mark.parametrize("fails", [True, False], ids=["failed", "unset"])
def test_a_copy_that_failed_or_has_no_name_is_not_removed(
    tmp_path: Path, block: str, *, fails: bool
) -> None:
    """As pasted into a new shell: where a container's command fails, or no variable is set."""
    log = tmp_path / "log"
    for name in ("docker", "make"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "$0 $@" >>{log}; exit {int(fails)}\n')
        program.chmod(0o755)
    variables = {"copy": "tea", "uploads": "tea"} if fails else {}
    (tmp_path / "tea").touch()
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "tea").touch()
    subprocess.run(
        ["bash", "-i"], input=block, cwd=tmp_path, text=True, capture_output=True, check=False,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), **variables},
    )  # fmt: skip
    told = log.read_text().splitlines() if log.exists() else []
    assert told or not fails, "it is followed"
    removed = [line.partition("rm -f ")[2] for line in told if "rm -f " in line]
    assert not removed or (not fails and "uploads=" in block), removed
    assert all("/uploads-2" in path for path in removed)


# Figures, which are held by what measures them


def table_below(page: Path, words: str) -> dict[str, list[str]]:
    """The rows of the first table that comes after these words, by their first cell."""
    rows: dict[str, list[str]] = {}
    for line in page.read_text().partition(words)[2].splitlines():
        if line.startswith("|"):
            first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[first] = cells
        elif rows:
            break
    return {first: cells for first, cells in rows.items() if first.strip("-")}


def number(text: str) -> float:
    found = re.search(r"[\d,.]*\d", text)
    assert found, text
    return float(found[0].replace(",", ""))


def test_the_tables_of_the_benchmarks_are_those_of_their_results() -> None:
    folder = ROOT / "docs" / "performance"
    kept = Results.read(folder / "results.json")
    assert (folder / "results.md").read_text() == report(kept)
    for name, plot in plots(kept):
        assert (folder / name).read_text() == plot, f"{name} is of another run"


def test_the_bounds_of_a_container_are_those_that_make_test_container_judges_by() -> None:
    rows = table_below(ROOT / "README.md", "## The container")
    told = [number(bound) for bound, _ in rows.values()]
    assert told == [*container.LIMITS.values(), 0], "the last is held by tests/containers/"
    assert all(number(measured) <= number(bound) for bound, measured in rows.values())


def test_the_sizes_that_answers_add_are_those_that_make_test_container_judges_by() -> None:
    rows = table_below(ROOT / "docs" / "containers.md", "What they add to the image")
    told = {what.strip("`"): number(bound) for what, (bound, _) in rows.items()}
    assert told == {what: bound for what, (*_, bound) in container.ADDED.items()}
    assert all(number(measured) <= number(bound) for bound, measured in rows.values())


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "| measured |" in page.read_text()],
    ids=lambda page: page.name,
)
def test_what_is_measured_says_when_and_on_what(page: Path) -> None:
    for before in page.read_text().split("| measured |")[:-1]:
        said = before.splitlines()[-6:]
        assert re.search(
            r"Python 3\.\d+.*20\d\d|20\d\d.*Python 3\.\d+", " ".join(said), re.DOTALL
        ), said


# docs/architecture.md


def test_every_module_has_its_line_and_nothing_else_has_one() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "*.py"],
        cwd=TEMPLATE, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    modules = {
        name
        for name in listed
        if re.match(r"packages/[^/]+/src/|data/|config/", name)
        and not name.endswith("__init__.py")
        and (TEMPLATE / name).exists()
    }
    shown = set(shown_files(ARCHITECTURE.read_text()))

    missing = "\n".join(f"  {name}" for name in sorted(modules - shown))
    assert not missing, f"docs/architecture.md lacks a line for each of\n{missing}"
    gone = "\n".join(f"  {name}" for name in sorted(shown) if not (TEMPLATE / name).exists())
    assert not gone, f"docs/architecture.md names what is not there\n{gone}"


def shown_files(text: str) -> Iterator[str]:
    """The paths in the page's trees: a line has one name or more, and two spaces before what it says."""
    folders: list[tuple[int, str]] = []
    for line in re.findall(r"^    .*$", text, re.MULTILINE):
        indent = len(line) - len(line.lstrip())
        names, _, rest = line.strip().partition("  ")
        while folders and folders[-1][0] >= indent:
            folders.pop()
        folder = folders[-1][1] if folders else ""
        for name in names.split(", "):
            yield folder + name
        if names.endswith("/"):
            folders.append((indent, folder + names))
            if re.fullmatch(r"([\w.]+\.\w+(, )?)+", rest.strip()):
                yield from (folder + names + name for name in rest.strip().split(", "))
