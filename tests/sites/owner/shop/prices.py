"""A script of the owner's: `python -m shop.prices` prints the price list."""

import django

django.setup()

from serving.lifespan import Resources  # noqa: E402


def main() -> None:
    with Resources() as resources:
        print(resources.state.prices)


if __name__ == "__main__":
    main()
