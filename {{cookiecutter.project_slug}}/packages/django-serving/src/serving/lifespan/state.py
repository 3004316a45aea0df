"""The lifespan's state, as views and commands read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

# Under this key a server's state holds its Origin. It is no identifier, so no app can yield it.
ORIGIN = "serving.lifespan"

NO_LIFESPAN = (
    "this server ran no lifespan: asgi.py has no layer Lifespan, or the server does not ask for it"
    " (Granian does with GRANIAN_INTERFACE=asgi; LIFESPAN must not be disabled either)"
)


@dataclass(frozen=True)
class Started:
    """An app whose lifespan was entered."""

    app: str
    seconds: float  # that it took
    names: tuple[str, ...]  # that it yielded


@dataclass
class Origin:
    """How a state was filled, and why it is empty, if it is."""

    mode: str = "outside a server"
    problem: str | None = None  # for the log
    public_problem: str | None = None  # for strangers: names apps and kinds of errors only
    started: list[Started] = field(default_factory=list)  # in the order of INSTALLED_APPS


class State:
    """What the apps' lifespans yielded, as attributes. It is read-only: all requests share it."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_items", items)

    def __getattr__(self, name: str) -> Any:
        if name in self._items:
            return self._items[name]
        why, origin = NO_LIFESPAN, self._items.get(ORIGIN)
        if origin is not None:
            names = ", ".join(dir(self)) or "none"
            found = f"no app's lifespan.py yields it; there are: {names} ({origin.mode})"
            why = origin.problem or found
        raise AttributeError(f"the lifespan's state has no {name!r}: {why}", name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"state.{name} cannot be set: all requests share what the lifespans yielded."
            " Put what belongs to one request on the request itself."
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"state.{name} cannot be deleted: all requests share it.")

    def __copy__(self, memo: object = None) -> Self:
        return self

    __deepcopy__ = __copy__

    def __dir__(self) -> list[str]:
        return sorted(name for name in self._items if name != ORIGIN)

    def __repr__(self) -> str:
        return f"<State: {', '.join(dir(self)) or 'empty'}>"


# What `serving.lifespan.Resources` has opened in this process, the latest last.
opened: list[State] = []

# What a request holds where nothing was opened: in a server, and elsewhere.
UNSERVED = State({})
OUTSIDE = State(
    {
        ORIGIN: Origin(
            problem="no lifespan ran in this process. `python -m serving` has one (in a generated project, `make dev`);"
            " in a command or a shell `with Resources():` (serving.lifespan) opens it, in a test the fixture"
            " `resources` or LifespanMixin (serving.testing)"
        )
    }
)


def current_state() -> Any:
    """What a view finds as `request.state`, for code that has no request: a task, a receiver of a signal."""
    return state_of(None, empty=OUTSIDE)


def origin_of(state: object) -> Origin:
    """How a view's `request.state` was filled: by which apps, in how long; or why it is empty."""
    found = state._items.get(ORIGIN) if isinstance(state, State) else None
    return found or Origin("no lifespan", NO_LIFESPAN, "this server ran no lifespan")


def state_of(scope: Mapping[str, Any] | None, *, empty: State) -> State:
    """The state of a request: its server's, else what this process opened last, else `empty`."""
    if scope and (items := scope.get("state")):
        return State(items)
    return opened[-1] if opened else empty
