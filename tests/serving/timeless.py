"""An event loop for tests whose timers are due as soon as nothing else happens: an hour takes no time.

    asyncio.run(main(), loop_factory=Timeless)

Not for code that waits for a thread beside a timer: the timer wins.
"""

import asyncio
from selectors import DefaultSelector, SelectorKey


class Selector(DefaultSelector):
    """Moves the clock where another one would wait."""

    now = 0.0  # seconds

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        ready = super().select(0 if timeout else timeout)
        if timeout and not ready:
            self.now += timeout
        return ready


class Timeless(asyncio.SelectorEventLoop):
    """Its `time` is that of the timers."""

    def __init__(self) -> None:
        self._clock = Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # asyncio's
        """Waits for the threads, however long the clock says that it takes."""
        await super().shutdown_default_executor()
