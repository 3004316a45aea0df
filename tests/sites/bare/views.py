"""What tests of the wheel ask a project that `startproject` made."""

import asyncio
import logging
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

logger = logging.getLogger("bare")


def seen(request: HttpRequest) -> JsonResponse:
    """What a view sees of the request; the log has a record of it."""
    logger.info("seen")
    return JsonResponse(
        {
            "client": request.META["REMOTE_ADDR"],
            "scheme": request.scheme,
            "lifespan": dir(request.state),
        }
    )


def size(request: HttpRequest) -> HttpResponse:
    """The size of the request's body."""
    return HttpResponse(str(len(request.body)))


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    """A stream that nothing ends by itself."""

    async def parts() -> AsyncIterator[str]:
        yield "begun\n"
        await asyncio.Event().wait()

    return StreamingHttpResponse(parts(), content_type="text/plain")
