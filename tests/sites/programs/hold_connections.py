"""Takes every connection that a PostgreSQL server gives, and holds them until stdin ends."""

import sys

import psycopg

held: list[psycopg.Connection] = []
try:
    while True:
        held.append(psycopg.connect(sys.argv[1]))
except psycopg.OperationalError:
    print(len(held), flush=True)
sys.stdin.read()
