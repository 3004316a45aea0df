"""Which combinations of answers are tried: few of all that there are, and each that can matter.

Answers that alter one file together are tried in all their combinations, and any three answers in all of theirs
(a covering array of strength 3). Both are derived from cookiecutter.json and the template's own files, so that
a new answer joins by itself.
"""

import ast
import functools
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import template_rules
from tests.conftest import ROOT, TEMPLATE
from tests.support.answers import PURE_DEFAULTS, Answers, choices

Values = dict[str, list[Any]]
Part = frozenset[tuple[str, Any]]  # some answers


def answers_by_file(root: Path = ROOT) -> dict[str, set[str]]:
    """The answers that each file of a project depends on, its name and its being there among it."""
    asked = json.loads((root / "cookiecutter.json").read_text())
    included = "".join(path.read_text() for path in (root / "templates").rglob("*.txt"))
    found: dict[str, set[str]] = {}
    for path in (root / TEMPLATE.name).rglob("*"):
        name = path.relative_to(root / TEMPLATE.name).as_posix()
        if not path.is_file() or "__pycache__" in path.parts:
            continue
        text = ""
        if not any(fnmatch(name, pattern) for pattern in asked["_copy_without_render"]):
            text = path.read_bytes().decode(errors="replace")
        if "{% include" in text:
            text += included
        found[name] = set(named(name + text, asked)) | conditions(root, name)
    return found


def named(text: str, asked: dict[str, Any]) -> Iterator[str]:
    """The answers that a text names, or whose derived variables it names."""
    for key in re.findall(r"""cookiecutter\s*(?:\.|\[\s*["'])(\w+)""", text):
        if key.startswith("__"):
            yield from named(str(asked[key]), asked)
        else:
            yield key


def conditions(root: Path, name: str) -> set[str]:
    """The answers that decide whether a file is there: those of hooks/post_gen_project.py."""
    tree = ast.parse((root / "hooks" / "post_gen_project.py").read_text())
    (table,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) == "ONLY_FOR"
    ]
    reasons = [table[path] for path in table if f"{name}/".startswith(f"{path}/")]
    return {answer for each in reasons for answer, _ in each}


def groups(values: Values, root: Path = ROOT) -> list[tuple[str, ...]]:
    """The answers that share a file: the largest such groups, in the order of the questions.

    Pure defaults are none of them: a test holds that each is a value in one file, and no more.
    """
    counted = values.keys() - PURE_DEFAULTS.keys()
    found = {frozenset(answers & counted) for answers in answers_by_file(root).values()}
    largest = [group for group in found if not any(group < other for other in found)]
    ordered = [tuple(key for key in values if key in group) for group in largest]
    return sorted(ordered, key=lambda group: (-len(group), group))


def parts(keys: Iterable[str], values: Values) -> Iterator[Part]:
    """All combinations of some answers that are not refused."""
    keys = tuple(keys)
    for product in itertools.product(*(values[key] for key in keys)):
        part = dict(zip(keys, product, strict=True))
        if not refused(part):
            yield frozenset(part.items())


def refused(answers: Answers) -> bool:
    """Whether some of these answers cannot stand together."""
    return any(
        answers.get(one) == value and answers.get(other) == beside
        for (one, value), (other, beside), _ in template_rules.REFUSED_COMBINATIONS
    )


def covering(values: Values, shared: list[tuple[str, ...]], strength: int = 3) -> list[Answers]:
    """Few combinations that hold every one of each shared group, and of any three answers (the strength).

    One after the other: it begins with a part that is missing, and takes for each further answer the value that
    completes the most parts that are missing, a group's rather than threes.
    """
    wanted = [*shared, *itertools.combinations(values, strength)]
    missing = dict.fromkeys(part for keys in wanted for part in parts(keys, values))
    rows = []
    while missing:
        row = dict(next(iter(missing)))
        for key in [key for key in values if key not in row]:
            allowed = [value for value in values[key] if not refused(row | {key: value})]
            whole = [keys for keys in wanted if key in keys and row.keys() | {key} >= set(keys)]
            row[key] = max(allowed, key=lambda value: completed(row | {key: value}, whole, missing))
        rows.append({key: row[key] for key in values})
        for keys in wanted:
            missing.pop(frozenset((key, row[key]) for key in keys), None)
    return rows


def completed(row: Answers, whole: list[tuple[str, ...]], missing: dict[Part, None]) -> int:
    """What a row adds: how many answers the parts have that it completes and that are missing."""
    return sum(
        len(keys) ** 3 for keys in whole if frozenset((each, row[each]) for each in keys) in missing
    )


def every_combination() -> list[Answers]:
    """Those that `make test-matrix` tries; with MATRIX=full, all, the pure defaults cycled through them."""
    return list(tried(os.environ.get("MATRIX") == "full"))


@functools.cache
def tried(full: bool) -> tuple[Answers, ...]:
    values = choices() | {key: list(some) for key, some in PURE_DEFAULTS.items()}
    if not full:
        return tuple(covering(values, groups(values)))
    products = parts((key for key in values if key not in PURE_DEFAULTS), values)
    rows = (
        dict(part) | {key: some[number % len(some)] for key, some in PURE_DEFAULTS.items()}
        for number, part in enumerate(products)
    )
    return tuple({key: row[key] for key in values} for row in rows)


def quick_combinations() -> list[Answers]:
    """A few of them that hold every value of every answer at least once."""
    missing = {item for answers in tried(full=False) for item in answers.items()}
    chosen = []
    while missing:
        chosen.append(max(tried(full=False), key=lambda answers: len(missing & answers.items())))
        missing -= chosen[-1].items()
    return chosen


def of_files(ending: str, strength: int = 3) -> list[Answers]:
    """Few combinations of the answers that some files depend on, and of the Python version, beside defaults.

    With strength 3 as with all answers; with 2 only any two of them.
    """
    together = [answers for name, answers in answers_by_file().items() if name.endswith(ending)]
    read = {"python_version"}.union(*together)
    values = {key: some for key, some in choices().items() if key in read}
    largest = max(together, key=len)
    shared = [tuple(key for key in values if key in largest)] if strength == 3 else []
    return covering(values, shared, strength)
