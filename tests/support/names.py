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
            case ast.TypeAlias():
                yield node.name.id, []


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


def parameters(name: str) -> set[str]:
    """The names of what a class of the packages takes when an object of it is made."""
    for root in package_sources(TEMPLATE):
        for file in root.rglob("*.py"):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.ClassDef) and node.name == name:
                    (made,) = [body for key, body in arguments(node) if key == "__init__"]
                    return made
    raise AssertionError(f"the packages have no class {name}")


def arguments(node: ast.ClassDef) -> Iterator[tuple[str, set[str]]]:
    """The methods of a class, each with the names of its arguments."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            taken = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
            yield method.name, {argument.arg for argument in taken}
