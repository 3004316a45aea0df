"""Makes groups to read, and one that counts."""

from django.contrib.auth.models import Group

Group.objects.bulk_create([Group(name=f"g{number}") for number in range(50)])
Group.objects.create(name="count000000")
