from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = ()

    operations = (
        migrations.CreateModel(
            name="LoginFailures",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("user", models.CharField(blank=True, max_length=32)),
                ("network", models.CharField(blank=True, max_length=43)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("under_way", models.PositiveIntegerField(default=0)),
                (
                    "until",
                    models.DateTimeField(db_index=True, help_text="When the count starts again."),
                ),
                (
                    "known_until",
                    models.DateTimeField(
                        help_text="Until when this user's last login from here is remembered.",
                        null=True,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user", "network"), name="login_limits_one")
                ],
            },
        ),
    )
