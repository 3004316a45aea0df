"""The table of docs/variables.md: names, kinds and defaults as config/settings.py has them, and people's words.

`make reference` writes it anew. It keeps what each variable means, by its name, and names one that has no words yet.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT, TEMPLATE

PAGE = ROOT / "docs" / "variables.md"
SETTINGS = TEMPLATE / "config" / "settings.py"
TITLES = ["variable", "kind", "default", "meaning"]

KINDS = {
    "bool": "true or false",
    "checked": "text",
    "integer": "whole number",
    "items": "list, by commas",
    "mailers": "address",
    "number": "number",
    "parsed": "address",
    "str": "text",
}
# Which argument is the default.
PLACES = {"parsed": 2, "mailers": 9}
OPTIONAL = {"mailers"}


def calls(text: str) -> Iterator[tuple[str, str, ast.Call]]:
    """The variables that settings read, whatever the answers: name, method of `env`, and call."""
    plain = re.sub(r"^{%.*%}\n", "", text, flags=re.MULTILINE)
    for node in ast.walk(ast.parse(re.sub(r"{{.*?}}", "x", plain))):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name("env"), attr=method),
                args=[ast.Constant(str(name)), *_],
            ):
                yield name, method, node


def kind(method: str, call: ast.Call) -> str:
    if method == "choice":
        return ", ".join(f"`{ast.literal_eval(word)}`" for word in call.args[1:])
    return KINDS[method]


def default(method: str, call: ast.Call) -> str:
    """As the code has it; "required" where there is none."""
    place = PLACES.get(method, 1)
    if len(call.args) <= place:
        return "none" if method in OPTIONAL else "required"
    match call.args[place]:
        case ast.Constant(None | "") | ast.List(elts=[]):
            return "none"
        case ast.Constant(bool(value)):
            return str(value).lower()
        case ast.Constant() as constant:
            return f"`{ast.literal_eval(constant)}`"
        case expression:
            return f"`{ast.unparse(expression)}`"


def rows(text: str) -> dict[str, list[str]]:
    """Kind and default of each variable, in the order of the code."""
    found: dict[str, list[str]] = {}
    for name, method, call in sorted(calls(text), key=lambda each: each[2].lineno):
        one = [kind(method, call), default(method, call)]
        if name in found and one[1] != found[name][1]:  # another branch
            one[1] = f"{found[name][1]}; {one[1]}"
        found[name] = one
    return found


def renewed(page: str, settings: str) -> str:
    """The page with its table as the settings are. Raises LookupError for a variable without a meaning."""
    head = f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}\n"
    before, _, rest = page.partition(head)
    table, blank, after = rest.partition("\n\n")
    meanings = dict(re.findall(r"^\| `(\w+)` \|(?:[^|]*\|){2} (.*) \|$", table, flags=re.MULTILINE))
    wanted = rows(settings)
    if missing := [name for name in wanted if name not in meanings]:
        raise LookupError(
            f"docs/variables.md has no words for {', '.join(missing)}: write `| `NAME` | | | what it means |`"
        )
    lines = [
        f"| `{name}` | {' | '.join(cells)} | {meanings[name]} |" for name, cells in wanted.items()
    ]
    return before + head + "\n".join(lines) + blank + after


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(), SETTINGS.read_text()))
