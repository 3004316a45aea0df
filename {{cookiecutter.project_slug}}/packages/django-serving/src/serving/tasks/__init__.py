"""Background tasks: Django's own API, kept in the database by django-ox, run beside the server.

https://docs.djangoproject.com/en/6.1/topics/tasks/ https://oxpull.com/django-ox/
"""
