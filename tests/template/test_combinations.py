"""tests/support/combinations.py finds which answers can meet, and tries what it says that it tries."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import template_rules
from tests.conftest import ROOT, TEMPLATE, questions
from tests.support.answers import PURE_DEFAULTS, Answers, choices
from tests.support.combinations import (
    answers_by_file,
    covering,
    every_combination,
    groups,
    of_files,
    quick_combinations,
    tried,
)
from tests.support.command import template_make, working_tree

pytestmark = pytest.mark.quick


def accepted(keys: tuple[str, ...]) -> set[tuple[Any, ...]]:
    """The values that some answers may have together."""
    offered = choices() | {key: list(values) for key, values in PURE_DEFAULTS.items()}
    products = itertools.product(*(offered[key] for key in keys))
    return {
        values
        for values in products
        if not list(template_rules.problems(dict(zip(keys, values, strict=True))))
    }


def held(keys: tuple[str, ...], rows: list[Answers]) -> set[tuple[Any, ...]]:
    return {tuple(row[key] for key in keys) for row in rows}


def test_any_three_answers_are_tried_in_all_their_combinations() -> None:
    keys = [*choices(), *(key for key in PURE_DEFAULTS if key not in choices())]
    assert keys == [*every_combination()[0]]
    assert {key for key in questions() if key in keys} == set(keys)
    for three in itertools.combinations(keys, 3):
        assert held(three, every_combination()) == accepted(three), three


def test_answers_that_share_a_file_are_tried_in_all_their_combinations() -> None:
    for name, answers in answers_by_file().items():
        together = tuple(key for key in choices() if key in answers - PURE_DEFAULTS.keys())
        assert held(together, every_combination()) == accepted(together), name


def test_no_combination_is_refused_and_there_are_few() -> None:
    for rows in (every_combination(), list(tried(full=True))):
        assert not [row for row in rows if list(template_rules.problems(row))]
        assert len({tuple(row.items()) for row in rows}) == len(rows)
    assert 5 * len(every_combination()) < len(tried(full=True))
    together = tuple(key for key in choices() if key not in PURE_DEFAULTS)
    assert held(together, list(tried(full=True))) == accepted(together)


def test_a_target_tries_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    pytest_ = tmp_path / ".venv" / "bin" / "pytest"
    pytest_.write_text('#!/bin/sh\necho "MATRIX is $MATRIX: $*"\n')
    pytest_.chmod(0o755)
    assert "MATRIX is full: -m matrix\n" in template_make(tmp_path, "test-matrix-full")


def test_the_few_combinations_hold_every_value_of_every_choice() -> None:
    for answer, values in choices().items():
        assert {answers[answer] for answers in quick_combinations()} == set(values), answer
    assert len(quick_combinations()) <= 2 * max(map(len, choices().values()))


def test_every_variant_of_the_code_is_typed_and_any_two_answers_on_each_python() -> None:
    rows = of_files(".py")
    code = set().union(
        *(found for name, found in answers_by_file().items() if name.endswith(".py"))
    )
    keys = tuple(key for key in choices() if key in code)
    assert held(keys, rows) == accepted(keys)
    for two in itertools.combinations(keys, 2):
        assert held(("python_version", *two), rows) == accepted(("python_version", *two))
    assert len(rows) < 2 * len(accepted(keys))


# What is planted in a copy of the template: four answers that share no file in the real one.
FOUR = {
    "python_version": "3.12",
    "lifespan_mode": "optional",
    "event_loop": "rloop",
    "license": "MIT",
}


@pytest.fixture
def template(tmp_path: Path) -> Path:
    working_tree(tmp_path)
    return tmp_path


def rows_of(template: Path, **more: list[Any]) -> list[Answers]:
    values = choices() | more
    return covering(values, groups(values, template))


def are_tried(several: list[Answers], rows: list[Answers]) -> bool:
    return all(any(answers.items() <= row.items() for row in rows) for answers in several)


def every_four() -> list[Answers]:
    """All combinations of the four answers."""
    products = itertools.product(*(choices()[key] for key in FOUR))
    return [dict(zip(FOUR, values, strict=True)) for values in products]


@pytest.mark.parametrize(
    "form", ["cookiecutter.{}", 'cookiecutter["{}"]', "cookiecutter['{}']", "cookiecutter [ '{}' ]"]
)
def test_four_answers_that_meet_in_a_file_are_found(template: Path, form: str) -> None:
    """In each form in which Jinja reads them."""
    assert not are_tried(every_four(), rows_of(template)), "nor need be"
    condition = " and ".join(f'{form.format(key)} == "{value}"' for key, value in FOUR.items())
    with (template / TEMPLATE.name / "manage.py").open("a") as file:
        file.write(f"{{% if {condition} %}}\n(\n{{% endif %}}\n")

    assert are_tried(every_four(), rows_of(template))


def test_so_are_those_that_meet_in_a_files_name_its_condition_and_a_derived_variable(
    template: Path,
) -> None:
    asked = json.loads((template / "cookiecutter.json").read_text())
    asked["__loop"] = "{{ cookiecutter.event_loop }}"
    asked["__both"] = "{{ cookiecutter.__loop }}{{ cookiecutter.lifespan_mode }}"
    (template / "cookiecutter.json").write_text(json.dumps(asked))
    file = "notes-{{cookiecutter.license}}.txt"
    (template / TEMPLATE.name / "notes").mkdir()
    (template / TEMPLATE.name / "notes" / file).write_text("{{ cookiecutter.__both }}\n")
    hook = template / "hooks" / "post_gen_project.py"
    table = "ONLY_FOR: dict[str, list[tuple[str, str | bool]]] = {\n"
    assert table in hook.read_text()
    hook.write_text(
        hook.read_text().replace(table, f'{table}    "notes": [("python_version", "3.12")],\n')
    )

    assert answers_by_file(template)[f"notes/{file}"] == set(FOUR)
    assert are_tried(every_four(), rows_of(template))


def test_a_new_answer_joins_by_itself(template: Path) -> None:
    """Beside any two others at once, and beside all with which it shares a file."""
    new = {"forge": ["codeberg", "sourcehut", "none"]}
    beside = itertools.product(new["forge"], choices()["license"], choices()["python_version"])
    with (template / TEMPLATE.name / "README.md").open("a") as file:
        file.write("{{ cookiecutter.forge }}\n")

    rows = rows_of(template, **new)

    three = ("forge", "license", "python_version")
    assert are_tried([dict(zip(three, values, strict=True)) for values in beside], rows)
    readme = tuple(key for key in choices() if key in answers_by_file(template)["README.md"])
    assert "forge" in answers_by_file(template)["README.md"]
    assert held(("forge", *readme), rows) == {
        (forge, *values) for forge in new["forge"] for values in accepted(readme)
    }
