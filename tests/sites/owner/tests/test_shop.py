"""The shop's own tests, with the fixtures of serving/testing.py and one of the owner's."""


import httpx
from django.test import AsyncClient, Client
from serving.lifespan import Resources
from serving.state import State


def test_the_price(client: Client, tea: str) -> None:
    answer = client.get("/shop/price/").json()

    assert answer["price"] == 3
    assert answer["id"]
    assert tea == "tea"


def test_the_state(state: State, async_client: AsyncClient) -> None:
    assert state.prices == {"tea": 3}


def test_the_resources() -> None:
    with Resources() as resources:
        assert resources.state.prices == {"tea": 3}


def test_the_owners_own_package() -> None:
    assert httpx.URL("https://shop.example").host == "shop.example"
