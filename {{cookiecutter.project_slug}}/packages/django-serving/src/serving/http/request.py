"""What a view gets: Django's request, with the lifespan's state and the request's id.

Our handler makes a `Request`. Everything else that makes one (Django's test clients and request factories,
`runserver`, a WSGI server, `HttpRequest()` in a shell or a command) makes a class of Django's own, to which
`add_attributes` gives the same two; `serving.apps` calls it.
"""

from functools import cached_property
from typing import Any, cast

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from serving.http.body import FULL, disk_refused
from serving.http.request_id import HEADER, SCOPE_KEY, identify
from serving.lifespan.state import OUTSIDE, UNSERVED, State, state_of
from serving.log.context import request_id


class Request[S](ASGIRequest):
    """The request of every view. `Request[HomeState]` tells an editor what `request.state` holds."""

    # What the client is told where the disk did not take the files of a form.
    no_room: str | None = None

    state: S  # what the apps' lifespans yielded, as attributes: serving.lifespan.state.State
    request_id: str  # as in the log

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:
        """A form's fields and files. Raises serving.http.body.Refused where the disk is full."""
        try:
            return super().parse_file_upload(META, post_data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            refused = disk_refused(error)
            self.no_room = refused.answer
            raise refused from error


def tell_no_room(request: HttpRequest, response: Any) -> Any:
    """The response, where the disk did not take the files of a form: Django's 400 becomes a 507."""
    if response.status_code == 400 and (text := getattr(request, "no_room", None)):
        response.status_code = 507
        response.content = f"{text}\n"
        response["Content-Type"] = "text/plain; charset=utf-8"
        response["Content-Length"] = str(len(response.content))
        response["Cache-Control"] = "no-store"
        del response["Content-Encoding"]
    return response


def add_attributes(request_class: type[HttpRequest]) -> None:
    """Gives a class of requests, and its subclasses, the attributes `state` and `request_id`.

    Both are made when they are first read, and can be set on a request.
    """
    for name, made in {"state": state_for, "request_id": id_for}.items():
        attribute = cached_property(made)
        attribute.__set_name__(request_class, name)
        setattr(request_class, name, attribute)


def state_for(request: HttpRequest) -> State:
    """What the server's lifespan yielded, else what `Resources` has opened in this process."""
    empty = UNSERVED if isinstance(request, Request) else OUTSIDE
    return state_of(getattr(request, "scope", None), empty=empty)


def id_for(request: HttpRequest) -> str:
    """The id that the server gave, else of the request that this code runs for, else one of its own."""
    if own := getattr(request, "scope", {}).get(SCOPE_KEY) or request_id.get():
        return cast(str, own)
    brought = request.headers.get(HEADER.decode(), "")
    return identify([(HEADER, brought.encode(errors="replace"))])


add_attributes(Request)
