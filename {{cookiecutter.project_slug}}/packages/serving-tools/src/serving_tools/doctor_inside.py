"""The part of `doctor` that needs Django: settings, databases, cache and proxies, as the server has them.

python -m serving_tools.doctor_inside    # prints findings for `doctor`
"""

import ipaddress
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from serving_tools.doctor import LOOPBACK, MARK, Finding, described, who_listens


def settings() -> Iterator[Finding]:
    """Whether the settings can be loaded, and Django's own checks."""
    import django
    from django.core.checks import WARNING, run_checks
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
        found = [each for each in run_checks() if each.level >= WARNING and not each.is_silenced()]
    except ImproperlyConfigured as error:
        lines = str(error).splitlines()
        for line in [line.strip() for line in lines[1:]] or lines:
            yield Finding("fatal", "settings", line)
        return
    except SystemExit as error:
        yield Finding("fatal", "settings", f"they end the process: {error.code}")
        return
    except Exception as error:
        yield Finding("fatal", "settings", f"{described(error)}; correct it there")
        return
    for problem in found:
        grade = "fatal" if problem.is_serious() else "warning"
        yield Finding(
            grade, "settings", f"{problem.id}: {problem.msg} {problem.hint or ''}".strip()
        )
    if not found:
        yield Finding("ok", "settings", "loaded, and Django's checks find nothing")


def databases() -> Iterator[Finding]:
    """Whether each database answers, is this project's, and has its migrations."""
    from django.apps import apps
    from django.db import connections
    from django.db.migrations.recorder import MigrationRecorder
    from serving.probes.diagnosis import advice, missing_migrations

    for alias in connections:
        connection = connections[alias]
        config = connection.settings_dict
        subject = f"database {alias}"
        host, port = config["HOST"] or "", int(config["PORT"] or 5432)
        if connection.vendor == "sqlite" and not Path(config["NAME"]).exists():
            text = f"{config['NAME']} is not there yet; `make migrate` makes it"
            yield Finding("warning", subject, text)
            continue
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            missing = missing_migrations(connection)
            applied = {app for app, _ in MigrationRecorder(connection).applied_migrations()}
        except Exception as error:
            said = advice(error) or described(error)
            if host in LOOPBACK and "Connection refused" in str(error):
                text = f"nothing listens on {host}:{port} yet; `make services` starts Compose's"
                yield Finding("warning", subject, text)
                continue
            if host in LOOPBACK:
                said += f"; {who_listens(host, port)} listens on {host}:{port}"
                if any(Path("data", name).exists() for name in ("postgres.py", "valkey.py")):
                    from serving_tools import services

                    said += f": {services.way_out('db', port, str(error))}"
            yield Finding("fatal", subject, said)
            continue
        strange = sorted(applied - {each.label for each in apps.get_app_configs()})
        if strange:
            text = f"it has migrations of {', '.join(strange)}, which is no app here: another project's?"
            yield Finding("warning", subject, f"{text} correct DATABASE_URL")
        if missing:
            text = f"{len(missing)} migrations are missing; `make migrate` runs them"
            yield Finding("warning", subject, text)
        if not (strange or missing):
            yield Finding("ok", subject, "answers, and has every migration")


def cache() -> Iterator[Finding]:
    """Whether the cache's server answers, and takes a write."""
    if not Path("data/valkey.py").exists():
        return
    from django.conf import settings as configured

    redis: Any = import_module("redis")  # of projects that have it
    url = configured.CACHES["default"]["LOCATION"]
    if isinstance(url, list):
        url = url[0]
    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            client.set("doctor", 1, ex=1)
    except (OSError, redis.RedisError, ValueError) as error:
        text = f"it takes no write: {described(error)}; start it (`make services`), or correct CACHE_URL"
        yield Finding("warning", "cache", text)
    else:
        yield Finding("ok", "cache", "answers, and takes a write")


PROXY, CLIENT, STRANGER = "127.0.0.1", "203.0.113.7", "198.51.100.9"
CLAIM = f"X-Forwarded-For: {CLIENT}, X-Forwarded-Proto: https"


def proxy() -> Iterator[Finding]:
    """Sends the application a request as a proxy would, and reports what it believes."""
    from django.conf import settings as configured
    from serving.rules import UNIX

    trusted = list(configured.TRUSTED_PROXIES)
    networks = [ipaddress.ip_network(each, strict=False) for each in trusted if each != UNIX]
    proxy = PROXY
    if trusted:  # what comes by a unix socket has no address
        proxy = str(next(iter(networks[0].hosts()), networks[0][0])) if networks else ""
    client, scheme, status = seen_of(proxy)
    peer = proxy or "the server's unix socket"
    shown = f"a request by {peer} with {CLAIM} is seen as {scheme} from {client}"
    redirected = status in {301, 302, 307, 308} and scheme != "https"
    if trusted and (client, scheme) != (CLIENT, "https"):
        yield Finding(
            "fatal", "proxy", f"{shown}, though TRUSTED_PROXIES names that proxy; correct it"
        )
    elif trusted:
        yield Finding("ok", "proxy", shown)
    elif redirected:
        text = (
            f"no proxy is believed: {shown}, and redirected to https endlessly;"
            " name the proxy's address in TRUSTED_PROXIES (no proxy and no TLS: SECURE_SSL_REDIRECT=false)"
        )
        yield Finding("warning", "proxy", text)
    else:
        yield Finding("ok", "proxy", f"no proxy is believed: {shown}")
    if any(ipaddress.ip_address(STRANGER) in network for network in networks):
        text = f"anyone is believed, {STRANGER} too; TRUSTED_PROXIES must name proxies alone"
        yield Finding("warning", "proxy", text)
    elif seen_of(STRANGER)[:2] != (STRANGER, "http"):
        text = f"a stranger's {CLAIM} is believed; TRUSTED_PROXIES must name proxies alone"
        yield Finding("fatal", "proxy", text)


def seen_of(peer: str) -> tuple[str, str, int]:
    """Client and scheme of a request from this peer, as Django sees them, and the answer's status."""
    import asyncio

    from config.asgi import application
    from django.conf import settings as configured
    from django.core.signals import request_started

    host = next((name.lstrip(".") for name in configured.ALLOWED_HOSTS if name != "*"), "localhost")
    seen: dict[str, Any] = {}

    def started(**arguments: Any) -> None:
        seen.update(arguments["scope"])

    async def ask() -> int:
        status = 0

        async def receive() -> dict[str, Any]:
            if asked:
                await asyncio.sleep(3600)
            asked.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)

        asked: list[bool] = []
        headers = [("host", host), ("x-forwarded-for", CLIENT), ("x-forwarded-proto", "https")]
        scope: Any = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": "/doctor-asks", "raw_path": b"/doctor-asks", "root_path": "",
            "query_string": b"", "client": (peer, 50000), "server": ("127.0.0.1", 8000), "state": {},
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }  # fmt: skip
        await asyncio.wait_for(application(scope, receive, send), 20)
        return status

    request_started.connect(started, weak=False)
    try:
        status = asyncio.run(ask())
    finally:
        request_started.disconnect(started)
    if not seen:
        raise RuntimeError(f"the request did not reach Django: {status}")
    return str(seen["client"][0]), str(seen["scheme"]), status


def main() -> None:
    """Prints each finding for `doctor`, without a secret in it."""
    for check in (settings, databases, cache, proxy):
        try:
            findings = list(check())
        except (Exception, SystemExit) as error:
            findings = [Finding("fatal", check.__name__, f"can't be asked: {described(error)}")]
        for finding in findings:
            tell(finding)
        if check is settings and any(finding.grade == "fatal" for finding in findings):
            return  # the rest needs settings


def tell(finding: Finding) -> None:
    from serving.log.redaction import Secrets

    text = " ".join(Secrets().hidden_in(finding.text).split())
    print(MARK + json.dumps([finding.grade, finding.subject, text]), flush=True)


if __name__ == "__main__":
    main()
