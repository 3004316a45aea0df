"""Whether a function is as its package wrote it, or a library has put something else in its place."""

from types import FunctionType


def as_written(function: object, package: str) -> bool:
    """Whether a function runs the code of a package, and no other's.

    A wrapper mostly bears the name of what it wraps, so its globals tell; a library that rewrites the
    code itself (ddtrace) leaves functions among its constants, where a compiler puts none.
    """
    return (
        type(function) is FunctionType
        and function.__globals__["__name__"].partition(".")[0] == package
        and not any(callable(constant) for constant in function.__code__.co_consts)
    )
