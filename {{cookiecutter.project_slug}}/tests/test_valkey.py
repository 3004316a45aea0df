"""The cache, while its server is gone."""

from data.valkey import Client


def test_reads_are_misses_and_writes_are_dropped() -> None:
    gone = Client(["redis://127.0.0.1:1/0"], prefix="")  # where nobody listens
    gone.set("tea", "oolong", 60)

    assert gone.get("tea", "none") == "none"
    assert not gone.add("tea", "oolong", 60)
