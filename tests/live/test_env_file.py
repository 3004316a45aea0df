"""A .env file is read whole or not at all, and alike by every program that reads one."""

import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from dotenv import dotenv_values

from tests.conftest import ROOT, TEMPLATE, Bake, Run, clean_environment, package_sources
from tests.support.packages import TOOLS

UV = ROOT / ".venv" / "bin" / "uv"
SOURCE = TEMPLATE / TOOLS / "serving_tools" / "env_file.py"
SECRET = "0123456789abcdef" * 4


def load_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("env_file", SOURCE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)  # or projects would come out with it
        spec.loader.exec_module(module)
    return module


env_file = load_module()

# Before each line that is tried; what is set in the shell, too.
BEFORE = "BASE=b1\nOTHER='o 2'\n"
SHELL = {"FROM_SHELL": "a $s"}

READ = [
    "V=", "V=a", "V=''", 'V=""', "V='a b'", 'V="a b"', "V=a#b", "V=a #b", "V=a   #   b", "V=a  ", "V=a\t",
    "export V=a", "export  V=a", " V=a", "\tV=a", "V =a", "V= a", "V = a", "V = 'a b' # c", "V='a' # c",
    "V=x${BASE}y", 'V="${BASE}"', "V=${OTHER}", "V=${FROM_SHELL}", "V=${BASE}${OTHER}#x", "V=${BASE}}",
    "V='a$b'", "V='a$$b'", "V='$BASE'", "V='${'", r"V='a\nb'", r"V='C:\x'", "V='a#b'", 'V="a #b"',
    "V='a\"b'", 'V="a\'b"', "V='a\tb'", "V=a=b==", "V==a", "V=é", "V='\u2028'", "V=a\r", "V='a'\r",
    "V=+a%^@:/?[]!~-_.,;|&<>()*{}`=", "V=postgres://a:p%40ss#w@h:5432/n?sslmode=verify-full",
    "#V=a", "  # it's V=a $", "",
]  # fmt: skip

REFUSED = {
    "V=a b": "V has a space outside quotes; write V='...'",
    "V=a, b": "V has a space outside quotes",
    "V": "has no =",
    "export V": "has no =",
    "V: a": "has no =",
    "V: a=b": "has no name before the =",
    "1V=a": "has no name before the =",
    "v-x=a": "has no name before the =",
    "v.x=a": "has no name before the =",
    "=a": "has no name before the =",
    "export=a": "export is no name of a variable",
    "V=a'b'": "V has a quote within its value",
    'V=a"b': "V has a quote within its value",
    'V={"a":1}': "V has a quote within its value",
    "V='a'b": "V has something behind the closing quote",
    "V='a' 'b'": "V has something behind the closing quote",
    "V='a'#c": "V has something behind the closing quote",
    "V='a": "V opens a quote that its line does not close",
    'V="a': "V opens a quote that its line does not close",
    "V='a\nb'": "V opens a quote that its line does not close",
    "V=$BASE": "V has a $ that is not of a ${NAME}; write V='...'",
    "V=a$": "V has a $ that is not of a ${NAME}",
    "V=a$$b": "V has a $ that is not of a ${NAME}",
    'V="$BASE"': "V has a $ that is not of a ${NAME}",
    "V=${BASE:-d}": "V has a $ that is not of a ${NAME}",
    "V=$(id)": "V has a $ that is not of a ${NAME}",
    "V=${NOPE}": "V names NOPE, which no line above it sets",
    "V='${BASE}'": "V has ${...} in single quotes, which some readers replace",
    r"V='a\\b'": "V has a backslash in its quotes",
    r"V='a\'": "V has a backslash in its quotes",
    r'V="a\nb"': "V has a backslash in its quotes",
    r"V=a\b": "V has a backslash outside quotes",
    "V=#": "V begins with a #",
    "V= #c": "V begins with a #",
    "V=a\t# b": "V has a space outside quotes",
    "V=a # it's": "V has a comment that readers take differently",
    "V='a' #it's": "V has something behind the closing quote",
    "V=a\rW=b": "V has a space outside quotes",
    "V=a\u00a0b": "V has a space outside quotes",
    "V=\u200ba": "V has an invisible character (U+200B)",
    "V=a\x1b[31m": "V has an invisible character (U+001B)",
    "V='a\x0cb'": "V has an invisible character (U+000C)",
    "V=a\0b": "V has an invisible character (U+0000)",
    "BASE=b2": "BASE stands in line 1 already",
    "export BASE=b1": "BASE stands in line 1 already",
}


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """Compose's client; its `config` needs no engine."""
    command = ["docker", "compose"]
    if shutil.which("docker"):
        done = subprocess.run([*command, "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return command
    pytest.skip("docker compose is not installed")


def read_by_all(
    folder: Path, lines: list[str], compose: list[str]
) -> dict[str, dict[str, str | None]]:
    """The variables of these lines as our own reader, uv, python-dotenv and Compose read them."""
    text = BEFORE + "\n".join(lines) + "\nLAST=end\n"
    file = folder / ".env"
    file.write_bytes(text.encode())
    shell = clean_environment() | SHELL
    ours = env_file.read(file, SHELL)
    show = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    by_uv = subprocess.run(
        [UV, "run", "--no-project", "--env-file", ".env", *show],
        cwd=folder, env=shell, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Failed to parse" not in by_uv.stderr
    # JSON is YAML, and a name alone takes its value from .env, as in compose.yaml.
    asked = {"name": "x", "services": {"a": {"image": "i", "environment": list(ours)}}}
    (folder / "compose.yaml").write_text(json.dumps(asked))
    config = subprocess.run(
        [*compose, "config", "--format", "json"],
        cwd=folder, env=shell, capture_output=True, text=True, check=True,
    )  # fmt: skip
    resolved = json.loads(config.stdout)["services"]["a"]["environment"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SHELL.items():
            patch.setenv(name, value)
        by_dotenv = dict(dotenv_values(file))
    return {
        "ours": ours,
        "uv": {name: json.loads(by_uv.stdout).get(name) for name in ours},
        "python-dotenv": by_dotenv,
        # What it prints is a file of Compose's again, where a $ is written twice.
        "compose": {name: (value or "").replace("$$", "$") for name, value in resolved.items()},
    }


def numbered(lines: list[str]) -> list[str]:
    """The lines, each with a variable of its own in the place of V."""
    return [re.sub(r"\bV(?=\s*=)", f"V{n}", line, count=1) for n, line in enumerate(lines)]


def test_what_is_read_is_read_alike_by_all(tmp_path: Path, compose: list[str]) -> None:
    found = read_by_all(tmp_path, numbered(READ), compose)

    ours = found.pop("ours")
    assert ours["LAST"] == "end"
    assert ours.keys() >= {f"V{n}" for n, line in enumerate(READ) if line and "#" not in line[:3]}
    for program, values in found.items():
        assert values == ours, program


def test_whatever_is_read_of_random_lines_is_read_alike(tmp_path: Path, compose: list[str]) -> None:
    """Most are refused; the others must mean the same everywhere."""
    pieces = [
        *"ab1=#'\"$\\{}`,.:;!&|()[]/@%+-_?*~<>^\t ", "${BASE}", "${OTHER}", "''", '""', " #", "é", "\r",
        "export ", "\u00a0", "\u2028", "#", " ", "'", '"', "$$", "x y",
    ]  # fmt: skip
    choose = random.Random(0)  # noqa: S311
    taken: list[str] = []
    refused = 0
    while len(taken) < 1500:
        value = "".join(choose.choices(pieces, k=choose.randrange(9)))
        if choose.random() < 0.5:
            quote = choose.choice("'\"")
            value = f"{quote}{value}{quote}" + choose.choice(["", " ", " # c", "\t"])
        line = f"V{len(taken)}={value}"
        try:
            env_file.parse(BEFORE + line, SHELL)
        except env_file.EnvFileError:
            refused += 1
        else:
            taken.append(line)
    assert refused > 500
    found = read_by_all(tmp_path, taken, compose)
    ours = found.pop("ours")
    for program, values in found.items():
        different = {
            line: (ours[name], values.get(name))
            for line in taken
            if ours[name := line.partition("=")[0]] != values.get(name)
        }
        assert not different, program


@pytest.mark.parametrize("line", REFUSED)
def test_any_other_line_is_refused_by_its_number_without_its_value(line: str) -> None:
    with pytest.raises(env_file.EnvFileError) as refused:
        env_file.parse(f"{BEFORE}\n{line}\nLAST=end\n", {})

    first = str(refused.value).splitlines()[0]
    assert first.startswith(f".env line 4: {REFUSED[line]}"), first


@pytest.mark.parametrize(
    "value",
    ["hunter2 x", "'hunter2", "hunter2$", "'hunter2'x", "\thunter2\t#", "hunter2\\", "hunter2'"],
)
def test_no_message_shows_a_value(value: str) -> None:
    with pytest.raises(env_file.EnvFileError) as refused:
        env_file.parse(f"PASSWORD={value}\nhunter2\n{value}\n{value}=\n", {})

    assert "hunter2" not in str(refused.value)
    assert str(refused.value).count("\n") >= 2, "all lines are told at once"


def test_a_file_that_is_none_is_told_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / ".env"

    def refusal() -> str:
        with pytest.raises(env_file.EnvFileError) as refused:
            env_file.read(file, {}, ".env")
        return str(refused.value)

    assert refusal() == ".env is not there; `make .env` writes one"
    file.mkdir()  # as an engine makes one for a mount whose source is missing
    assert refusal() == ".env can't be read: Is a directory"
    file.rmdir()
    file.write_bytes(b"A=1\n\nB=\xe9\n")
    assert refusal() == ".env line 3: is not UTF-8; save it as UTF-8"
    file.write_bytes("A=1\n".encode("utf-16"))
    assert refusal() == ".env line 1: is not UTF-8; save it as UTF-8"
    file.write_bytes(b"\xef\xbb\xbfA=1\n")
    assert refusal() == ".env line 1: begins with a byte order mark; save it without one"
    file.write_bytes(b"")
    assert env_file.read(file, {}) == {}


def test_the_shell_wins_over_a_file_and_a_later_file_over_an_earlier(tmp_path: Path) -> None:
    (tmp_path / "flags").write_text("A=flags\nB=flags\nC=flags\nD=${A}\n")
    (tmp_path / ".env").write_text("A=env\nB=env\nURL=x:${B}\n")
    done = subprocess.run(
        [sys.executable, SOURCE, "flags", ".env", "--", "env"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "B": "shell"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    shown = done.stdout.splitlines()
    assert {"A=env", "B=shell", "C=flags", "D=env", "URL=x:shell"} <= set(shown)


def test_it_runs_on_every_python_that_a_machine_may_have() -> None:
    """Compose's targets run it by whatever Python there is."""
    for name in ("env_file.py", "secret_files.py", "doctor.py"):
        done = subprocess.run(
            [ROOT / ".venv/bin/ruff", "check", "--isolated", "--target-version=py39", "--select=E9",
             "--stdin-filename", name, "-"],
            input=SOURCE.with_name(name).read_bytes(), capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("file", [".env.example", "config/granian.env"])
def test_the_projects_own_files_are_read(
    default_project: Path, widest_project: Path, file: str
) -> None:
    for project in (default_project, widest_project):
        text = (project / file).read_text()
        # What stands there as a comment is meant to be taken out of it.
        text += "".join(f"{line}\n" for line in re.findall(r"^# ([A-Z_]+=\S+)$", text, re.MULTILINE)
                        if line.partition("=")[0] + "=" not in re.findall(r"^\w+=", text, re.MULTILINE))  # fmt: skip
        assert (
            env_file.parse(text, {}).items()
            >= {
                name: value
                for name, value in dotenv_values(project / file).items()
                if value is not None
            }.items()
        )


BROKEN = "SECRET_KEY={secret}\nALLOWED_HOSTS=localhost, 127.0.0.1\nDATABASE_URL=sqlite:///{real}\n"
SAID = ".env line 2: ALLOWED_HOSTS has a space outside quotes; write ALLOWED_HOSTS='...'"


@pytest.mark.parametrize(
    "target",
    [
        "backup",
        "migrate",
        "run",
        "dev",
        "shell",
        "manage ARGS=check",
        "up",
        "build",
        "ps",
        "deploy",
    ],
)
def test_every_target_stops_at_a_line_that_cannot_be_read(
    bake: Bake, environment: Path, tmp_path: Path, target: str
) -> None:
    """`make backup` would have copied another database, and exited 0."""
    project = bake()
    real = tmp_path / "real.sqlite3"
    (project / ".env").write_text(BROKEN.format(secret=SECRET, real=real))
    (project / "uv.lock").touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(f"#!/bin/sh\necho called >>{tmp_path}/called\n")
    (programs / "docker").chmod(0o755)
    variables = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "UV_PROJECT_ENVIRONMENT": str(environment),
        "UV_NO_SYNC": "1",
    }
    done = subprocess.run(
        ["make", "--no-print-directory", f"UV={UV}", *target.split()],
        cwd=project, env=clean_environment() | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert SAID in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "db.sqlite3").exists()
    assert not list(project.glob("backups/*"))
    assert not (tmp_path / "called").exists(), "no container was touched"


def test_a_backup_is_of_the_database_that_env_names(
    bake: Bake, environment: Path, tmp_path: Path
) -> None:
    project = bake()
    real = tmp_path / "real.sqlite3"
    text = BROKEN.format(secret=SECRET, real=real).replace(
        "localhost, 127.0.0.1", "'localhost, ::1'"
    )
    (project / ".env").write_text(text)

    def make(*arguments: str) -> str:
        done = subprocess.run(
            ["make", "--no-print-directory", f"UV={UV}", *arguments],
            cwd=project, capture_output=True, text=True, check=False,
            env=clean_environment()
            | {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_NO_SYNC": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    make("migrate")
    assert real.exists()
    assert not (project / "db.sqlite3").exists()
    assert "copy.sqlite3" in make("backup", f"FILE={tmp_path}/copy.sqlite3")
    assert "Django" in make("manage", "ARGS=shell --no-imports -c \"print('Django')\"")


def test_manage_py_reads_env_beside_it_and_the_shell_wins(bake: Bake, run: Run) -> None:
    project = bake()
    show = "from django.conf import settings as s; print(s.ALLOWED_HOSTS, s.SERVING_THREADS)"
    shell = ("manage.py", "shell", "--no-imports", "-c", show)
    (project / ".env").write_text(
        f"SECRET_KEY={SECRET}\nALLOWED_HOSTS=tea.example\nSERVING_THREADS=7\n"
    )

    assert run(project, "python", *shell).stdout == "['tea.example'] 7\n"
    assert run(project, "python", *shell, SERVING_THREADS="9").stdout == "['tea.example'] 9\n"
    elsewhere = ("manage.py", *shell[1:])
    (project / ".env").write_text(f"SECRET_KEY={SECRET}\nALLOWED_HOSTS=a, b\n")
    refused = run(project, "python", *elsewhere, check=False)
    assert (refused.returncode, refused.stderr) == (1, f"{SAID}\n")


def test_manage_py_reads_no_env_for_tests_nor_where_there_is_none(bake: Bake, run: Run) -> None:
    project = bake()
    (project / ".env").write_text("SECRET_KEY=x\nALLOWED_HOSTS=a, b\n")

    run(project, "python", "manage.py", "check", DJANGO_SETTINGS_MODULE="tests.settings")
    (project / ".env").unlink()
    refused = run(project, "python", "manage.py", "check", check=False)
    assert refused.stderr.startswith("manage.py: The environment holds values")


def test_the_projects_own_tests_pass_beside_a_filled_env(bake: Bake, run: Run) -> None:
    project = bake()
    example = (project / ".env.example").read_text()
    (project / ".env").write_text(
        example.replace("SECRET_KEY=", f"SECRET_KEY={SECRET}") + "DEBUG=true\n"
    )
    run(project, "pytest", "-p", "no:cacheprovider", "tests/test_settings.py", "home/tests.py")


@pytest.mark.parametrize(
    "command",
    [
        "python -m django check",
        "django-admin check",
        "granian --interface asgi config.asgi:application",
    ],
)
def test_what_does_not_read_env_says_so_and_how(
    bake: Bake, run: Run, environment: Path, command: str
) -> None:
    project = bake()
    (project / ".env").write_text(f"SECRET_KEY={SECRET}\n")
    program, *arguments = command.split()
    variables = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    variables["PYTHONPATH"] = ":".join(map(str, [project, *package_sources(project)]))

    refused = run(project, program, *arguments, check=False, **variables)

    assert refused.returncode == 1
    said = refused.stdout + refused.stderr
    assert "SECRET_KEY: Environment variable not set." in said
    assert "python -m serving_tools.env_file .env -- COMMAND" in said
    assert SECRET not in said
    if "granian" not in command:
        wrapped = ("-m", "serving_tools.env_file", ".env", "--", program, *arguments)
        variables["PATH"] = f"{environment / 'bin'}:{os.environ['PATH']}"
        run(project, "python", *wrapped, **variables)
