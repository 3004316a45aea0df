"""Puts what this code cannot read in the place of every session in a Valkey server's cache."""

import sys

import redis

client = redis.Redis.from_url(sys.argv[1])
for key in client.scan_iter("*cached_db*"):
    client.set(key, b"\x80\x05cshop\nCart\n)\x81.")
    print(key)
