"""A price, by a sync view, and a stream that ends when the server is to stop."""

import logging
from collections.abc import AsyncIterator

from django.conf import settings
from django.http import JsonResponse, StreamingHttpResponse
from serving.drain import stopping
from serving.request import Request
from serving.request_id import request_id
from serving.threads import one_thread
from shop.lifespan import ShopState

logger = logging.getLogger(__name__)


def price(request: Request[ShopState]) -> JsonResponse:
    logger.info("asked for the price by %s", request_id.get())
    price = request.state.prices["tea"]
    return JsonResponse({"shop": settings.SHOP_NAME, "price": price, "id": request.id})


async def ticks(request: Request[ShopState]) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        async with one_thread():
            while not await stopping.wait(0.01):
                yield f"{request.state.prices['tea']}\n"

    return StreamingHttpResponse(lines())
