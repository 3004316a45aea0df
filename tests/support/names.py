"""Whether a name that a text mentions is there: a module of a project or its packages, or what one defines."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import TEMPLATE, package_sources


def module_file(dotted: str) -> Path | None:
    """The file of a module, in the project or its packages."""
    for root in (TEMPLATE, *package_sources(TEMPLATE)):
        path = root.joinpath(*dotted.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def defined(body: list[ast.stmt]) -> Iterator[tuple[str, list[ast.stmt]]]:
    """What statements define or import, each with the statements of its own."""
    for node in body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node.body
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name, []) for alias in node.names)
            case ast.Assign():
                yield from ((ast.unparse(target), []) for target in node.targets)
            case ast.AnnAssign():
                yield ast.unparse(node.target), []


def is_there(dotted: str) -> bool:
    """Whether there is such a module, or such a name in one: `serving.stopping.stopping`."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        if file := module_file(".".join(parts[:length])):
            body = ast.parse(file.read_text()).body
            for name in parts[length:]:
                found = dict(defined(body))
                if name not in found:
                    return False
                body = found[name]
            return True
    return False
