"""The rules, as pure functions."""

import ast
import json
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import cookiecutter.prompt
import pytest
from cookiecutter.cli import main as cookiecutter_command
from cookiecutter.exceptions import FailedHookException
from cookiecutter.prompt import prompt_for_config
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment

import template_rules as rules
from tests.conftest import BUILD, ROOT, questions
from tests.template.test_fuzz import ANYTHING

pytestmark = pytest.mark.quick

GOOD = {
    "project_name": [
        "My Project",
        "Café",
        "我的网站",
        'O\'Brien & "Sons"',
        "a" * 60,
        "{x} }} %} #}",
        "👩‍💻",
        "🫩 \U0001cc00",  # Unicode 16: newer than some Pythons that a template runs on
        "مرحبا",
        "&#99999999999;",
        "Cafe\u0301",
    ],
    "project_slug": ["my-project", "a", "shop2", "a" * 40, "test", "x--y"],
    "description": ["a" * 200, "Sells tea.", "100 % \\ $HOME `ls`", "שלום עולם"],
    "author_name": ["Zoë O'Brien", "a" * 100],
    "author_email": [
        "team@example.com",
        "first.last+tag@sub.example.co",
        "a@xn--bcher-kva.example",
        "Ada@Tea.Example",
        "a" * 64 + "@b.example",
        "a" * 59 + "@" + "b.c" * 64 + ".d",
    ],
    "domain_name": [
        "example.com",
        "localhost",
        "xn--bcher-kva.example",
        "a-1.b2.example",
        "ab--cd.example",
        "1.2.example",
        "a." * 126 + "a",
    ],
    "workers": ["1", "64", "7"],
}
BAD = {
    "project_name": ["", " ", " x", "x\u3000", "two\nlines", "bell\a", "nul\0", "a" * 61, "a" * 10_000, " " + "a" * 10_000,
                     "a\u202eb", "a\u200bb", "a\u2028b", "a\x85b", "\u200d", "\u3164", "\u2800", "\u0301", "\ud800", "\uffff",
                     "\ue000", "{{ x }}", "{% x", "{# x"],
    "project_slug": ["", "My_Project", "2fast", "shop-", "-shop", "--help", "a" * 41, "a" * 10_000, "café", "a b", "a\n", "..", "a/b",
                     "django", "django--stubs", "granian", "asgiref", "tzdata", "json", "home", "config", "tests", "con", "lpt9", "localhost"],
    "description": ["", "two\nlines", "a" * 201, "{{ cookiecutter }}"],
    "author_name": ["", "\t", "a" * 101, "{%"],
    "author_email": ["", "a", "a@b", "a b@c.de", "a@b..de", ".a@b.de", "a@b.de\n", '"a"@b.de', "a@b.de>", "zoë@b.de",
                     "a@bücher.example", "{{a}}@b.de", "a@-b.de", "{{a@bücher.example", "a.@b.de", "a..b@c.de", "a@b.", "a" * 60 + "@" + "b.c" * 64 + ".d", "a'b@c_d.example", "a" * 65 + "@b.de", "a@" + "b" * 10_000 + ".de",
                     "a" * 64 + "@" + "b.c" * 63 + ".de"],
    "domain_name": ["", "https://example.com", "example.com:8000", "a..b", "-a.com", "a_b.com", "Example.com",
                    "bücher.example", "我的.中国", "a_ü.example", "xn--zz--zz.example", "10.0.0.1", "a" * 64 + ".com", "A_B.com", "A." * 130 + "com",
                    "example.com\n", "example.com.", "a" + ".a" * 127, "ü" * 10_000, "*.example.com", "[::1]", "a." * 126 + "ab", "example.1"],
    "workers": ["", "0", "65", "-1", "two", "1.5", "1e1", " 1", "1\n", "١", "²", "9" * 5000, "0x1"],
}  # fmt: skip


@pytest.mark.parametrize(("answer", "value"), [(a, v) for a in GOOD for v in GOOD[a]])
def test_good_values_pass(answer: str, value: str) -> None:
    assert rules.RULES[answer](value) is None


@pytest.mark.parametrize(("answer", "value"), [(a, v) for a in BAD for v in BAD[a]])
def test_bad_values_are_refused_in_one_line_that_names_answer_and_mend(
    answer: str, value: str
) -> None:
    (problem,) = rules.problems({answer: value})

    assert problem.startswith(f"{answer}: ")
    assert problem.isprintable()
    assert len(problem) < 300
    assert rules.RULES[answer](suggested(problem)) is None, problem


@pytest.mark.parametrize(
    ("answer", "value", "reason"),
    [
        ("project_name", " ", "is empty"),
        ("project_name", "a" * 61, "has 61 characters, 60 are the most"),
        ("project_name", " tea", "starts or ends with white space"),
        ("project_name", "two\nlines", "has more than one line"),
        ("project_name", "bell\a", "contains the character U+0007, which cannot be seen"),
        ("project_name", "a\u200bb", "contains ZERO WIDTH SPACE, which cannot be seen"),
        ("project_name", "\u0301", "has nothing that can be seen"),
        ("project_name", "a {{ b", "contains '{{', which starts a template"),
        ("project_slug", "a" * 41, "has 41 characters, 40 are the most"),
        ("project_slug", "json", "is the name of a module that the project imports"),
        ("project_slug", "django--stubs", "is the name of a package that the project installs"),
        ("project_slug", "lpt9", "cannot name a folder on Windows"),
        ("author_email", "{{a}}@b.example", "contains '{{', which starts a template"),
        ("author_email", "tea", "is not an e-mail address"),
        ("author_email", "a.@b.example", "has a misplaced dot before the '@'"),
        ("author_email", "a@b", "has no host name in ASCII behind the '@'"),
        ("author_email", "team@" + "b.c" * 83 + ".d", "has 256 characters, 254 are the most"),
        ("domain_name", "", "is empty"),
        ("domain_name", "https://tea.example", "is an address, not a host name alone"),
        ("domain_name", "tea.example:80", "has a port"),
        ("domain_name", "bücher.example", "is not in ASCII"),
        ("domain_name", "Tea.example", "has capitals"),
        ("domain_name", "a." * 126 + "ab", "has 254 characters, 253 are the most"),
        ("domain_name", "a..b", "is not a host name"),
        ("domain_name", "10.0.0.1", "is an IP address or ends like one"),
        (
            "domain_name",
            "xn--zz--zz.example",
            "has a label that starts with 'xn--' and encodes nothing",
        ),
    ],
)
def test_the_reason_is_the_one_that_there_is(answer: str, value: str, reason: str) -> None:
    assert str(rules.RULES[answer](value)).startswith(f"{reason}; try ")


@pytest.mark.parametrize(
    "character",
    ["\a", "\x85", "\u2028", "\u2029", "\ue000", "\ud800", "\u00a0", "\u200b", "\u3164"],
)
def test_what_is_seen_is_told_from_what_is_not(character: str) -> None:
    assert rules.is_invisible(character)
    for visible in (" ", "\u200c", "\u200d", "a", "ü", "🫩"):
        assert not rules.is_invisible(visible)


def test_noncharacters_are_told_from_letters_beside_them() -> None:
    for code in (0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF):
        assert rules.is_noncharacter(code), hex(code)
        assert rules.is_invisible(chr(code)), hex(code)
    for code in (0xFDCF, 0xFDF0, 0xFFFD, 0x10000, ord("a"), 0x2FFFD):
        assert not rules.is_noncharacter(code), hex(code)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two\nlines", r"'two\nlines'"),
        ("ü\u200b", r"'\xfc\u200b'"),
        ("ü", "'ü'"),
        ("a" * 68, f"'{'a' * 68}'"),
        ("a" * 69, f"'{'a' * 59}...'"),
        (["b" * 69], f"['{'b' * 58}...]"),
    ],
)
def test_a_value_is_shown_on_one_line_and_no_longer_than_one(value: object, shown: str) -> None:
    assert rules.shortened(value) == shown


def suggested(problem: str) -> str:
    """The value that would do, with which every problem ends."""
    suggestion = ast.literal_eval(problem.rpartition("; try ")[2])
    assert isinstance(suggestion, str)
    return suggestion


@given(answer=st.sampled_from(sorted(rules.RULES)), value=ANYTHING)
@settings(max_examples=1000, deadline=None, database=None, derandomize=True)
def test_whatever_is_refused_gets_a_suggestion_that_is_not(answer: str, value: str) -> None:
    for problem in rules.problems({answer: value}):
        assert problem.isprintable()
        assert rules.RULES[answer](suggested(problem)) is None, problem


@pytest.mark.parametrize(
    ("answer", "value", "suggestion"),
    [
        ("project_name", "two\nlines", "two lines"),
        ("project_name", "a\u200bb\u00a0c", "ab c"),
        ("project_name", "{{{% x", "{ { { % x"),
        ("project_name", "x" * 61, "x" * 60),
        ("project_name", "\u200d", "My Project"),
        ("domain_name", "https://tea.example:8000/shop?x#y", "tea.example"),
        ("domain_name", "Tea.example.", "tea.example"),
        ("domain_name", "A_B.com", "example.com"),
        ("domain_name", f"https://{'a' * 52}.example", f"{'a' * 52}.example"),
        ("domain_name", f"https://{'a' * 53}.example", "example.com"),
        ("project_name", f" {'x' * 59} y", "x" * 59),
        ("description", f"{'x ' * 101}", f"{'x ' * 29}x"),
        ("author_email", "zoë@tea.example", "team@example.com"),
        ("author_email", "zoe@bücher.example", "zoe@xn--bcher-kva.example"),
    ],
)
def test_a_suggestion_is_near_to_what_was_meant(answer: str, value: str, suggestion: str) -> None:
    (problem,) = rules.problems({answer: value})

    assert suggested(problem) == suggestion


def test_an_old_cookiecutter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rules.too_old("2.7.1") is None
    assert rules.too_old("3.0.0b1") is None
    assert str(rules.too_old("2.6.0")).startswith("cookiecutter 2.6.0 is too old; ")
    monkeypatch.setattr(cookiecutter, "__version__", "2.6.0")
    with pytest.raises(FailedHookException, match=r"cookiecutter 2\.6\.0 is too old"):
        rules.TemplateRules(Environment(autoescape=True))


def test_every_free_text_question_has_a_rule_checked_right_behind_it() -> None:
    free_text = {key for key, default in questions().items() if isinstance(default, str)}
    assert free_text == rules.RULES.keys() == GOOD.keys() == BAD.keys()
    keys = list(json.loads((ROOT / "cookiecutter.json").read_bytes()))
    for question in free_text:
        assert keys[keys.index(question) + 1] == f"__check_{question}"
    assert keys.index("__check_combination") > max(map(keys.index, questions()))
    for (first, _), (second, _), _ in rules.REFUSED_COMBINATIONS:
        assert keys.index(first) < keys.index(second), "the second is asked again"
        assert keys[keys.index(second) + 1] == f"__check_{second}"


def test_a_suggested_slug_is_valid() -> None:
    for name in [*GOOD["project_name"], *BAD["project_slug"], "3D Printer", "--help", "con", "🎉"]:
        assert rules.project_slug(rules.slug(name)) is None, name


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Project", "my-project"),
        ("Café", "cafe"),
        ("我的网站", "wo-de-wang-zhan"),
        ("3D Printer", "project-3d-printer"),
        ("--help", "help"),
        ("con", "con-project"),
        ("test", "test"),
        ("tests", "tests-project"),
        ("home", "home-project"),
        ("asgiref", "asgiref-project"),
        ("Cafe\u0301", "cafe"),
        ("مرحبا", "mrhb"),
        ("&#99999999999;", "project-99999999999"),
        ("Ⅻ ﬁne", "xii-fine"),
        ("9" * 60, "project-" + "9" * 32),
        ("django", "django-project"),
        ("my site!", "my-site"),
        ("🎉", "my-project"),
    ],
)
def test_slugs_of_names_from_the_world(name: str, slug: str) -> None:
    assert rules.slug(name) == slug


def test_check_stops_at_the_first_problem_and_problems_lists_all() -> None:
    answers = {"project_slug": "-", "workers": "0"}

    assert len(list(rules.problems(answers))) == 2
    with pytest.raises(FailedHookException, match=r"^project_slug: '-' "):
        rules.check(answers)
    assert rules.check({"project_slug": "a", "workers": "1"}) == ""


def test_refused_combinations_name_both_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With made-up pairs: one of two choices, as a wheel that is missing would be, one with a switch."""
    made_up: Any = (
        (
            ("python_version", "3.12"),
            ("event_loop", "rloop"),
            "has no wheel; try event_loop=uvloop",
        ),
        (("event_loop", "asyncio"), ("access_log", True), "is too slow; try access_log=false"),
        (("access_log", False), ("workers", "2"), "tells nothing; try access_log=true"),
    )
    monkeypatch.setattr(rules, "REFUSED_COMBINATIONS", made_up)

    assert list(rules.problems({"python_version": "3.12", "event_loop": "rloop"})) == [
        "python_version=3.12 with event_loop=rloop: has no wheel; try event_loop=uvloop"
    ]
    assert list(rules.problems({"event_loop": "asyncio", "access_log": True})) == [
        "event_loop=asyncio with access_log=true: is too slow; try access_log=false"
    ]
    assert list(rules.problems({"access_log": False, "workers": "2"})) == [
        "access_log=false with workers=2: tells nothing; try access_log=true"
    ]
    assert not list(rules.problems({"python_version": "3.13", "event_loop": "rloop"}))
    assert not list(rules.problems({"event_loop": "asyncio", "access_log": False}))
    assert not list(rules.problems({"event_loop": "rloop"}))
    with pytest.raises(FailedHookException, match="has no wheel"):
        rules.check({"python_version": "3.12", "event_loop": "rloop"})


def test_refused_combinations_are_of_answers_that_exist() -> None:
    for first, second, reason in rules.REFUSED_COMBINATIONS:
        assert "; " in reason, "a reason and a fix"
        for answer, value in (first, second):
            assert rules.problem(answer, value) is None


@pytest.mark.parametrize(
    ("answer", "value", "words"),
    [
        ("event_loop", "trio", "'trio' is none of uvloop, asyncio, rloop; try 'uvloop'"),
        ("license", None, "None is none of MIT, "),
        ("access_log", "no", "'no' is neither true nor false; try 'true'"),
        ("access_log", 0, "0 is neither true nor false; try 'true'"),
        ("project_name", None, "None is not text; try 'My Project'"),
        ("project_name", True, "True is not text; "),
        ("description", {"a": 1}, "{'a': 1} is not text; "),
        ("workers", 65, "65 is not a whole number from 1 to 64; "),
        ("workers", 1.5, "1.5 is not a whole number from 1 to 64; "),
    ],
)
def test_values_that_a_file_or_a_program_may_hold(answer: str, value: object, words: str) -> None:
    (problem,) = rules.problems({answer: value})

    assert problem.startswith(f"{answer}: {words}")


def test_numbers_and_answers_of_other_versions_pass() -> None:
    assert not list(rules.problems({"workers": 4, "project_name": 2024, "gone": "x", "_x": None}))


def test_internationalised_names_get_their_current_ascii_form() -> None:
    assert "try 'xn--fa-hia.de'" in str(rules.domain_name("faß.de")), "IDNA 2008, not 2003"
    assert "try 'a@xn--bcher-kva.example'" in str(rules.author_email("a@bücher.example"))


def test_a_folder_that_exists_is_refused_unless_overwritten(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop-2").mkdir()
    answers = {"project_slug": "shop"}

    (problem,) = rules.folder_exists(answers, {"output_dir": str(tmp_path)})

    assert problem.startswith("project_slug: 'shop' is there already")
    assert "try 'shop-3', or -f" in problem
    (tmp_path / ("a" * 35 + "-bcde")).mkdir()
    (tmp_path / ("a" * 40)).mkdir()
    for slug, free in {"a" * 35 + "-bcde": "a" * 35 + "-2", "a" * 40: "a" * 36 + "-2"}.items():
        (problem,) = rules.folder_exists({"project_slug": slug}, {"output_dir": str(tmp_path)})
        assert rules.suggestion(problem) == free
    overwriting = {"output_dir": str(tmp_path), "overwrite_if_exists": True}
    assert not list(rules.folder_exists(answers, overwriting))
    for slug in ("tea", "a" * 10_000, "nul\0", "\ud800"):
        assert not list(rules.folder_exists({"project_slug": slug}, {"output_dir": str(tmp_path)}))
    (tmp_path / "tea").symlink_to("nowhere")
    assert list(rules.folder_exists({"project_slug": "tea"}, {"output_dir": str(tmp_path)}))
    assert not list(rules.folder_exists({}, {"output_dir": str(tmp_path)}))
    assert not list(rules.folder_exists(answers, {})), "cookiecutter itself refuses, as it can know"


def test_the_folder_of_another_command_is_none_to_generate_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cruft runs in the project, which may hold an app of the project's name."""
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path)
    answers = {"project_slug": "shop"}
    cruft = click.Context(click.Command("update"))
    cruft.params = {"project_dir": Path("."), "extra_context": "{}"}

    with cruft:
        assert rules.check(answers) == ""
    with click.Context(cookiecutter_command) as command:
        command.params = {"output_dir": "."}
        with pytest.raises(FailedHookException, match="is there already"):
            rules.check(answers)


def test_keys_that_are_no_question_are_named_with_what_was_meant() -> None:
    given = ["workers", "worker", "databse", "x\ny"]

    lines = list(rules.unknown_keys(given))

    assert lines[0] == (
        "warning: 'worker' is no question and changes nothing; did you mean 'workers'?"
    )
    assert lines[1].endswith("did you mean 'database'?")
    assert f"there are {', '.join(questions())}" in lines[2]
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


class CommandLine(click.Context):
    """The command line of cookiecutter, with these extra answers."""

    def __init__(self, **extra: str) -> None:
        super().__init__(cookiecutter_command)
        self.params = {"extra_context": extra, "output_dir": "."}


def test_the_keys_of_the_command_line_are_judged_once(capsys: pytest.CaptureFixture[str]) -> None:
    """cookiecutter loads the rules several times in one run."""
    with CommandLine(worker="1", workers="2"):
        environments = [
            Environment(autoescape=True, extensions=[rules.TemplateRules]) for _ in range(2)
        ]

    for environment in environments:
        assert environment.filters.keys() >= rules.FILTERS.keys()
        (extension,) = environment.extensions.values()
        assert extension.environment is environment
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "warning: 'worker' is no question and changes nothing; did you mean 'workers'?\n"
    )
    with CommandLine(project_slug="x", __database_name="tea"):
        said = (
            "^__database_name: 'tea' cannot be given, the template sets it; leave __database_name"
        )
        with pytest.raises(FailedHookException, match=said):
            rules.judge_keys()
    with click.Context(click.Command("update")) as cruft:
        cruft.params = {"extra_context": {"worker": "1"}}
        rules.judge_keys()
    rules.judge_keys()
    assert capsys.readouterr() == ("", "")


CONFIG = {
    "workers": "99",
    "_extensions": ["template_rules.TemplateRules"],
    "__check_workers": "{{ cookiecutter | check }}",
}


def test_a_person_at_a_terminal_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replies = iter(["1: 2", "4"])
    asked: list[tuple[object, ...]] = []

    def ask_again(*question: object) -> str:
        asked.append(question)
        return next(replies)

    monkeypatch.setattr(cookiecutter.prompt, "read_user_variable", lambda *_: "99")
    monkeypatch.setattr(rules, "read_user_variable", ask_again)
    monkeypatch.setattr("sys.stdin", Terminal())

    answers = prompt_for_config({"cookiecutter": dict(CONFIG)})

    assert answers["workers"] == "4"
    assert answers["__check_workers"] == ""
    place = list(questions()).index("workers") + 1
    question = ("workers", "1", PROMPTS, f"  [dim][{place}/{len(questions())}][/] ")
    assert asked == [question, question]
    problems = [
        f"workers: '{bad}' is not a whole number from 1 to 64; try '1'" for bad in ("99", "1: 2")
    ]
    assert capsys.readouterr() == ("", "".join(f"{line}\n" for line in problems))


PROMPTS = json.loads((ROOT / "cookiecutter.json").read_bytes())["__prompts__"]


class Terminal:
    """A standard input, at which somebody sits or not."""

    def __init__(self, somebody: bool = True) -> None:
        self.isatty = lambda: somebody


@pytest.mark.parametrize(("somebody", "no_input"), [(True, True), (False, False)])
def test_nobody_is_asked_again_where_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch, somebody: bool, no_input: bool
) -> None:
    monkeypatch.setattr(cookiecutter.prompt, "read_user_variable", lambda *_: "99")
    monkeypatch.setattr("sys.stdin", Terminal(somebody))
    with pytest.raises(FailedHookException, match=r"^workers: '99' is not a whole number"):
        prompt_for_config({"cookiecutter": dict(CONFIG)}, no_input)


def test_nobody_is_asked_by_a_cookiecutter_that_works_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def changed() -> bool:
        return rules.somebody_is_asked()

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(rules, "prompt_for_config", changed)
    assert not changed()
    assert not rules.somebody_is_asked()


@pytest.mark.parametrize("value", ["x; try 'y", "x; try 'y'", " a; try 'b'", ' a; try "b" \'c'])
@pytest.mark.parametrize("answer", ["project_slug", "project_name", "domain_name"])
def test_the_default_of_the_question_is_not_taken_from_the_value(answer: str, value: str) -> None:
    for problem in rules.problems({answer: value}):
        assert rules.RULES[answer](rules.suggestion(problem)) is None, problem


def holds_rules(folder: str) -> bool:
    return Path(folder, "template_rules.py").exists()


def test_the_newest_rules_judge_though_older_ones_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cruft update` renders two versions of the template in one process."""
    source = Path(rules.__file__).read_text()
    (tmp_path / "template_rules.py").write_text(
        source.replace("WORKERS_MAX = 64", "WORKERS_MAX = 2")
    )
    for name in ("cookiecutter.json", "versions.json"):
        shutil.copy(ROOT / name, tmp_path)
    assert rules.newest_filters() is rules.FILTERS
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not holds_rules(path)])
    assert rules.newest_filters() is rules.FILTERS, "as where they are no file on the path"

    monkeypatch.syspath_prepend(tmp_path)

    assert rules.newest_filters()["problems"]({"workers": "3"}) == [
        "workers: '3' is not a whole number from 1 to 2; try '1'"
    ]


@pytest.mark.parametrize("text", GOOD["project_name"] + GOOD["description"])
def test_quoted_text_reads_back(text: str) -> None:
    quoted = rules.quoted(text)
    assert json.loads(quoted) == ast.literal_eval(quoted) == text
    assert tomllib.loads(f"text = {quoted}") == {"text": text}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Sells tea.", "Sells tea."),
        ("1. *tea* & [milk](x)", r"1\. \*tea\* \& \[milk\](x)"),
        ("- 1. tea - #2 `x` <b>", r"\- 1. tea - \#2 \`x\` \<b>"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, escaped: str) -> None:
    assert rules.markdown(text) == escaped


@pytest.mark.usefixtures("environment")
def test_no_slug_shadows_what_the_project_installs() -> None:
    """A project named like one of its packages, however deep, is one that cannot be installed."""
    lock = tomllib.loads((BUILD / "environment-project" / "uv.lock").read_text())
    installed = {package["name"] for package in lock["package"]} - {"my-project"}
    loops = set(questions()["event_loop"]) - {"asyncio"}
    assert installed | loops <= rules.PACKAGES, "add these to PACKAGES"


def test_no_slug_is_the_name_of_a_module_that_the_project_imports(
    default_project: Path, widest_project: Path
) -> None:
    imported = {path.parent.name for path in default_project.glob("*/__init__.py")}
    for path in (*default_project.rglob("*.py"), *widest_project.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    assert imported - {"__future__"} <= rules.RESERVED.keys(), "add these to MODULES"
