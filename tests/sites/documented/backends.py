from django.contrib.auth.backends import BaseBackend

from accounts.models import User


class TokenBackend(BaseBackend):
    def authenticate(self, request, token=None):
        return User.objects.filter(username=token).first()


def simple_middleware(get_response):
    def middleware(request):
        return get_response(request)

    return middleware
