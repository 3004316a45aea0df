"""A layer that is used by itself refuses a wrong setting, and a wrong argument, when it is made."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from serving import checks
from serving.conf import SETTINGS, conf
from serving.http.handler import DjangoHandler
from serving.http.proxy import Proxy
from serving.http.thread_pool import pool
from serving.lifespan import Lifespan, Resources
from serving.metrics import serve_metrics
from serving.probes import Probes
from serving.stopping import Drain


async def app(*_: object) -> None: ...


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda: Lifespan(app), "LIFESPAN", "requird"),
        (lambda: Lifespan(app), "LIFESPAN_STARTUP_TIMEOUT", 0),
        (lambda: Lifespan(app), "DRAIN_TIMEOUT", "15"),
        (Resources, "LIFESPAN_SHUTDOWN_TIMEOUT", None),
        (lambda: Probes(app), "LIFESPAN", "on"),
        (lambda: Probes(app), "URL_PATH_PREFIX", 3),
        (lambda: Drain(app), "DRAIN_TIMEOUT", 0),
        (lambda: Drain(app), "DRAIN_TIMEOUT", 2**31),
        (DjangoHandler, "BODY_MIN_RATE", 10**400),
        (lambda: Proxy(app), "TRUSTED_PROXIES", "10.0.0.2"),
        (lambda: Proxy(app), "URL_PATH_PREFIX", "app"),
        (DjangoHandler, "SERVING_THREADS", "8"),
        (DjangoHandler, "SEND_TIMEOUT", -1),
        (DjangoHandler, "MAX_BODY_SIZE", None),
        (DjangoHandler, "BODY_SPACE", "1 GB"),
        (DjangoHandler, "BODY_TIMEOUT", 0),
        (DjangoHandler, "BODY_MIN_RATE", "fast"),
        (serve_metrics, "METRICS_ADDRESS", "localhost"),
        (serve_metrics, "METRICS_PORT", 0),
        (serve_metrics, "WORKERS", 0),
        (conf.MEDIA_ACCEL_PREFIX, "MEDIA_ACCEL_PREFIX", "media/"),
    ],
)
def test_a_wrong_setting(
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], object],
    name: str,
    value: Any,
) -> None:
    monkeypatch.setattr(pool, "_bound", None)  # as in a process that has served nothing
    setattr(settings, name, value)
    with pytest.raises(
        ImproperlyConfigured, match=f"^{name} = {value!r}: .* Correct it"
    ) as refused:
        make()
    assert f"({getattr(conf, name).check})" in str(refused.value)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Lifespan(app, mode="nope"), "LIFESPAN = 'nope'"),
        (lambda: Lifespan(app, mode=""), "LIFESPAN = ''"),
        (lambda: Lifespan(app, startup_timeout=0), "LIFESPAN_STARTUP_TIMEOUT = 0"),
        (lambda: Lifespan(app, shutdown_timeout=0), "LIFESPAN_SHUTDOWN_TIMEOUT = 0"),
        (lambda: Lifespan(app, drain_timeout=0), "DRAIN_TIMEOUT = 0"),
        (lambda: Resources(startup_timeout=0), "LIFESPAN_STARTUP_TIMEOUT = 0"),
        (lambda: Probes(app, lifespan="requred"), "LIFESPAN = 'requred'"),
        (lambda: Probes(app, prefix="/app/"), "URL_PATH_PREFIX = '/app/'"),
        (lambda: Drain(app, timeout=0), "DRAIN_TIMEOUT = 0"),
        (lambda: Proxy(app, trusted=["the-proxy"]), r"TRUSTED_PROXIES = \['the-proxy'\]"),
        (lambda: serve_metrics(port=65536), "METRICS_PORT = 65536"),
    ],
)
def test_a_wrong_argument(make: Callable[[], object], name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{name}: "):
        make()


def test_what_is_given_wins_over_the_setting(settings: Any) -> None:
    settings.DRAIN_TIMEOUT = "soon"
    assert Drain(app, timeout=1).timeout == 1


def test_each_check_has_an_id_of_its_own() -> None:
    """By which a project silences it, and no other."""
    own = [setting.check for setting in SETTINGS.values()]
    others = re.findall(r"serving\.[EW]\d+", Path(checks.__file__).read_text())
    assert len(own) == len(set(own))
    assert not set(own) & set(others)
