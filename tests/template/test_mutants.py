"""The faults that `make mutants` plants, and how a sample of them is judged."""

import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT, TEMPLATE
from tests.mutants.__main__ import HELD, SURVIVORS, WANTED, chosen, least
from tests.mutants.faults import Module
from tests.mutants.projects import PROJECTS

pytestmark = pytest.mark.quick

CODE = """
LIMIT = 3
def serve(request, log=True):
    if request.ended and not log:
        raise ValueError("the request has ended")
    logger.info("served", 1)
    request.close()
    return request.get("more", False)
"""


def test_faults_change_what_runs_and_no_prose() -> None:
    module = Module("shop.py", CODE)
    made = [fault for number in range(len(module)) if (fault := module.fault(number))]
    changes = {fault.change for fault in made}

    assert {
        "if request.ended and not log: -> if request.ended or not log:",
        "if request.ended and not log: -> if request.ended and log:",
        'raise ValueError("the request has ended") -> pass',
        'logger.info("served", 1) -> pass',
        "request.close() -> pass",
        'return request.get("more", False) -> return request.get("more", True)',
    } <= changes
    assert not [change for change in changes if "LIMIT" in change or "None)" in change]
    for fault in made:
        assert fault.text != CODE
        assert len(fault.text.splitlines()) == len(CODE.splitlines())
        assert CODE.splitlines()[fault.line - 1].strip() == fault.change.split(" -> ")[0]
    assert len({fault.key for fault in made}) == len(made)


def test_a_sample_fails_where_tests_are_missing_and_not_by_chance() -> None:
    assert least(60) == 37
    assert least(60) / 60 < HELD < WANTED
    assert [least(size) for size in (0, 1, 5)] == [0, 0, 1]


def test_a_seed_takes_the_same_sample_again() -> None:
    modules = [(PROJECTS[0], Module("shop.py", CODE))]

    def sample(seed: int) -> list[str]:
        return [fault.change for _, fault in chosen(modules, {}, 5, seed)]

    assert sample(1) == sample(1)
    assert len({tuple(sample(seed)) for seed in range(5)}) > 1
    accepted = {"shop.py": {"request.close()": "", sample(1)[0]: ""}}
    left = {fault.change for _, fault in chosen(modules, accepted, 0, 1)}
    assert sample(1)[0] not in left
    assert "request.close() -> pass" not in left


def test_each_survivor_that_is_let_live_is_there_and_has_a_reason() -> None:
    for path, listed in tomllib.loads(SURVIVORS.read_text()).items():
        place = ROOT / path if Path(path).name == "template_rules.py" else TEMPLATE / path
        code = " ".join(line.strip() for line in place.read_text().splitlines())
        for change, reason in listed.items():
            assert change.partition(" -> ")[0] in code, f"{path} has no such line: {change}"
            assert reason.strip(), change
