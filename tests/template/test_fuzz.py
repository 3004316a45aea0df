"""All answers at once, at random: accepted ones give a project, refused ones leave nothing.

FUZZ_EXAMPLES says how many, FUZZ_SEED where to start: `make fuzz` takes ten times as many as
`make test-matrix`, and other ones each time.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.exceptions import CookiecutterException
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

import template_rules
from tests.conftest import ROOT, Run, bake_into, clean_environment, questions
from tests.support.answers import bake_typed, choices, text_questions
from tests.support.server import SECRET_KEY
from tests.template.test_text import HOSTILE

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
PARTS = 4

ANYTHING = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=80),
    st.text(alphabet="{}%#$`'\"\\<>&|!~:/@.- \n\t\0a0é", max_size=30),
)
LINES = ANYTHING.map(str.strip)
LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)

# What mostly passes, so that whole projects come out; ANYTHING is mixed in below.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "project_name": LINES,
    "project_slug": st.one_of(LABEL, LABEL, st.sampled_from(sorted(template_rules.RESERVED))),
    "description": LINES,
    "author_name": LINES,
    "author_email": st.one_of(
        st.emails(),
        st.builds("{}@{}.example".format, st.sampled_from(["a", "a.b", "a+b'c"]), LABEL),
    ),
    "domain_name": st.builds("{}.{}".format, LABEL, LABEL),
    "workers": st.integers(1, 64).map(str),
}


def good(answer: str) -> st.SearchStrategy[Any]:
    """Values of an answer that its rule accepts."""
    if answer in choices():
        return st.sampled_from(choices()[answer])
    return LIKELY[answer].filter(lambda value: template_rules.problem(answer, value) is None)


ANSWERS = st.builds(
    lambda answers, spoilt: answers | spoilt,
    st.fixed_dictionaries({}, optional={answer: good(answer) for answer in questions()}),
    st.one_of(
        st.just({}),
        st.dictionaries(
            st.sampled_from(sorted(questions())),
            st.one_of(
                ANYTHING, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False)
            ),
            min_size=1,
            max_size=2,
        ),
    ),
)


class Importer:
    """A warm process that imports the settings of one project after another."""

    def __init__(self, environment: Path) -> None:
        self.process = subprocess.Popen(
            [environment / "bin" / "python", ROOT / "tests" / "support" / "importer.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment() | {"SECRET_KEY": SECRET_KEY, "PYTHONDONTWRITEBYTECODE": "1"},
            text=True,
        )

    def settings_of(self, project: Path) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(str(project)) + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@pytest.fixture
def importer(environment: Path) -> Iterator[Importer]:
    made = Importer(environment)
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.fuzz
@pytest.mark.usefixtures("fast_hooks")
@pytest.mark.parametrize("part", range(PARTS))
def test_all_answers_at_once(part: int, tmp_path: Path, importer: Importer, run: Run) -> None:
    seen: Counter[str] = Counter()
    kept = tmp_path / "kept"

    @seed(SEED * PARTS + part)
    @settings(
        max_examples=EXAMPLES // PARTS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(answers=ANSWERS, literally=st.booleans())
    def one_example(answers: dict[str, Any], literally: bool) -> None:
        """Texts arrive as they are, or (as on the command line) rendered by cookiecutter first."""
        with tempfile.TemporaryDirectory(dir=tmp_path) as name:
            folder = Path(name)
            project = generated(folder, answers, literally)
            if literally:
                assert bool(project) != refusal(answers)
            if not project:
                left = {path.name for path in (*folder.glob("*"), *folder.glob("out/*"))}
                assert left <= {"out", ".cookiecutter"}
                seen["refused"] += 1
                return
            found = importer.settings_of(project)
            assert found.pop("error") is None
            for answer in found.keys() & answers.keys():
                assert not literally or found[answer] == str(answers[answer])
            keep = kept / str(seen["accepted"])
            for package in ("config", "data", "telemetry"):  # what ruff takes for the project's own
                (keep / package).mkdir(parents=True)
            shutil.copy(project / "pyproject.toml", keep)
            shutil.copy(project / "config" / "settings.py", keep / "config")
            seen["accepted"] += 1

    one_example()

    print(f"\npart {part}: {dict(seen)}")
    assert min(seen["accepted"], seen["refused"]) > EXAMPLES // PARTS // 10, "both were tried"
    run(kept, "ruff", "check", "--no-cache")
    run(kept, "ruff", "format", "--check", "--no-cache")


def generated(folder: Path, answers: dict[str, Any], literally: bool) -> Path | None:
    """A project, or None where cookiecutter or the template refuses."""
    try:
        return (bake_typed if literally else bake_into)(folder, **answers)
    except (CookiecutterException, TemplateError, ValueError):
        return None


def refusal(answers: dict[str, Any]) -> bool:
    """Whether these answers, with the defaults of the others, are to be refused."""
    given_as = {
        answer: as_cookiecutter_takes_it(answer, value) for answer, value in answers.items()
    }
    name = given_as.get("project_name", "My Project")
    for answer, default in questions().items():  # of which two may not stand together
        if isinstance(default, list | bool):
            given_as.setdefault(answer, default[0] if isinstance(default, list) else default)
    given_as.setdefault("author_name", f"The {name} team")
    return any(template_rules.problems(given_as))


def as_cookiecutter_takes_it(answer: str, value: Any) -> Any:
    """A switch from a word, and text from a number."""
    if isinstance(questions()[answer], bool) and isinstance(value, str):
        words = {"1 true t yes y on": True, "0 false f no n off": False}
        for group, switch in words.items():
            if value.strip().lower() in group.split():
                return switch
    if answer in text_questions() and not isinstance(value, str | bool | None):
        return str(value)
    return value
