"""The ORM from sync and async views at once: right, and in no more threads than are allowed."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import Run, Serve, bake_into
from tests.support.server import PATIENCE, Server, server_environment
from tests.support.services import Postgres

THREADS = 4
REQUESTS = 40

# The counter is read, and written a moment later: an update is lost where two do so at once.
VIEWS = """
import threading
import time

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import HttpResponse, JsonResponse
from django.urls import include, path

places = set()

def add():
    with transaction.atomic():
        counter = Group.objects.select_for_update().get(pk=1)
        time.sleep(0.005)
        counter.name = str(int(counter.name) + 1)
        counter.save()

def count(request):
    add()
    places.add(threading.get_ident())
    return HttpResponse()

async def count_async(request):
    await sync_to_async(add)()
    return HttpResponse()

def place():
    connection.ensure_connection()
    places.add(threading.get_ident())
    return threading.get_ident(), id(connection.connection)

async def own_place(request):
    found = {await sync_to_async(place)()}
    async for group in Group.objects.all():
        found.add(await sync_to_async(place)())
    await Group.objects.aget(pk=1)
    found.add(await sync_to_async(place)())
    return HttpResponse(len(found))

async def make(request):
    await Group.objects.acreate(name=request.GET["name"])
    return HttpResponse(await Group.objects.filter(name=request.GET["name"]).acount())

async def fail(request):
    return HttpResponse(await Group.objects.aget(pk=-1))

async def total(request):
    counter = await Group.objects.aget(pk=1)
    return JsonResponse({"counter": int(counter.name), "threads": len(places)})

urlpatterns = [
    path("count", count), path("count-async", count_async), path("own-place", own_place),
    path("make", make), path("fail", fail), path("total", total), path("", include("config.urls")),
]
"""


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def counting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, run: Run
) -> tuple[Path, dict[str, str]]:
    """A project with a row to count in, and the variables of its server."""
    database: str = request.param
    folder = bake_into(tmp_path_factory.mktemp(database), database=database)
    (folder / "views.py").write_text(VIEWS)
    (folder / "config" / "local.py").write_text(
        'from config.settings import *\nROOT_URLCONF = "views"\n'
    )
    variables = {"SERVING_THREADS": str(THREADS), "DJANGO_SETTINGS_MODULE": "config.local"}
    if database == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        postgres.query("CREATE DATABASE counting")
        variables["DATABASE_URL"] = postgres.url("counting")
    environment = server_environment(folder) | variables
    run(folder, "python", "manage.py", "migrate", "--verbosity", "0", **environment)
    run(folder, "python", "manage.py", "collectstatic", "--noinput", "-v", "0", **environment)
    make = "from django.contrib.auth.models import Group; Group.objects.create(name='0')"
    run(folder, "python", "manage.py", "shell", "--no-imports", "-c", make, **environment)
    return folder, variables


@pytest.fixture
def counter(counting: tuple[Path, dict[str, str]], tmp_path: Path, serve: Serve) -> Server:
    folder, variables = counting
    return serve(shutil.copytree(folder, tmp_path / "project"), **variables).ready()


def test_it_is_right_and_bounded(
    counter: Server, counting: tuple[Path, dict[str, str]], request: pytest.FixtureRequest
) -> None:
    before = counter.get("/total").json()["counter"]
    paths = ["/count", "/count-async", "/own-place", "/fail"] * (REQUESTS // 4)
    with (
        httpx.Client(base_url=counter.address, timeout=PATIENCE) as client,
        ThreadPoolExecutor(REQUESTS) as browsers,
    ):
        answers = list(browsers.map(client.get, paths))
        made = list(browsers.map(lambda n: client.get(f"/make?name={before}-{n}"), range(REQUESTS)))

    for path, answer in zip(paths, answers, strict=True):
        assert answer.status_code == (500 if path == "/fail" else 200), path
    assert {a.text for a, path in zip(answers, paths, strict=True) if path == "/own-place"} == {"1"}
    assert {answer.text for answer in made} == {"1"}, "a request reads what it has written"
    found = counter.get("/total").json()
    assert found["counter"] == before + REQUESTS // 2
    assert found["threads"] <= THREADS
    if "DATABASE_URL" in counting[1]:
        postgres: Postgres = request.getfixturevalue("postgres")
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'counting'"
        assert int(postgres.query(count)[0]) <= THREADS
    assert counter.stop() == 0
