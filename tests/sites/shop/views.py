from accounts.models import User
from asgiref.sync import async_to_sync
from django.http import HttpRequest, JsonResponse


def state(request: HttpRequest) -> JsonResponse:
    """What any door gives, sold or not."""
    stock = getattr(request.state, "stock", None)
    return JsonResponse({"sold": stock and stock.sold, "id": request.request_id})


async def sell(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"sold": await request.state.stock.sell()})


def sell_in_a_thread(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"sold": async_to_sync(request.state.stock.sell)()})


async def people(request: HttpRequest) -> JsonResponse:
    await request.state.stock.sell()
    return JsonResponse({"people": await User.objects.acount()})
