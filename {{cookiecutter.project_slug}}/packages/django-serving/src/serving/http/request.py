"""What a view gets: Django's request, with the lifespan's state and the request's id.

Our handler makes a `Request`. Everything else that makes one (Django's test clients and request factories,
`runserver`, a WSGI server, `HttpRequest()` in a shell or a command) makes a class of Django's own, to which
`add_attributes` gives the same two; `serving.apps` calls it.
"""

from functools import cached_property
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from serving.http.body import FULL, Refused, disk_refused
from serving.http.request_id import HEADER, SCOPE_KEY, identify
from serving.lifespan.state import OUTSIDE, UNSERVED, State, state_of
from serving.log.context import request_id


class Request[S](ASGIRequest):
    """The request of every view. `Request[HomeState]` tells an editor what `request.state` holds."""

    # What the client is told, and the status, where Django says 400 and no more.
    refusal: tuple[int, str] | None = None

    state: S  # what the apps' lifespans yielded, as attributes: serving.lifespan.state.State
    request_id: str  # as in the log

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:
        """A form's fields and files. Raises serving.http.body.Refused where the disk is full."""
        try:
            return super().parse_file_upload(META, post_data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise disk_refused(error) from error

    def _load_post_and_files(self) -> None:
        """As Django's; where that raises, middleware may have asked for the form as well as the view."""
        try:
            super()._load_post_and_files()
        except Exception as error:
            self.note_refusal(error)
            raise

    def note_refusal(self, error: Exception) -> None:
        """Notes what the client is told of an error that is its own, or the disk's."""
        if isinstance(error, Refused):
            self.refusal = error.status, error.answer
        elif isinstance(error, TooManyFieldsSent):
            self.refusal = 400, f"More than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} fields."
        elif isinstance(error, TooManyFilesSent):
            self.refusal = 400, f"More than {settings.DATA_UPLOAD_MAX_NUMBER_FILES} files."
        elif isinstance(error, RequestDataTooBig):
            size = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            self.refusal = 413, f"Without its files, the request is larger than {size} bytes."


def tell_refusal(request: HttpRequest, response: Any) -> Any:
    """The response, where the request's form or an upload was refused: Django's 400 says why."""
    refusal = getattr(request, "refusal", None)
    if response.status_code == 400 and refusal:
        response.status_code, text = refusal
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
