"""A migration that the code of the commit before it bears."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.AddField("user", "tea", models.CharField(max_length=9, default=""))]
