"""The rules, as pure functions."""

import ast
import json
import tomllib

import pytest
from cookiecutter.exceptions import FailedHookException

import template_rules as rules
from tests.conftest import questions

GOOD = {
    "project_name": [
        "My Project",
        "Café",
        "我的网站",
        'O\'Brien & "Sons"',
        "a" * 60,
        "{{ x }}",
        "👩‍💻",
    ],
    "project_slug": ["my-project", "a", "shop2", "a" * 40],
    "description": ["Sells tea.", "100 % \\ $HOME `ls`"],
    "author_name": ["Zoë O'Brien"],
    "author_email": ["team@example.com", "first.last+tag@sub.example.co"],
    "domain_name": ["example.com", "localhost", "xn--bcher-kva.example", "a-1.b2.example"],
    "workers": ["1", "64", "7"],
}
BAD = {
    "project_name": ["", " ", " x", "two\nlines", "bell\a", "nul\0", "a" * 61, "a\u202eb", "a\u200bb"],
    "project_slug": ["", "My_Project", "2fast", "shop-", "-shop", "a" * 41, "django", "granian", "con", "café"],
    "description": ["", "two\nlines", "a" * 201],
    "author_name": ["", "\t", "a" * 101],
    "author_email": ["", "a", "a@b", "a b@c.de", "a@b..de", ".a@b.de", "a@b.de\n", '"a"@b.de', "a@b.de>"],
    "domain_name": ["", "https://example.com", "example.com:8000", "a..b", "-a.com", "a_b.com", "Example.com",
                    "bücher.example", "10.0.0.1", "a" * 64 + ".com", "example.com\n", "a" + ".a" * 127],
    "workers": ["", "0", "65", "-1", "two", "1.5", "1e1", " 1", "1\n", "١", "9" * 5000],
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
    assert len(problem) < 240
    assert any(hint in problem for hint in ("; try ", "; give", "; leave", "; write", " the most"))


def test_an_old_cookiecutter_is_refused() -> None:
    assert rules.too_old("2.7.1") is None
    assert rules.too_old("3.0.0b1") is None
    assert str(rules.too_old("2.6.0")).startswith("cookiecutter 2.6.0 is too old; ")


def test_every_free_text_question_has_a_rule_checked_right_behind_it() -> None:
    free_text = {key for key, default in questions().items() if isinstance(default, str)}
    assert free_text == rules.RULES.keys() == GOOD.keys() == BAD.keys()


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
    pair = (("color", "red"), ("shape", "round"), "red is never round; choose square")
    monkeypatch.setattr(rules, "REFUSED_COMBINATIONS", (pair,))

    assert list(rules.problems({"color": "red", "shape": "round"})) == [
        "color=red with shape=round: red is never round; choose square"
    ]
    assert not list(rules.problems({"color": "red", "shape": "square"}))


@pytest.mark.parametrize("text", GOOD["project_name"] + GOOD["description"])
def test_quoted_text_reads_back(text: str) -> None:
    quoted = rules.quoted(text)
    assert json.loads(quoted) == ast.literal_eval(quoted) == text
    assert tomllib.loads(f"text = {quoted}") == {"text": text}
