"""What a view gets: Django's request, with the lifespan's state and an id."""

from functools import cached_property
from typing import cast

from django.core.handlers.asgi import ASGIRequest

from serving.request_id import SCOPE_KEY
from serving.state import State


class Request[S](ASGIRequest):
    """The request of every view. `Request[HomeState]` tells an editor what `request.state` holds."""

    @cached_property
    def state(self) -> S:
        """What the apps' lifespans yielded, as attributes; see `serving.state.State`."""
        return cast(S, State(self.scope.get("state") or {}))

    @cached_property
    def id(self) -> str:
        """The request's id, as in the log; empty in a server without `serving.request_id.RequestId`."""
        return cast(str, self.scope.get(SCOPE_KEY, ""))
