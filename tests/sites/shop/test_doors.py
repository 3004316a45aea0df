"""Every door to a view, under pytest: `request.state` and `request.request_id` are there."""

import asyncio
import copy
import http.client
import io
import json
import threading
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from accounts.models import User
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.management import BaseCommand, call_command
from django.http import HttpRequest
from django.test import (
    AsyncClient,
    AsyncRequestFactory,
    Client,
    LiveServerTestCase,
    RequestFactory,
    SimpleTestCase,
    TestCase,
    TransactionTestCase,
    override_settings,
)
from rest_framework.decorators import api_view
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory
from serving.lifespan.resources import Resources
from serving.testing import LifespanMixin, LoopResources
from shop import lifespan, views

pytestmark = pytest.mark.urls("shop.urls")


@pytest.fixture(autouse=True)
def nothing_is_left_open(request: pytest.FixtureRequest) -> None:
    if "live_server" not in request.fixturenames:  # pytest-django sets it up before all others
        assert not lifespan.opened


def body(response: Any) -> Any:
    assert response.status_code == 200
    return json.loads(response.content)


# Without a lifespan


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(lambda: RequestFactory().get("/"), id="RequestFactory"),
        pytest.param(lambda: AsyncRequestFactory().get("/"), id="AsyncRequestFactory"),
        pytest.param(lambda: APIRequestFactory().get("/"), id="APIRequestFactory"),
        pytest.param(HttpRequest, id="HttpRequest"),
        pytest.param(
            lambda: WSGIRequest({"REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO()}),
            id="WSGIRequest",
        ),
    ],
)
def test_a_request_by_itself_has_an_empty_state_that_explains_itself(request_: Any) -> None:
    request = request_()
    assert getattr(request.state, "stock", None) is None
    assert not hasattr(request.state, "stock")
    with pytest.raises(
        AttributeError, match=r"'stock': no lifespan ran in this process.*Resources"
    ):
        request.state.stock  # noqa: B018
    with pytest.raises(AttributeError, match="cannot be set"):
        request.state.stock = 1
    assert copy.deepcopy(copy.copy(request.state)) is request.state
    assert len(request.request_id) == 32
    assert request.request_id == request.request_id
    assert request_().request_id != request.request_id
    request.request_id, request.state = "mine", "mine"  # as a library or a test may
    assert (request.request_id, request.state) == ("mine", "mine")
    assert request_().state != "mine"


@pytest.mark.parametrize("made", [Client, APIClient])
def test_a_client_by_itself(made: Any) -> None:
    answer = body(made().get("/state/", headers={"X-Request-ID": "order-7"}))
    assert answer == {"sold": None, "id": "order-7"}
    assert len(body(made().get("/state/", headers={"X-Request-ID": "ö 7"}))["id"]) == 32
    assert body(asyncio.run(AsyncClient().get("/state/")))["sold"] is None


# Both handlers send `request_started`, for which Django looks at whatever connection is open: one
# that an earlier test of this process left, so without the mark it depended on their order.
@pytest.mark.django_db(transaction=True)
def test_a_wsgi_server_and_djangos_own_asgi_handler() -> None:
    started: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/state/",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(),
    }
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        (content,) = WSGIHandler()(environ, lambda status, headers: started.append(status))
        assert started == ["200 OK"]
        assert json.loads(content)["sold"] is None

        async def ask() -> list[dict[str, Any]]:
            sent: list[dict[str, Any]] = []

            messages = iter([{"type": "http.request"}])

            async def receive() -> dict[str, Any]:
                return next(messages, None) or await asyncio.Future()

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            scope = {
                "type": "http",
                "method": "GET",
                "path": "/state/",
                "headers": [(b"host", b"testserver")],
                "query_string": b"",
            }
            await ASGIHandler()(scope, receive, send)
            return sent

        assert asyncio.run(ask())[0]["status"] == 200


# With one


@pytest.mark.parametrize("path", ["/sell/", "/sell-in-a-thread/"])
@pytest.mark.parametrize("time", [1, 2], ids=["first", "and nothing leaks"])
def test_client(client: Client, path: str, time: int) -> None:
    assert body(client.get(path)) == {"sold": 1}
    assert body(client.get(path)) == {"sold": 2}
    assert body(client.get("/state/"))["sold"] == 2


def test_admin_client(admin_client: Client) -> None:
    assert body(admin_client.get("/sell/")) == {"sold": 1}
    assert admin_client.get("/admin/").status_code == 200


def test_what_a_test_wrote_is_seen_by_an_async_view(admin_client: Client) -> None:
    """In the transaction of the test, on its thread's connection."""
    assert body(admin_client.get("/people/")) == {"people": 1}


def test_async_client_on_the_lifespans_loop(async_client: AsyncClient, resources: Any) -> None:
    async def twice() -> Any:
        assert await resources.state.stock.sell() == 1
        return await async_client.get("/sell/")

    assert body(resources.run(twice())) == {"sold": 2}


def test_async_client_on_a_loop_of_the_tests_own(async_client: AsyncClient) -> None:
    """As pytest-asyncio and anyio have one."""
    assert body(asyncio.run(async_client.get("/sell/"))) == {"sold": 1}
    assert body(asyncio.run(async_client.get("/sell-in-a-thread/"))) == {"sold": 2}


def test_factories(rf: RequestFactory, async_rf: AsyncRequestFactory, resources: Any) -> None:
    assert body(views.sell_in_a_thread(rf.get("/"))) == {"sold": 1}
    assert body(resources.run(views.sell(async_rf.get("/")))) == {"sold": 2}  # type: ignore[arg-type]


def fetch(address: str) -> Any:
    with urllib.request.urlopen(address) as answer:  # noqa: S310
        return json.load(answer)


def test_live_server(live_server: Any) -> None:
    assert fetch(f"{live_server}/sell/") == {"sold": 1}
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(f"{live_server}/sell/")["sold"]))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [2, 3, 4, 5, 6]


def test_rest_frameworks_requests_wrap_ours(resources: Any) -> None:
    @api_view(["POST"])
    def view(request: Any) -> Response:
        return Response(
            {"sold": request.state.stock.sold, "id": len(request.request_id), "data": request.data}
        )

    answer = view(APIRequestFactory().post("/", {"a": 1}, format="json"))
    assert answer.data == {"sold": 0, "id": 32, "data": {"a": 1}}


def test_a_command_that_renders_a_view(capsys: pytest.CaptureFixture[str]) -> None:
    class Command(BaseCommand):
        def handle(self, **_: Any) -> str:
            before = body(views.state(RequestFactory().get("/")))
            with Resources() as resources:
                resources.run(resources.state.stock.sell())
                during = body(views.state(RequestFactory().get("/")))
            after = body(views.state(RequestFactory().get("/")))
            return f"{before['sold']} {during['sold']} {after['sold']}"

    assert call_command(Command()) == "None 1 None"


def test_the_latest_resources_are_shown_and_the_earlier_ones_again(rf: RequestFactory) -> None:
    assert body(views.sell_in_a_thread(rf.get("/"))) == {"sold": 1}
    with LoopResources():
        assert body(views.sell_in_a_thread(rf.get("/"))) == {"sold": 1}
    assert rf.get("/").state.stock.sold == 1  # type: ignore[attr-defined]


def test_a_lifespan_that_fails_fails_the_test_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise ValueError("no stock")

    monkeypatch.setattr(lifespan, "Stock", fail)
    with pytest.raises(Exception, match=r"shop: .*no stock"), LoopResources():
        pass
    assert not lifespan.opened
    assert getattr(HttpRequest().state, "stock", None) is None  # type: ignore[attr-defined]


def test_a_lifespan_that_ends_by_itself_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    @asynccontextmanager
    async def dying() -> AsyncIterator[dict[str, object]]:
        async def fail() -> None:
            ended.set()
            raise ValueError("no stock")

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            yield {}

    monkeypatch.setattr(lifespan, "lifespan", dying)
    with pytest.raises(RuntimeError, match="a lifespan ended by itself"), LoopResources():
        assert ended.wait(10)
    assert getattr(HttpRequest().state, "stock", None) is None  # type: ignore[attr-defined]


class Doors:
    """What every class of Django's is asked."""

    def test_sync(self: Any) -> None:
        assert body(self.client.get("/sell/")) == {"sold": 1}
        assert body(self.client.get("/sell-in-a-thread/")) == {"sold": 2}

    async def test_async(self: Any) -> None:
        assert body(await self.async_client.get("/sell/")) == {"sold": 1}
        assert await self.resources.state.stock.sell() == 2

    def test_nothing_leaks(self: Any) -> None:
        assert self.resources.state.stock.sold == 0


@override_settings(ROOT_URLCONF="shop.urls")
class SimpleDoors(Doors, LifespanMixin, SimpleTestCase):
    pass


@override_settings(ROOT_URLCONF="shop.urls")
class PlainDoors(Doors, LifespanMixin, TestCase):
    def test_data(self) -> None:
        User.objects.create_user("ada")
        assert body(self.client.get("/people/")) == {"people": 1}

    async def test_data_in_async_code(self) -> None:
        await User.objects.acreate(username="ada")
        assert body(await self.async_client.get("/people/")) == {"people": 1}
        assert body(await self.async_client.get("/people/")) == {"people": 1}


@override_settings(ROOT_URLCONF="shop.urls")
class TransactionDoors(Doors, LifespanMixin, TransactionTestCase):
    pass


@override_settings(ROOT_URLCONF="shop.urls")
class LiveDoors(LifespanMixin, LiveServerTestCase):
    def test_live(self) -> None:
        assert fetch(f"{self.live_server_url}/sell/") == {"sold": 1}
        connection = http.client.HTTPConnection(self.live_server_url.removeprefix("http://"))
        for sold in (2, 3):  # kept alive: one thread of the server's
            connection.request("GET", "/sell-in-a-thread/")
            assert json.load(connection.getresponse()) == {"sold": sold}
        connection.close()


class WithoutMixin(TestCase):
    def test_the_first_page(self) -> None:
        assert self.client.get("/").status_code == 200
