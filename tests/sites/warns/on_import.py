import warnings

warnings.warn("old", stacklevel=1)


def test() -> None: ...
