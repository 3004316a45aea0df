"""The first app: its page, and what keeps it up to date."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import JsonResponse
from django.test import AsyncClient, Client
from django.test.client import AsyncRequestFactory
from django.urls import reverse
from django.utils.html import escape

from accounts.models import User
from home.views import uptime


def test_everyone_sees_the_projects_name_and_no_more(client: Client) -> None:
    page = client.get(reverse("home:index"))

    assert page.status_code == 200
    assert f"<h1>{escape(settings.PROJECT_NAME)}</h1>" in page.text
    assert "process" not in page.text


def test_staff_sees_what_the_lifespan_opened(client: Client, user: User) -> None:
    client.force_login(user)

    page = client.get(reverse("home:index"))

    assert "started_at (" in page.text


@pytest.mark.django_db(transaction=True)
def test_staff_is_sent_what_the_services_answer(
    async_client: AsyncClient, resources: Any, user: User
) -> None:
    async def first_event() -> dict[str, str]:
        await async_client.aforce_login(user)
        answer: Any = await async_client.get(reverse("home:live"))
        assert answer.headers["Content-Type"] == "text/event-stream"
        parts = aiter(answer.streaming_content)
        event = await anext(parts)
        await parts.aclose()
        return dict(json.loads(event.partition(b"data: ")[2]))

    event = resources.run(first_event())

    assert event["migrations"] == "all applied"
    assert event["database"].endswith(" ms")
    assert event["cache"].endswith(" ms")


def test_nobody_else_is_sent_anything(async_client: AsyncClient, resources: Any) -> None:
    answer = resources.run(async_client.get(reverse("home:live")))

    assert answer.status_code == 403


def test_uptime_counts_from_the_lifespans_start(async_client: AsyncClient, resources: Any) -> None:
    answer = resources.run(async_client.get(reverse("home:uptime")))

    age = (datetime.now(UTC) - resources.state.started_at).total_seconds()
    assert 0 <= answer.json()["uptime_seconds"] <= age


def test_uptime_without_a_lifespan_is_null() -> None:
    answer: JsonResponse = async_to_sync(uptime)(AsyncRequestFactory().get("/uptime/"))  # type: ignore[arg-type]

    assert b'"uptime_seconds": null' in answer.content
