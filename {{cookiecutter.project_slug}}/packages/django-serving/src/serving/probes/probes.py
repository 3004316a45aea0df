"""/livez and /readyz, answered before Django: no allowed host, no redirect, no session is involved.

livez: whether the process can still serve; a restart fixes a failure. It does no I/O.
readyz: whether requests should come here now: the databases answer and have every migration.
Both say in JSON what is wrong, in words that anyone may read; the log says more.
https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any

from serving.conf import conf
from serving.lifespan.state import NO_LIFESPAN, ORIGIN, Origin
from serving.log.access import PROBES
from serving.probes.diagnosis import Databases
from serving.security import answer
from serving.stopping.signals import stopping
from serving.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__package__)

DATABASE_TIMEOUT = 2.0  # seconds that the databases may take to answer, all together


class Probes:
    """ASGI middleware that answers the two probes.

    `lifespan`: the mode, as LIFESPAN unless given; with "required", a server that ran none is not ready.
    `prefix`: the path that the site lies below, as "/app", or ""; URL_PATH_PREFIX unless given.
    """

    def __init__(
        self, app: ASGIApp, *, lifespan: str | None = None, prefix: str | None = None
    ) -> None:
        prefix = conf.URL_PATH_PREFIX(prefix)
        self.app = app
        self.live, self.ready = (prefix + path for path in PROBES)
        self.lifespan = conf.LIFESPAN(lifespan)
        self._warned = False  # that no lifespan ran
        self._databases = Databases()
        self._check: Future[str | None] | None = None  # the latest of the databases

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in (self.live, self.ready):
            await self._answer(scope, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        state: Mapping[str, Any] = scope.get("state") or {}
        ready = scope["path"] == self.ready
        found = {"lifespan": self._lifespan_problem(state.get(ORIGIN), ready=ready)}
        if ready:
            found["stopping"] = "the server was told to stop" if stopping.is_set() else None
            found["database"] = await self._database_problem()
        problems = {part: problem for part, problem in found.items() if problem}
        body = {"status": "unavailable", "problems": problems} if problems else {"status": "ok"}
        status, content = 503 if problems else 200, json.dumps(body).encode()
        await answer(scope, send, status, content, kind=b"application/json")

    def _lifespan_problem(self, origin: Origin | None, *, ready: bool) -> str | None:
        if self.lifespan != "required":
            return None
        if origin is not None:
            return origin.public_problem
        if not ready:  # livez asks for no restart, which would fail with the same flags
            return None
        if not self._warned:
            self._warned = True
            logger.warning("not ready: LIFESPAN=required, but %s", NO_LIFESPAN)
        return "LIFESPAN=required, but this server ran no lifespan; the log says more"

    async def _database_problem(self) -> str | None:
        # One check at a time, which all who ask meanwhile share: a database that does not answer costs
        # one thread. A daemon, which can't delay the end of the process, and none of the pool's, since one
        # that is busy with requests must not make the server unready.
        if self._check is None or self._check.done():
            self._check = Future()
            Thread(target=self._check_databases, args=(self._check,), daemon=True).start()
        answer = asyncio.wrap_future(self._check)
        await asyncio.wait({answer}, timeout=DATABASE_TIMEOUT)
        return answer.result() if answer.done() else f"no answer in {DATABASE_TIMEOUT:g} s"

    def _check_databases(self, answer: Future[str | None]) -> None:
        answer.set_result(self._databases.problem())
