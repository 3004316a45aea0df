"""What a view gets: Django's request, with the lifespan's state and an id."""

from functools import cached_property
from typing import Any, cast

from django.core.handlers.asgi import ASGIRequest

from serving.asgi import Scope
from serving.body import FULL, no_room
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

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:
        """A form's fields and files. Raises serving.body.NoRoom, a 507, where the disk is full."""
        try:
            return super().parse_file_upload(META, post_data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise no_room(cast(Scope, self.scope), error) from error
