"""What a view gets: Django's request, with the lifespan's state and an id.

Our handler makes a `Request`. Everything else that makes one (Django's test clients and request factories,
`runserver`, a WSGI server, `HttpRequest()` in a shell or a command) makes a class of Django's own, to which
`complete` gives the same two attributes; serving/apps.py calls it.
"""

from functools import cached_property
from typing import Any, cast

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from serving.http.body import FULL, no_room
from serving.http.request_id import HEADER, SCOPE_KEY, identify
from serving.lifespan.state import OUTSIDE, UNSERVED, State, state_of
from serving.log.context import request_id
from serving.types import Scope


class Request[S](ASGIRequest):
    """The request of every view. `Request[HomeState]` tells an editor what `request.state` holds."""

    @cached_property
    def state(self) -> S:
        """What the apps' lifespans yielded, as attributes; see `serving.lifespan.state.State`."""
        return cast(S, state_of(self.scope, empty=UNSERVED))

    @cached_property
    def id(self) -> str:
        """The request's id, as in the log."""
        return id_of(self)

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:
        """A form's fields and files. Raises serving.http.body.NoRoom, a 507, where the disk is full."""
        try:
            return super().parse_file_upload(META, post_data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise no_room(cast(Scope, self.scope), error) from error


def complete(request_class: type[HttpRequest]) -> None:
    """Gives a class of requests, and those derived from it, the attributes `state` and `id`.

    Both are made when they are first read, and a request can be given others.
    """

    def state(request: Any) -> State:
        return state_of(getattr(request, "scope", None), empty=OUTSIDE)

    for name, made in {"state": cached_property(state), "id": cached_property(id_of)}.items():
        made.__set_name__(request_class, name)
        setattr(request_class, name, made)


def id_of(request: HttpRequest) -> str:
    """The id that the server gave, else of the request that this code runs for, else one of its own."""
    scope = getattr(request, "scope", {})
    if own := scope.get(SCOPE_KEY) or request_id.get():
        return cast(str, own)
    brought = request.headers.get(HEADER.decode(), "")
    return identify([(HEADER, brought.encode(errors="replace"))])
