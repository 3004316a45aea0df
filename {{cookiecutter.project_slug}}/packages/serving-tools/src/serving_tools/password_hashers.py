"""Argon2, in a memory that is bounded however many people log in at once.

Django's own parameters take 100 MiB for a hash, and eight threads. These are the first that OWASP names.
https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id
https://docs.djangoproject.com/en/6.1/topics/auth/passwords/#using-argon2-with-django
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from django.contrib.auth import hashers

# Hashes of a process at the same time.
AT_ONCE = 2


@cache
def pool() -> ThreadPoolExecutor:
    """Threads that hash. A lock would bound the hashes, and not the memory.

    glibc's malloc keeps what a thread has freed for that thread: 50 threads that hash two at a time end up
    with ten times the memory of two threads.
    """
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")


os.register_at_fork(after_in_child=pool.cache_clear)  # a child has none of its parent's threads


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Passwords with other parameters, or another algorithm, are hashed anew when their user logs in."""

    time_cost = 2
    memory_cost = 19 * 1024  # KiB
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return pool().submit(super().encode, password, salt).result()

    def verify(self, password: str, encoded: str) -> bool:
        return pool().submit(super().verify, password, encoded).result()
