"""For any apps that succeed, fail or hang: what is entered is left once, in reverse, in one task."""

import asyncio
import os
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving.lifespan import protocol, resources
from serving.lifespan.protocol import Lifespan
from serving.lifespan.resources import LifespanError, Resources

ACTS = {
    "succeed": None,
    "fail": ValueError("no tea"),
    "exit": SystemExit(3),
    "cancel": asyncio.CancelledError(),
}
SUCCEED = ("succeed", "yield")
LATE = "stubborn"  # takes no cancellation for an answer: late to enter is too late, late to leave is left
act = st.sampled_from([*ACTS, "hang", "yield", LATE])
obedient = st.sampled_from([*ACTS, "hang", "yield"])
apps = st.lists(st.tuples(act, act), max_size=6)


def share(examples: int) -> int:
    """As many of them as the variable EXAMPLES says, in percent; all unless it is there."""
    return examples * int(os.environ.get("EXAMPLES", "100")) // 100


class InstantLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer, so that hanging takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        select = self._selector.select

        def jump(timeout: float | None = None) -> Any:
            self.now += timeout or 0
            return select(0)

        self._selector.select = jump

    def time(self) -> float:
        return self.now


class App:
    """An app's context manager that notes what happens to it."""

    def __init__(
        self, number: int, acts: tuple[str, str], events: list[tuple[str, int, Any]]
    ) -> None:
        self.number = number
        self.acts = acts
        self.events = events

    async def __aenter__(self) -> dict[str, int]:
        self.events.append(("enter", self.number, asyncio.current_task()))
        await perform(self.acts[0])
        self.events.append(("entered", self.number, asyncio.current_task()))
        return {f"app{self.number}": self.number}

    async def __aexit__(self, *_: object) -> None:
        self.events.append(("leave", self.number, asyncio.current_task()))
        await perform(self.acts[1])


async def perform(act: str) -> None:
    if act == "hang":
        await asyncio.Event().wait()
    elif act == "yield":
        await asyncio.sleep(0.001)
    elif act == LATE:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
    elif error := ACTS[act]:
        raise error


def check(events: list[tuple[str, int, Any]], plan: list[tuple[str, str]], started: bool) -> None:
    entered = [number for what, number, _ in events if what == "entered"]
    left = [number for what, number, _ in events if what == "leave"]
    assert left == entered[::-1], "everything entered is left exactly once, in reverse order"
    assert len({task for *_, task in events}) <= 1, "in one task"
    assert entered == list(range(len(entered))), "in order"
    tried = [number for what, number, _ in events if what == "enter"]
    assert len(tried) <= len(entered) + 1, "nothing is entered after a failure"
    assert started == all(first in SUCCEED for first, _ in plan)


class Fakes:
    """Made-up apps in the place of the installed ones."""

    def __init__(self, plan: list[tuple[str, str]]) -> None:
        self.events: list[tuple[str, int, Any]] = []
        self.table = {f"app{n}": App(n, acts, self.events) for n, acts in enumerate(plan)}
        self.ended: list[list[str]] = []  # what the watchdog was told of that ends the process
        self.patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        self.patch.setattr(resources, "apps_with_lifespan", lambda: list(self.table))
        self.patch.setattr(resources, "open_context", self.table.__getitem__)
        # To shut its executor down takes a thread, which could pass for one of an app that hangs.
        self.patch.setattr(protocol, "carry_context", lambda loop: None)
        # It would end this process, where any other test has left a thread.
        self.patch.setattr(protocol, "end_without_threads", self.ended.append)
        return self

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


@settings(max_examples=share(500), deadline=None)
@given(plan=apps)
def test_resources(plan: list[tuple[str, str]]) -> None:
    async def use() -> bool:
        try:
            async with Resources() as resources:
                assert resources.items == {f"app{n}": n for n in range(len(plan))}
        except LifespanError:
            return False
        return True

    with Fakes(plan) as fakes, asyncio.Runner(loop_factory=InstantLoop) as runner:
        started = runner.run(use())
        assert runner.get_loop().time() < 30 + 5 + 1, "within the budget"
    check(fakes.events, plan, started)


@settings(max_examples=share(300), deadline=None)
@given(plan=apps, required=st.booleans())
def test_the_protocol(plan: list[tuple[str, str]], required: bool) -> None:
    sent: list[str] = []
    received = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, str]:
        return {"type": next(received)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    async def app(*_: object) -> None: ...

    mode = "required" if required else "optional"
    under_test = Lifespan(app, mode=mode, startup_timeout=30, shutdown_timeout=5)
    with Fakes(plan) as fakes, asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(under_test({"type": "lifespan", "state": {}}, receive, send))

    started = all(first in SUCCEED for first, _ in plan)
    stopped = not started or all(second in (*SUCCEED, LATE) for _, second in plan)
    if required and not started:
        assert sent == ["lifespan.startup.failed"]
    else:
        assert sent == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete" if stopped else "lifespan.shutdown.failed",
        ]
    check(fakes.events, plan, started)
    entered = [number for what, number, _ in fakes.events if what == "entered"]
    failed = [] if started else [next(n for n, acts in enumerate(plan) if acts[0] not in SUCCEED)]
    hung = [f"app{n}" for n in failed if plan[n][0] in ("hang", LATE)]
    hung += [f"app{n}" for n in reversed(entered) if plan[n][1] == "hang"]
    assert fakes.ended == ([hung] if hung else []), "threads may keep the process alive, or may not"


@settings(max_examples=share(200), deadline=None)
@given(plan=st.lists(st.tuples(obedient, obedient), max_size=6), after=st.floats(0, 40))
def test_cancelled_from_outside(plan: list[tuple[str, str]], after: float) -> None:
    """Whenever a server cancels, what was entered is left, and the cancellation goes on."""

    async def use() -> None:
        async with Resources():
            await asyncio.sleep(100)

    async def cancel_it() -> None:
        task = asyncio.create_task(use())
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() or isinstance(task.exception(), (LifespanError, AssertionError))

    with Fakes(plan) as fakes, asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(cancel_it())
    entered = [number for what, number, _ in fakes.events if what == "entered"]
    left = [number for what, number, _ in fakes.events if what == "leave"]
    assert left == entered[::-1]


def test_one_that_hangs_at_its_end_leaves_time_to_the_others() -> None:
    """Half of what there is, and the last one all of it."""

    async def use() -> list[str]:
        opened = Resources(shutdown_timeout=8)
        await opened.enter()
        failures = await opened.leave()
        assert {failure.public for failure in failures} <= {
            f"app{n}: TimeoutError" for n in range(3)
        }
        assert opened.hung == ["app2", "app1", "app0"]
        return [str(failure) for failure in failures]

    with Fakes([("succeed", "hang")] * 3), asyncio.Runner(loop_factory=InstantLoop) as runner:
        assert runner.run(use()) == [
            "app2: not stopped after 4 s",
            "app1: not stopped after 2 s",
            "app0: not stopped after 2 s",
        ]


@pytest.mark.parametrize("act", ["hang", LATE])
def test_one_that_hangs_at_its_start_is_told_its_limit(act: str) -> None:
    async def use() -> None:
        opened = Resources(startup_timeout=3)
        began = asyncio.get_running_loop().time()
        with pytest.raises(LifespanError) as wrong:
            await opened.enter()
        assert asyncio.get_running_loop().time() - began == pytest.approx(3, abs=0.1)
        assert str(wrong.value) == "app1: not started after 3 s (LIFESPAN_STARTUP_TIMEOUT)"
        assert wrong.value.public == "app1: TimeoutError"
        assert (opened.hung, opened.at_work) == (["app1"], "app1")

    plan = [("yield", "succeed"), (act, "succeed"), ("succeed", "succeed")]
    with Fakes(plan), asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(use())


def test_the_sync_form_keeps_one_task_and_one_loop() -> None:
    with Fakes([("yield", "yield"), ("succeed", "succeed")]) as fakes, Resources() as resources:
        assert resources.state.app1 == 1
        assert resources.run(asyncio.sleep(0, "tea")) == "tea"
    assert len({task for *_, task in fakes.events}) == 1
    assert [what for what, *_ in fakes.events].count("leave") == 2


def test_the_sync_form_raises_what_went_wrong() -> None:
    with (
        Fakes([("succeed", "succeed"), ("fail", "succeed")]) as fakes,
        pytest.raises(LifespanError, match="app1: ValueError: no tea"),
        Resources(),
    ):
        raise AssertionError("not entered")
    assert [what for what, *_ in fakes.events].count("leave") == 1


def test_the_sync_form_inside_an_event_loop_names_the_other() -> None:
    async def mistake() -> None:
        with Resources():
            pass

    with pytest.raises(RuntimeError, match="write `async with"):
        asyncio.run(mistake())
