import warnings


def test() -> None:
    warnings.warn("old", DeprecationWarning, stacklevel=1)
