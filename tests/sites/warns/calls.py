from shop.old import now


def test() -> None:
    now()
