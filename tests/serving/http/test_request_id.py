"""The id of a request."""

import pytest
from serving.http.request_id import identify


@pytest.mark.parametrize("value", [b"", b"x" * 129, b"a b", b"a\x85b", b"../a"])
def test_an_id_is_taken_over_only_if_it_is_well_formed(value: bytes) -> None:
    assert identify([(b"host", b"x"), (b"x-request-id", b"Az09._-")]) == "Az09._-"
    made = identify([(b"x-request-id", value)])
    assert len(made) == 32
    assert made != identify([])
