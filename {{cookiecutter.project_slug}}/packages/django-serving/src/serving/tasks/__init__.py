"""Background tasks: Django's own API, kept in the database by django-ox, run beside the server.

https://docs.djangoproject.com/en/6.1/topics/tasks/ https://oxpull.com/django-ox/
"""

from django.dispatch import Signal

# Sent with the `task_id` of an attempt that failed, where the error is handled: `sys.exception()` is that error.
# Django's `task_finished` is sent for the last attempt alone.
attempt_failed = Signal()
