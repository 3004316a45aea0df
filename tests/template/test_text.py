"""Text is data: what is accepted reads back the same from every file that it lands in."""

import ast
import html.parser
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException
from markdown_it import MarkdownIt

import template_rules
from tests.conftest import Bake, Run
from tests.support.answers import bake_typed, files, text_questions

HOSTILE = [
    "\"double\" 'single' `back`",
    '"""triple""" \'\'\'quotes\'\'\'',
    "back\\slash \\n \\u0041 \\x00 \\",
    "trailing \\",
    "{braces} }} %} {x",
    "{{ cookiecutter.project_name }}",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{# comment",
    "$HOME ${HOME} $(HOME) $$ `id`",
    "%(percent)s %s 100%",
    "<script>alert(1)</script> &amp; & <!-- -->",
    "]]> </h1>",
    "# heading", "- item", "1. item", "> quote", "| a | b |", "**bold** _x_ ~~y~~", "[a](b) ![c](d)", "===", "---",
    "https://example.com www.example.com",
    "key: value # comment", "- yes", "null", "true", "on", "2024-01-01", "0x10", "1e3", "~", "@at", "!tag", "&anchor", "*alias",
    "0.0.0.0", "/tmp/x", "password", "SELECT * FROM x WHERE y = 1", "{DEBUG}", "# noqa", "# type: ignore", "# fmt: off",  # noqa: S104, S108
    "👩‍💻 🇺🇳 🏳️‍🌈", "Ünï¢ødé", "我的网站", "مرحبا بالعالم", "עברית mixed", "e\u0301", "🫩",
    "a\u202eb", "a\u200bb", "a\u200eb", "a\u2028b", "nul\0", "esc\x1b[31m", "tab\tx", "cr\rlf\n", "\ufeffbom", "\ud800",
    "", " ", " x ", "\u3164", "x" * 60, "x" * 10_000, "--help", "con", "../../etc/passwd", "C:\\x", "PACK",
]  # fmt: skip


def assigned(source: str, name: str) -> object:
    """The literal that a Python file gives a name."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{name} is assigned nowhere")


def shown(markdown: str, block: int) -> str:
    """The text of a block as a reader of the rendered page sees it; markup in it is a mistake."""
    inlines = [token for token in MarkdownIt().parse(markdown) if token.type == "inline"]
    children = inlines[block].children or []
    assert {child.type for child in children} <= {"text", "text_special"}, children
    return "".join(child.content for child in children)


def project_table(text: str) -> dict[str, object]:
    table: dict[str, object] = tomllib.loads(text)["project"]
    return table


# Where each text lands, and how that file's own parser reads it back.
READERS: Mapping[tuple[str, str], Callable[[str], object]] = {
    ("project_name", "config/settings.py"): lambda text: assigned(text, "PROJECT_NAME"),
    ("project_name", "README.md"): lambda text: shown(text, 0),
    ("description", "README.md"): lambda text: shown(text, 1),
    ("description", "pyproject.toml"): lambda text: project_table(text)["description"],
    ("project_slug", "pyproject.toml"): lambda text: project_table(text)["name"],
    ("author_name", "pyproject.toml"): lambda text: tomllib.loads(text)["project"]["authors"][0]["name"],
    ("author_name", "LICENSE"): lambda text: re.findall(r"Copyright \(c\) (.*?)(?:\. All rights reserved\.)?$", text, re.MULTILINE),
    ("author_email", "pyproject.toml"): lambda text: tomllib.loads(text)["project"]["authors"][0]["email"],
    ("domain_name", "config/settings.py"): lambda text: assigned(text, "DOMAIN_NAMES"),
    ("domain_name", "README.md"): lambda text: re.findall(r"default to `(.*)`\.$", text, re.MULTILINE),
    ("project_slug", "Dockerfile"): lambda text: re.findall(r'image\.title="(.*?)"', text),
    ("project_slug", "README.md"): lambda text: re.findall(r"--stop-timeout 30 (.*)`\.$", text, re.MULTILINE),
    ("project_slug", ".env.example"): lambda text: re.findall("^COMPOSE_PROJECT_NAME=(.*)$", text, re.MULTILINE),
    ("project_slug", "Makefile"): lambda text: re.findall(r"deploy\.checkout --name ([^)]*)\)", text),
    ("project_slug", "compose.yaml"): lambda text: yaml.safe_load(text)["name"],
    ("domain_name", "Dockerfile"): lambda text: re.findall(r'image\.url="https://(.*?)/"', text),
    ("domain_name", "compose.proxy.yaml"): lambda text: re.findall(r"SITE_ADDRESS=(.*)$", text, re.MULTILINE),
    ("workers", "config/granian.env"): lambda text: re.findall("^GRANIAN_WORKERS=(.*)$", text, re.MULTILINE),
}  # fmt: skip

LICENSES_THAT_NAME_THE_AUTHOR = ("MIT", "BSD-3-Clause", "Proprietary")


def read_back(project: Path, answer: str) -> list[object]:
    """An answer as each file that holds it gives it back."""
    values = [
        read((project / name).read_text(encoding="utf-8"))
        for (landed, name), read in READERS.items()
        if landed == answer
    ]
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]


def test_every_place_where_text_lands_is_read_back(tmp_path: Path) -> None:
    marks = {
        "project_name": "Markname",
        "project_slug": "markslug",
        "description": "Markdescription",
        "author_name": "Markauthor",
        "author_email": "markmail@example.com",
        "domain_name": "markdomain.example",
        "workers": "53",
    }
    assert marks.keys() == text_questions()

    project = bake_typed(tmp_path, **marks)

    landed = {
        (answer, name)
        for name, path in files(project)
        for answer, mark in marks.items()
        if re.search(rf"(?<![0-9.]){re.escape(mark)}\b", path.read_text(encoding="utf-8"))
    }
    assert landed == READERS.keys()
    for answer, mark in marks.items():
        assert set(map(str, read_back(project, answer))) == {mark}


@pytest.mark.parametrize(
    "text",
    ["A Django project, served by Granian.", "Tea - and more (v1.2)!", "e-mail + chat = talk"],
)
def test_ordinary_text_stands_in_markdown_as_it_was_typed(text: str) -> None:
    assert template_rules.markdown(text) == text


@pytest.mark.parametrize("text", ["1. tea", "12) tea", "- tea", "+ tea", "> tea", "# tea", "tea #"])
def test_what_begins_a_block_in_markdown_is_text(text: str) -> None:
    for line, block in (
        (f"# {template_rules.markdown(text)}", 0),
        (template_rules.markdown(text), 0),
    ):
        assert shown(line, block) == text


@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_hostile_text_reads_back_or_is_refused(tmp_path: Path, text: str) -> None:
    accepted = {a: text for a in sorted(text_questions()) if not template_rules.problem(a, text)}
    for answer in text_questions() - accepted.keys():
        with pytest.raises(FailedHookException, match=f"{answer}: "):
            bake_typed(tmp_path, **{answer: text})
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".cookiecutter"]

    for number, license_name in enumerate(LICENSES_THAT_NAME_THE_AUTHOR):
        folder = tmp_path / str(number)
        folder.mkdir()
        project = bake_typed(folder, license=license_name, **accepted)
        for answer in accepted:
            assert set(read_back(project, answer)) == {text}, answer


@pytest.mark.usefixtures("fast_hooks")
def test_a_project_of_any_name_is_formatted_and_linted(tmp_path: Path, run: Run) -> None:
    for number, text in enumerate(HOSTILE):
        if template_rules.project_name(text) is None:
            folder = tmp_path / str(number)
            folder.mkdir()
            bake_typed(folder, project_name=text)

    run(tmp_path, "ruff", "check", "--no-cache")
    run(tmp_path, "ruff", "format", "--check", "--no-cache")


class Headings(html.parser.HTMLParser):
    """Collects the text of a page's titles and headings."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.inside = tag in {"title", "h1"}
        if self.inside:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


def test_a_hostile_name_is_text_on_the_page(tmp_path: Path, run: Run) -> None:
    name = "</h1><script>\"'`&amp;%s{x}</script>$(id) 👩‍💻 שלום \\"
    project = bake_typed(tmp_path, project_name=name)
    (project / "tests" / "test_page.py").write_text(
        "from pathlib import Path\n\n"
        "def test_page(client):\n"
        "    Path('page.html').write_text(client.get('/').text, encoding='utf-8')\n"
    )

    run(project, "pytest", "-p", "no:cacheprovider", "tests/test_page.py", "home/tests.py")

    parser = Headings()
    parser.feed((project / "page.html").read_text(encoding="utf-8"))
    assert parser.texts == [name, name]


def test_the_names_default_comes_through_too(bake: Bake) -> None:
    """A text that is rendered into another one's default."""
    project = bake(project_name='O\'Brien & "Sons" <{x}>')

    assert set(read_back(project, "author_name")) == {'The O\'Brien & "Sons" <{x}> team'}
