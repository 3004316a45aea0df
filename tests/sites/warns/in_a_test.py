import warnings


def test() -> None:
    warnings.warn("old", stacklevel=1)
