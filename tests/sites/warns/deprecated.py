"""What it calls is deprecated, and says so of its caller."""

from datetime import datetime


def now() -> datetime:
    return datetime.utcnow()
