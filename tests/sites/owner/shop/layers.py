"""A layer of the owner's own, around all the others of config/asgi.py."""

from serving.asgi import ASGIApp, Message, Receive, Scope, Send


class ShopHeader:
    """Names the shop in every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_name(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-shop", b"tea")]}
            await send(message)

        await self.app(scope, receive, send_with_name)
