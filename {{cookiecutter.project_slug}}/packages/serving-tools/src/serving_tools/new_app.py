"""Makes an app, adds it to INSTALLED_APPS and gives it an address: `make app NAME=shop`.

It writes everything or nothing, and refuses a name that Python, Django or the image would stumble on.

    NAME=shop python -m serving_tools.new_app    # in the project's folder, with its environment
"""

import ast
import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

SETTINGS = Path("config/settings.py")
URLS = Path("config/urls.py")
IGNORED = (".dockerignore", ".gitignore")

ANSWERED = {"livez", "readyz", "static"}  # addresses that do not reach Django

LONGEST = 50  # PostgreSQL cuts a name at 63 bytes, and a table's begins with the app's

FILES = {
    "__init__.py": "",
    "admin.py": '"""What the admin shows of this app."""\n',
    "apps.py": """\
from django.apps import AppConfig


class {camel}Config(AppConfig):
    name = "{name}"
""",
    "migrations/__init__.py": "",
    "models.py": '"""What this app keeps in the database."""\n',
    "templates/{name}/index.html": """\
{{% extends "base.html" %}}
{{% block title %}}{camel}{{% endblock %}}
{{% block heading %}}{camel}{{% endblock %}}
{{% block text %}}<p>This is {name}.</p>{{% endblock %}}
""",
    "tests.py": """\
from django.test import Client
from django.urls import reverse


def test_the_first_page_answers(client: Client) -> None:
    assert "This is {name}." in client.get(reverse("{name}:index")).text
""",
    "urls.py": """\
from django.urls import path

from {name} import views

app_name = "{name}"

urlpatterns = [
    path("", views.index, name="index"),
]
""",
    "views.py": '''\
"""The pages of this app."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def index(request: HttpRequest) -> HttpResponse:
    """The first page."""
    return render(request, "{name}/index.html")
''',
}


class AppError(Exception):
    """Why no app is made, and what to do, on one line."""


def check_name(name: str) -> None:
    """Raises AppError unless an app can have this name. Good: "shop". Bad: "", "my-shop", "json"."""
    if not name:
        raise AppError("it has no name; `make app NAME=shop`")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise AppError(
            f"{shown(name)}: a name has only a-z, 0-9 and _, and begins with a letter{suggested(name)}"
        )
    if len(name) > LONGEST:
        raise AppError(f"{shown(name)} has {len(name)} characters; {LONGEST} are the most")
    if iskeyword(name):
        raise AppError(f"{name!r} is a keyword of Python; {another(name)}")
    if name in ANSWERED:
        raise AppError(f"{name!r} is an address that the server answers itself; {another(name)}")
    if os.path.lexists(name):
        raise AppError(f"{name}/ is there already; {another(name)}")
    if name in labels(SETTINGS.read_text(encoding="utf-8")):
        raise AppError(f"{name!r} is the label of an app in INSTALLED_APPS; {another(name)}")
    if spec := find_spec(name):
        where = f", in {spec.origin}" if spec.has_location else ""
        raise AppError(f"{name!r} is a module already{where}; {another(name)}")
    for file in IGNORED:
        if name in ignored(Path(file)):
            raise AppError(f"{name!r} is left out by {file}; {another(name)}")


def shown(name: str) -> str:
    """A name as a message quotes it, which is one line."""
    return ascii(name if len(name) <= 2 * LONGEST else f"{name[:LONGEST]}...")


def suggested(name: str) -> str:
    """What may have been meant: "; try 'my_shop'"."""
    close = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
    usable = name.isascii() and 0 < len(close) <= LONGEST and not iskeyword(close)
    return f"; try {close!r}" if usable else ""


def another(name: str) -> str:
    """A name beside one that is taken."""
    return f"choose another, such as {name}_app"


def ignored(file: Path) -> set[str]:
    """The names of folders at the top that a .gitignore or .dockerignore leaves out."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {line.strip().removeprefix("**/").strip("/") for line in lines}


def labels(settings: str) -> set[str]:
    """The names under which Django knows the apps of these settings, as far as they stand there."""
    listed = listed_in(settings, "INSTALLED_APPS", SETTINGS)
    texts = [item.value for item in listed.elts if isinstance(item, ast.Constant)]
    return {str(text).partition(".apps.")[0].rpartition(".")[2] for text in texts}


def listed_in(source: str, variable: str, file: Path) -> ast.List | ast.Tuple:
    """The list that a variable of a module begins with; it has an item.

    Raises AppError where it is none that can be seen: made by a function, say.
    """
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise AppError(f"{file}, line {error.lineno}: {error.msg}; correct it first") from None
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == variable:
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if (
                name == variable
            ):
                pass
            case _:
                continue
        while isinstance(value, ast.BinOp):  # [...] + more
            value = value.left
        if isinstance(value, ast.List | ast.Tuple) and value.elts:
            return value
    raise AppError(f"{file}: {variable} begins with no list that can be added to; write it as one")


def with_item(source: str, variable: str, file: Path, item: str) -> str:
    """The text of a module, with an item more at the front of a list. Raises AppError."""
    listed = listed_in(source, variable, file)
    first = listed.elts[0]
    lines = source.split("\n")
    line = lines[first.lineno - 1].encode()
    before, after = line[: first.col_offset].decode(), line[first.col_offset :].decode()
    end = "\r" if line.endswith(b"\r") else ""
    if before.strip():
        lines[first.lineno - 1] = f"{before}{item}, {after}"
    else:  # right below the bracket: a comment in between is on what comes first there
        lines.insert(listed.lineno, f"{before}{item},{end}")
    return "\n".join(lines)


def with_address(source: str, name: str) -> str:
    """The text of config/urls.py with the app's addresses, and what they need imported."""
    text = with_item(source, "urlpatterns", URLS, f'path("{name}/", include("{name}.urls"))')
    imports = [each for each in ast.parse(text).body if isinstance(each, ast.ImportFrom)]
    names = {alias.name for each in imports if each.module == "django.urls" for alias in each.names}
    if missing := sorted({"include", "path"} - names):
        lines = text.split("\n")
        at = imports[-1].end_lineno or 0 if imports else 0
        lines.insert(at, f"from django.urls import {', '.join(missing)}")
        text = "\n".join(lines)
    return text


def make(name: str) -> None:
    """Makes the app, and adds it where it belongs. Raises AppError or OSError, and leaves nothing then."""
    check_name(name)
    old = {file: file.read_bytes() for file in (SETTINGS, URLS)}
    settings = with_item(old[SETTINGS].decode(), "INSTALLED_APPS", SETTINGS, f'"{name}"')
    urls = with_address(old[URLS].decode(), name)
    try:
        for path, text in files(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        SETTINGS.write_bytes(settings.encode())
        URLS.write_bytes(urls.encode())
    except BaseException:
        shutil.rmtree(name, ignore_errors=True)
        for file, content in old.items():
            if file.read_bytes() != content:
                file.write_bytes(content)
        raise


def files(name: str) -> Iterator[tuple[Path, str]]:
    """The app's files: paths and texts."""
    camel = "".join(word.capitalize() for word in name.split("_"))
    for path, text in FILES.items():
        yield Path(name, path.format(name=name)), text.format(name=name, camel=camel)


def main() -> int:
    """Makes the app that the variable NAME names; returns the exit status."""
    name = os.environ.get("NAME", "")
    try:
        make(name)
    except AppError as error:
        print(f"make app: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"make app: {error.filename}: {error.strerror}; correct that first", file=sys.stderr)
        return 1
    print(f"made {name}/, with a page at /{name}/, and added it to {SETTINGS} and {URLS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
