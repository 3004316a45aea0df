"""What waits for an error tracker while it takes nothing: first after many traces, then after as many errors."""

import os
from importlib import import_module
from threading import Event
from typing import Any

import django
import sentry_sdk

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main() -> None:
    django.setup()
    module: Any = import_module("telemetry.sentry")
    never = Event()
    module.Transport._send_envelope = lambda self, envelope: never.wait()
    client = module.SentryTracker("http://0123456789abcdef@127.0.0.1:9/1").client
    waiting = client.transport._worker._queue
    for _ in range(300):
        sentry_sdk.start_transaction(name="flood", sampled=True).finish()
    print("traces", waiting.qsize(), flush=True)
    for _ in range(300):
        sentry_sdk.capture_exception(ValueError("flood"))
    print("both", waiting.qsize(), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
