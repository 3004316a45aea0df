from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("login_limits", "0001_initial"),)

    operations = (
        migrations.AddField(
            model_name="loginfailures",
            name="spelling",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="A keyed hash of the name as it was typed each time; none where it was typed in several ways.",
                max_length=32,
            ),
        ),
        migrations.AddField(
            model_name="loginfailures",
            name="known_as",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The spelling of that login.",
                max_length=32,
            ),
        ),
    )
