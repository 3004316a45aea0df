"""The first app: its page, from a sync view, and the uptime, from an async one."""

from datetime import UTC, datetime
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import JsonResponse
from django.test import AsyncClient, Client
from django.test.client import AsyncRequestFactory
from django.utils.html import escape

from home.views import uptime


def test_the_page_shows_the_project_and_what_the_lifespan_opened(client: Client) -> None:
    page = client.get("/")

    assert page.status_code == 200
    assert f"<h1>{escape(settings.PROJECT_NAME)}</h1>" in page.text
    assert "request.state.started_at" in page.text


def test_uptime_counts_from_the_lifespans_start(async_client: AsyncClient, resources: Any) -> None:
    answer = resources.run(async_client.get("/uptime/"))

    age = (datetime.now(UTC) - resources.state.started_at).total_seconds()
    assert 0 <= answer.json()["uptime_seconds"] <= age


def test_uptime_without_a_lifespan_is_null() -> None:
    answer: JsonResponse = async_to_sync(uptime)(AsyncRequestFactory().get("/uptime/"))  # type: ignore[arg-type]

    assert b'"uptime_seconds": null' in answer.content
