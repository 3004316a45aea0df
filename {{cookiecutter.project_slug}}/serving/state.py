"""The lifespan's state, as views and commands read it."""

from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

# Under this key a server's state holds who filled it. It is no identifier: no app can yield it.
ORIGIN = "serving.lifespan"


class Origin(Protocol):
    """Who filled a state: `mode` says how, `problem` why it is empty, if it is.

    `problem` is for the log; strangers read `public_problem`, which names apps and kinds of errors alone.
    """

    @property
    def mode(self) -> str: ...
    @property
    def problem(self) -> str | None: ...
    @property
    def public_problem(self) -> str | None: ...


class State:
    """What the apps' lifespans yielded, as attributes. Read only: all requests share it.

    A name that nobody yielded raises AttributeError, so `getattr(state, name, None)` and `hasattr`
    work where a lifespan is optional.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_items", items)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._items[name]
        except KeyError:
            raise AttributeError(self._missing(name), name=name, obj=self) from None

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"state.{name} cannot be set: all requests share what the lifespans yielded."
            " Put what belongs to one request on the request itself."
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"state.{name} cannot be deleted: all requests share it.")

    def __dir__(self) -> list[str]:
        return sorted(name for name in self._items if name != ORIGIN)

    def __repr__(self) -> str:
        return f"<State: {', '.join(dir(self)) or 'empty'}>"

    def _missing(self, name: str) -> str:
        """Why there is no such name, so that a developer or an operator can act on it."""
        origin: Origin | None = self._items.get(ORIGIN)
        if origin is None:
            why = "this server ran no lifespan (with Granian: GRANIAN_INTERFACE is not asgi)"
        elif origin.problem:
            why = origin.problem
        else:
            names = ", ".join(dir(self)) or "none"
            why = f"no app's lifespan.py yields it; there are: {names} ({origin.mode})"
        return f"the lifespan's state has no {name!r}: {why}"
