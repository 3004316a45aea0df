"""The project's own user model: it can grow fields later, Django's own could not be replaced then.

https://docs.djangoproject.com/en/6.1/topics/auth/customizing/#using-a-custom-user-model-when-starting-a-project
"""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A person who can log in."""
