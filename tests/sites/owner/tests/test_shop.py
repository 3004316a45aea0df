"""The shop's own tests, with the fixtures of serving/testing.py and one of the owner's."""

import hypercorn
import rest_framework  # type: ignore[import-untyped]
from django.test import Client
from serving.lifespan import Resources
from serving.state import State


def test_the_price(client: Client, tea: str) -> None:
    answer = client.get("/shop/price/").json()

    assert answer["shop"] == "Tea"
    assert answer["price"] == 3
    assert answer["id"]
    assert tea == "tea"


def test_the_state(state: State) -> None:
    assert state.prices == {"tea": 3}


def test_the_resources_of_a_script() -> None:
    with Resources() as resources:
        assert resources.state.prices == {"tea": 3}


def test_the_owners_own_packages() -> None:
    assert rest_framework.VERSION
    assert hypercorn.__name__
