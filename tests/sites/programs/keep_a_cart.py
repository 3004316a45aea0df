"""A version of the code that has a class which the served one lacks: `put` caches one of it, `get` reads it."""

import sys
import types

import django

django.setup()
from django.core.cache import cache  # noqa: E402


class Cart: ...


Cart.__module__ = "shop"
shop = types.ModuleType("shop")
shop.Cart = Cart  # type: ignore[attr-defined]
sys.modules["shop"] = shop

if sys.argv[1] == "put":
    cache.set("tea", Cart())
    cache.set("milk", "oat")
else:
    print(type(cache.get("tea")).__name__)
    del sys.modules["shop"]
    read = sorted(cache.get_many(["tea", "milk"]).items())
    print(read, cache.get("tea", []), cache.has_key("tea"))
    print(cache.get_or_set("tea", "anew"), cache.add("tea", "x"))
