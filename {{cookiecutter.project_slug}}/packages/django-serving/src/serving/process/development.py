"""What a developer's server (`make dev`, by Granian's flag `reload`) has beside the server itself.

Code that does not start is answered for, so that the browser shows the error, and `breakpoint()` has a
terminal.
"""

import os
import sys
import termios
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from serving.process.flags import granian_flags
from serving.types import Receive, Scope, Send

TERMINAL = "/dev/tty"


def is_developers() -> bool:
    """Whether this is a worker of a server that starts anew after each edit."""
    return bool(granian_flags().get("reload"))


class StartError:
    """An ASGI application in the place of one that does not start: it answers every request with the error."""

    def __init__(self, error: BaseException) -> None:
        lines = traceback.format_exception(error)
        text = f"Django does not start: {said(error)}\n\n{''.join(lines)}"
        self.body = text.encode(errors="backslashreplace")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
        elif scope["type"] == "http":
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": self.body})


def said(error: BaseException) -> str:
    """An error in its own words; settings and programs end with a text that needs no name before it."""
    # Not at the top: Granian's main process does without Django.
    from django.core.exceptions import ImproperlyConfigured

    if isinstance(error, SystemExit | ImproperlyConfigured):
        return str(error)
    return f"{type(error).__name__}: {error}"


def open_terminal() -> None:
    """Gives this worker the terminal for its stdin, which Python's multiprocessing takes from it.

    A debugger reads there, in `breakpoint()`, by `pdb` or another. Where there is no terminal,
    `breakpoint()` raises RuntimeError, which says so.
    """
    restore_terminal()  # after an earlier worker, which an edit has ended at its debugger
    try:
        terminal = os.open(TERMINAL, os.O_RDWR)
    except OSError:
        if "PYTHONBREAKPOINT" not in os.environ:
            sys.breakpointhook = refuse_breakpoint
        return
    os.dup2(terminal, 0)
    os.close(terminal)
    sys.stdin = os.fdopen(0, closefd=False)


def restore_terminal() -> None:
    """Has the terminal show what is typed, and take it line by line; a debugger that was killed leaves it otherwise."""
    # There may be none, or none any more.
    with suppress(OSError, termios.error), open(TERMINAL, "r+b", buffering=0) as terminal:
        # In the background, this process would be stopped.
        if os.tcgetpgrp(terminal.fileno()) == os.getpgrp():
            attributes = termios.tcgetattr(terminal)
            attributes[0] |= termios.ICRNL
            attributes[1] |= termios.OPOST | termios.ONLCR
            attributes[3] |= termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG
            termios.tcsetattr(terminal, termios.TCSADRAIN, attributes)


def refuse_breakpoint(*args: Any, **kwargs: Any) -> NoReturn:
    """`breakpoint()` where nobody could type anything."""
    raise RuntimeError(
        "breakpoint(): this server has no terminal to type in; start it in one, or set"
        " PYTHONBREAKPOINT to a debugger that needs none"
    )
