"""Many people log in at once to a container of the memory that Compose gives it."""

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.containers import (
    HARDENED,
    Container,
    build,
    docker,
    locked_project,
    require_engine,
)
from tests.support.server import PATIENCE, SECRET_KEY

pytestmark = pytest.mark.container

PEOPLE = 50
MEMORY = 384  # MiB, as compose.yaml has it for one worker
RIGHT = "open sesame"


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    """A container with a user, and with that memory and no more."""
    require_engine()
    project = locked_project(tmp_path)
    assert f":-{MEMORY}m}}" in (project / "compose.yaml").read_text()
    tag = volume = f"test-{uuid.uuid4().hex[:8]}"
    build(project, tag)
    environment = [f"--env=SECRET_KEY={SECRET_KEY}", f"--env=DJANGO_SUPERUSER_PASSWORD={RIGHT}"]
    user = "createsuperuser --noinput --username ada --email ada@example.com"
    prepare = f"python manage.py migrate --verbosity=0 && python manage.py {user}"
    docker("run", "--rm", *HARDENED, f"--volume={volume}:/data", *environment, tag, "sh", "-c", prepare)  # fmt: skip
    started = Container(
        tag, f"--volume={volume}:/data", f"--memory={MEMORY}m", f"--memory-swap={MEMORY}m",
        "--env=SECURE_SSL_REDIRECT=false", "--env=SECURE_COOKIES=false",
    )  # fmt: skip
    yield started.ready()
    started.remove()
    docker("volume", "rm", "--force", volume, check=False)
    docker("image", "rm", "--force", tag, check=False)


def log_in(address: str, password: str) -> int:
    """What the admin's login answers to one who asks for its page first."""
    headers = {"Host": "example.com"}
    with httpx.Client(base_url=address, headers=headers, timeout=PATIENCE) as client:
        page = client.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"username": "ada", "password": password, "csrfmiddlewaretoken": token[1]}
        return client.post("/admin/login/", data=form).status_code


def test_fifty_logins_at_once_leave_the_container_as_it_was(container: Container) -> None:
    workers = container.run("cat", "/proc/1/task/1/children")
    with ThreadPoolExecutor(PEOPLE) as people:
        for _ in range(3):
            found = Counter(people.map(log_in, [container.address] * PEOPLE, [RIGHT] * PEOPLE))
            assert found == {302: PEOPLE}
    assert container.run("cat", "/proc/1/task/1/children") == workers
    assert not container.state["OOMKilled"]
    shown = container.run("sh", "-c", "grep -h VmHWM /proc/[0-9]*/status")
    peak = sum(map(int, re.findall(r"(\d+) kB", shown))) / 1024
    assert peak < MEMORY, (
        f"{peak:.0f} MiB: what the processes held at most, shared pages counted twice"
    )
    print(f"peak: {peak:.0f} MiB")
