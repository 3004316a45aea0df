"""A project in another time zone: what the page and the log write of a time is true, and names the zone."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.conftest import Serve

STARTED = r'<dd data-fact="started">(\d\S+ \S+) (\S+)</dd>'


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu"])
def test_page_and_log_name_the_zone_of_their_times(
    project: Path, serve: Serve, zone: str, log_format: str
) -> None:
    settings = project / "config" / "settings.py"
    settings.write_text(settings.read_text().replace('TIME_ZONE = "UTC"', f'TIME_ZONE = "{zone}"'))
    before = datetime.now(UTC).replace(microsecond=0)
    server = serve(project, LOG_FORMAT=log_format, DEBUG="true").ready()
    page = server.get("/").text
    after = datetime.now(UTC)

    found = re.search(STARTED, page)
    assert found, page
    local = datetime.fromisoformat(found[1]).replace(tzinfo=ZoneInfo(zone))
    assert before <= local <= after
    assert found[2] == local.tzname()

    server.wait_for_log("GET /")
    times = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?!\d)\S?", server.log)
    assert times
    for text in times:
        assert text.endswith("Z"), text
        assert before <= datetime.fromisoformat(text) <= datetime.now(UTC) + timedelta(seconds=1)


def test_without_time_zones_the_page_names_it_too(project: Path, serve: Serve) -> None:
    settings = project / "config" / "settings.py"
    text = settings.read_text().replace('TIME_ZONE = "UTC"', 'TIME_ZONE = "Europe/Berlin"')
    settings.write_text(text.replace("USE_TZ = True", "USE_TZ = False"))
    server = serve(project, DEBUG="true").ready()
    found = re.search(STARTED, server.get("/").text)
    assert found
    local = datetime.fromisoformat(found[1]).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert timedelta(0) <= datetime.now(UTC) - local < timedelta(minutes=10)
    assert found[2] == local.tzname()
