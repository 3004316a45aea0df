"""Requests do not see each other: what one leaves behind on its thread, its task or its connection."""

from itertools import product
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.support.server import PATIENCE
from tests.support.sites import put_site

LEAVES = ("leaves", "stream", "fails", "aleaves", "astream", "stream_of_async", "astream_of_sync", "afails")  # fmt: skip


@pytest.mark.parametrize("loop", ["uvloop", "asyncio", "rloop"])
def test_nothing_is_left_for_the_next_request(project: Path, serve: Serve, loop: str) -> None:
    put_site(project, "isolation")
    # One thread and one connection, so that every request follows the one before on both.
    server = serve(project, SERVING_THREADS="1", GRANIAN_LOOP=loop).ready()
    with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:

        def seen(view: str) -> str:
            answer = client.get(f"/{view}/")
            assert answer.status_code == 200
            return answer.text

        fresh = {view: seen(view) for view in ("looks", "alooks")}
        assert "left" not in "".join(fresh.values())
        for leaves, looks in product(LEAVES, fresh):
            client.get(f"/{leaves}/")
            assert seen(looks) == fresh[looks], f"{looks} after {leaves}"
    assert server.stop() == 0
