"""Which annotations of this project can't be evaluated, as Python before 3.14 does where it defines a function.

Those of modules and classes fail at the import; those of a function within another, when that one is called.
"""

import ast
import importlib
import os
import sys
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

import django
from django.conf import settings

FOLDERS = (".", "packages/django-serving/src", "packages/serving-tools/src")

OPTIONAL = ("boto3",)  # which not every project has

Function = ast.FunctionDef | ast.AsyncFunctionDef


def evaluate(file: Path, name: str) -> int:
    """Prints each that can't be; returns how many there are."""
    tree = ast.parse(file.read_text())
    if any(isinstance(step, ast.ImportFrom) and step.module == "__future__" for step in tree.body):
        return 0
    try:
        namespace = dict(vars(importlib.import_module(name)))
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        return 0
    for step in ast.walk(tree):
        if isinstance(step, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            namespace |= dict(map(parameter, step.type_params))
            namespace.setdefault(step.name, object)  # where it is defined in a function
    count = 0
    for step in ast.walk(tree):
        for annotation in annotations(step):
            count += 1
            expression = compile(ast.Expression(annotation), str(file), "eval")
            try:
                eval(expression, namespace)  # noqa: S307 - code of the project itself
            except (TypeError, NameError) as error:
                print(f"{file}:{annotation.lineno}: {ast.unparse(annotation)}: {error}")
    return count


def parameter(of: Any) -> tuple[str, object]:
    """The name of a type's parameter, and what stands for it."""
    kinds = {"TypeVar": TypeVar, "ParamSpec": ParamSpec, "TypeVarTuple": TypeVarTuple}
    return of.name, kinds[type(of).__name__](of.name)


def annotations(step: ast.AST) -> list[ast.expr]:
    """Those of a function. A variable's are evaluated at the import, or never."""
    if not isinstance(step, Function):
        return []
    given = step.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    found = [each.annotation for each in arguments if each]
    parts = [each for each in (*found, step.returns) if each]
    return [each.value if isinstance(each, ast.Starred) else each for each in parts]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    sys.path[:0] = FOLDERS
    django.setup()
    apps = {app.partition(".")[0] for app in settings.INSTALLED_APPS}
    total = 0
    for folder in map(Path, FOLDERS):
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            own = folder != Path() or parts[0] in apps | {"config", "telemetry"}
            if own and parts[-1] != "__main__" and parts[0] != "tests":
                total += evaluate(file, ".".join(parts).removesuffix(".__init__"))
    print(f"{total} annotations")
