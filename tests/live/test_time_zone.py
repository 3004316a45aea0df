"""A project in another time zone: what the page and the log write of a time is true, and names the zone."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import Serve


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu"])
def test_page_and_log_name_the_zone_of_their_times(
    project: Path, serve: Serve, zone: str, log_format: str
) -> None:
    settings = project / "config" / "settings.py"
    settings.write_text(settings.read_text().replace('TIME_ZONE = "UTC"', f'TIME_ZONE = "{zone}"'))
    before = datetime.now(UTC).replace(microsecond=0)
    server = serve(project, LOG_FORMAT=log_format, SECURE_SSL_REDIRECT="false").ready()
    page = server.get("/").text
    after = datetime.now(UTC)

    found = re.search(r'<time datetime="(.*?)">(\d\S+ \S+) (\S+)</time>', page)
    assert found, page
    exact = datetime.fromisoformat(found[1])
    assert before <= exact <= after
    local = datetime.fromisoformat(found[2]).replace(tzinfo=ZoneInfo(zone))
    assert local == exact.replace(microsecond=0)
    assert found[3] == local.tzname()
    assert exact.utcoffset() == local.utcoffset()

    server.wait_for_log("GET /")
    times = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?!\d)\S?", server.log)
    assert times
    for text in times:
        assert text.endswith("Z"), text
        assert before <= datetime.fromisoformat(text) <= datetime.now(UTC) + timedelta(seconds=1)


def test_without_time_zones_the_page_names_utc(project: Path, serve: Serve) -> None:
    settings = project / "config" / "settings.py"
    text = settings.read_text().replace('TIME_ZONE = "UTC"', 'TIME_ZONE = "Europe/Berlin"')
    settings.write_text(text.replace("USE_TZ = True", "USE_TZ = False"))
    server = serve(project, SECURE_SSL_REDIRECT="false").ready()
    found = re.search(r'<time datetime="(.*?)">(\d\S+ \S+) UTC</time>', server.get("/").text)
    assert found
    assert datetime.fromisoformat(f"{found[2]}Z") == datetime.fromisoformat(found[1]).replace(
        microsecond=0
    )
