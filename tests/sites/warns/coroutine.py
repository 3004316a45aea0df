"""Forgets to await."""


async def later() -> None: ...


def now() -> None:
    later()
