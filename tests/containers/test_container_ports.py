"""The Compose project behind its proxy on ports of the owner's choice, as a browser meets it."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.containers.test_container_compose import PROXIED
from tests.support.containers import Compose, composed, docker, locked_project, require_engine
from tests.support.server import PATIENCE, free_port, wait_for
from tests.support.sites import put_site

pytestmark = pytest.mark.container


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Compose]:
    """A project behind the proxy, which publishes https at a port that is not 443."""
    require_engine()
    project = locked_project(tmp_path)
    put_site(project, "echo")
    ports = {"HTTPS_PORT": str(free_port()), "WEB_REPLICAS": "1"}
    with composed(project, **PROXIED | ports) as compose:
        compose.make("build", "up")
        yield compose


def test_https_on_another_port_is_what_everything_names(proxied: Compose) -> None:
    port = proxied.variables["HTTPS_PORT"]
    address = f"https://localhost:{port}"
    plain = f"http://localhost:{proxied.address('proxy', 80).rpartition(':')[2]}"

    with httpx.Client(verify=False, timeout=PATIENCE) as client:  # noqa: S501
        wait_for(lambda: client.get(f"{address}/readyz").status_code == 200, "the server")
        for path in ("/echo?a=1", "/static/icon.svg", "/livez"):
            redirect = client.get(plain + path)
            assert redirect.status_code == 308
            assert redirect.headers["location"] == address + path
            assert "server" not in redirect.headers
        assert client.get(f"{plain}/echo", follow_redirects=True).json()["secure"] is True
        for path in ("/", "/echo", "/admin/login/", "/nowhere", "/livez", "/static/icon.svg"):
            answer = client.get(address + path)
            assert "server" not in answer.headers, path
            assert "alt-svc" not in answer.headers, "HTTP/3, whose port is not published"
            assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]
            assert answer.headers.get_list("x-content-type-options") == ["nosniff"]

        login = client.get(f"{address}/admin/login/?next=/admin/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', login.text)
        assert token
        form = {"username": "ada", "password": "hunter2", "csrfmiddlewaretoken": token[1]}
        headers = {"Origin": address, "Referer": f"{address}/admin/login/"}
        url = f"{address}/admin/login/?next=/admin/"
        assert client.post(url, data=form, headers=headers).status_code == 200, (
            "CSRF knows the port"
        )
        assert "failed login of 'ada' from " in proxied("logs", "web")
        assert "hunter2" not in proxied("logs", "web")

        docker("kill", proxied.containers("web")[0])
        broken = client.get(f"{address}/echo")
        assert broken.status_code in (502, 503, 504)
        assert "server" not in broken.headers
        assert "caddy" not in broken.text.lower()


@pytest.mark.parametrize(("port", "suffix"), [("", ""), ("7543", ":7543")])
def test_the_redirect_names_a_port_only_where_one_is_given(
    tmp_path: Path, port: str, suffix: str
) -> None:
    require_engine()
    compose = Compose(locked_project(tmp_path), **PROXIED | {"HTTPS_PORT": port})
    proxy = yaml.safe_load(compose("config"))["services"]["proxy"]

    assert proxy["environment"]["HTTPS_SUFFIX"] == suffix
    published = {item["target"]: (item["published"], item["protocol"]) for item in proxy["ports"]}
    assert published[443] == (port or "443", "tcp")
    assert {item["host_ip"] for item in proxy["ports"]} == {"0.0.0.0"}, (  # noqa: S104
        "by IPv6 all would have the gateway's address"
    )
