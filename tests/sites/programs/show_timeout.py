"""Shows how long the database lets a statement run."""

from django.db import connection

with connection.cursor() as cursor:
    cursor.execute("SHOW statement_timeout")
    print(cursor.fetchone())
