"""Fills the tables of tests/sites/moving/."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from accounts.models import User
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from moving.models import Order, Remark, Tea

zoe = User.objects.create_superuser("zoë", "zoe@example.com", "öffne dich", first_name="Zoë 👩‍💻")
User.objects.create_user("gone").delete()  # so that the next number is not the number of rows
ada = User.objects.create_user("ada", last_login=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC))
buyers = Group.objects.create(name="Käufer")
buyers.permissions.add(Permission.objects.get(codename="add_order"))
ada.groups.add(buyers)
ada.user_permissions.add(Permission.objects.get(codename="view_logentry"))
common = {
    "picked_on": date(1582, 10, 15),
    "opens_at": time(8, 30, 0, 5),
    "steeps": timedelta(days=1, microseconds=7),
}
green = Tea.objects.create(
    name="Grüner Tee “yes” \\ 'no' 0123", notes="eins\r\nzwei\t\n\nNULL\u2028  ", price=Decimal("12345.60"),
    facts={"ä": [1, 2.5, None, True, "\r\n"]}, picked_at=datetime(2026, 3, 29, 1, 59, 59, 999999, UTC),
    picture=bytes(range(256)), is_sold=True, **common,
)  # fmt: skip
Tea.objects.create(
    name="null", price=Decimal("0.10"), picked_at=datetime(1900, 1, 1, tzinfo=UTC), picture=b"",
    kin=green, **common,
)  # fmt: skip
order = Order.objects.create(buyer=ada)
order.teas.add(green)
Remark.objects.create(text="gut", about=green)
Remark.objects.create(text="ja", about=zoe)
ContentType.objects.clear_cache()
