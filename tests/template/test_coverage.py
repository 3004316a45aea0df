"""No answer without a test, and no test of an answer that is gone."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Bake, bake_into, questions
from tests.support.answers import choices, files, text_questions

BAKERS = {"bake", "bake_into", "bake_typed"}


def keys_that_tests_pass() -> dict[str, str]:
    """Each key that a test generates with by name, and a place where it does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        tables = {
            node.targets[0].id: node.value
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in nodes:
            if isinstance(node, ast.Call) and called(node) in BAKERS:
                place = f"{path.name}:{node.lineno}"
                for keyword in node.keywords:
                    found.update(dict.fromkeys(keys_of(keyword, tables), place))
    return found


def keys_of(keyword: ast.keyword, tables: dict[str, ast.expr]) -> Iterator[str]:
    """What `key=value` and `**table` pass; nothing of a table that is worked out."""
    if keyword.arg:
        yield keyword.arg
    table = tables.get(keyword.value.id) if isinstance(keyword.value, ast.Name) else None
    if not keyword.arg and isinstance(table, ast.Dict):
        for key in table.keys:
            if isinstance(key, ast.Constant):
                yield str(key.value)


def called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def uncovered(asked: Iterable[str]) -> set[str]:
    """The questions that no test passes by name: their effect is nobody's promise."""
    return set(asked) - keys_that_tests_pass().keys()


def test_every_answer_is_passed_by_a_test() -> None:
    assert not uncovered(questions())
    assert uncovered({**questions(), "new": True}) == {"new"}, "a question added later is noticed"


def test_every_key_that_a_test_passes_is_a_question() -> None:
    for key, place in keys_that_tests_pass().items():
        assert key in questions(), f"{place} passes {key!r}, which is no question"


def test_a_key_that_is_gone_fails_its_test(bake: Bake) -> None:
    gone = "python"
    with pytest.raises(AssertionError, match="no such question"):
        bake(**{gone: "x"})


OTHER_TEXT = {
    "project_name": "Other",
    "project_slug": "other",
    "description": "Other.",
    "author_name": "Other",
    "author_email": "other@example.com",
    "domain_name": "other.example",
    "workers": "2",
}


# What an answer cannot be given without.
NEEDED: dict[str, dict[str, Any]] = {"kubernetes": {"database": "postgres"}}


@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("answer", questions())
def test_every_value_of_every_answer_changes_the_project(
    tmp_path_factory: pytest.TempPathFactory, default_project: Path, answer: str
) -> None:
    """An answer that does nothing is a promise that is not kept."""
    values: list[Any] = choices()[answer][1:] if answer in choices() else [OTHER_TEXT[answer]]
    assert OTHER_TEXT.keys() == text_questions()
    beside = NEEDED.get(answer, {})
    seen = [contents(default_project)]
    if beside:
        seen = [contents(bake_into(tmp_path_factory.mktemp("beside"), **beside))]
    for value in values:
        other = beside | {answer: value}
        seen.append(contents(bake_into(tmp_path_factory.mktemp("other"), **other)))
        assert seen[-1] not in seen[:-1], value


def contents(project: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files(project)}


def test_the_readme_lists_the_answers_in_their_order_with_their_values() -> None:
    table = (ROOT / "README.md").read_text().split("## The answers")[1].split("\n\n")[1]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert named == list(questions())
    for row in rows:
        for name in re.findall(r"`(\w+)`", row[0]):
            if name in choices():
                values = [
                    str(value).lower() if value in (True, False) else value
                    for value in choices()[name]
                ]
                assert re.findall(r"`([^`]+)`", row[1]) == values
