class Odd:
    def __del__(self) -> None:
        raise ValueError


def now() -> None:
    Odd()
