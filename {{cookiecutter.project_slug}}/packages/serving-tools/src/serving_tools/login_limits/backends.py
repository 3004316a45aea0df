"""A backend whose logins have limits, whoever asks for them: the admin, a view, an API, sync or async.

https://docs.djangoproject.com/en/6.1/topics/auth/customizing/#writing-an-authentication-backend
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_backends, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from serving_tools.login_limits.limits import LONGEST_NAME, Attempt, LoginRefusedError, unlock

# In `request.META`, which a request of Django REST framework shares with Django's.
REFUSED = "serving_tools.login_refused"


class LimitedLogins:
    """To be named before a backend that checks passwords: `class Directory(LimitedLogins, LDAPBackend)`."""

    def counted_name(self, name: str) -> str:
        """The name that is counted: one for all that the backend takes for the same.

        Capitals, spaces around it and letters of other widths are one already. `name`: as it was sent, 1000
        letters at most.
        """
        return name

    @sensitive_variables("password")
    def authenticate(
        self, request: HttpRequest | None, username: Any = None, password: Any = None, **others: Any
    ) -> AbstractBaseUser | None:
        """The user, None, or LoginRefusedError; where there is no request, PermissionDenied.

        Django answers PermissionDenied by asking no other backend.
        """
        name = others.get(str(get_user_model().USERNAME_FIELD)) if username is None else username
        attempt = None
        if name is not None and password is not None:
            attempt = begin(request, self.counted_name(str(name)[:LONGEST_NAME]))
        right = None
        try:
            user: AbstractBaseUser | None = super().authenticate(  # type: ignore[misc]
                request, username=username, password=password, **others
            )
            right = user is not None
        except PermissionDenied:
            right = False
            raise
        finally:
            if attempt:
                attempt.end(right)
        return user

    @sensitive_variables("password")
    async def aauthenticate(
        self, request: HttpRequest | None, username: Any = None, password: Any = None, **others: Any
    ) -> AbstractBaseUser | None:
        """The same in a thread: the database is asked, and a hash takes long."""
        authenticate = sync_to_async(self.authenticate)
        return await authenticate(request, username=username, password=password, **others)


class LimitedModelBackend(LimitedLogins, ModelBackend):
    """Django's own backend, with limits."""


def begin(request: HttpRequest | None, name: str) -> Attempt:
    """Begins an attempt, and notes a refusal for LoginLimitMiddleware."""
    if request is None:
        try:
            return Attempt(name, "")
        except LoginRefusedError as error:
            raise PermissionDenied from error
    try:
        return Attempt(name, request.META.get("REMOTE_ADDR") or "")
    except LoginRefusedError as error:
        request.META[REFUSED] = error.retry_after
        raise


def unlock_user(name: str, *, as_spelled: bool = False) -> int:
    """Sets back the counts of a user, as each backend counts his name; returns how many that were.

    `as_spelled`: as for `unlock`.
    """
    backends = [each for each in get_backends() if isinstance(each, LimitedLogins)]
    names = {name} | {each.counted_name(name) for each in backends}
    return sum(unlock(name=each, as_spelled=as_spelled) for each in sorted(names))


def follow_new_password(instance: AbstractBaseUser, *, created: bool, **_: object) -> None:
    """A receiver of `post_save`: nothing that was tried before a new password keeps its owner out.

    Whoever sets one, a link that was mailed, a form or a command, has proved more than a login would. One that
    is hashed anew at a login is no new one.
    """
    # What `AbstractBaseUser.set_password` leaves until the end of `save`, for validators to be told of.
    if not created and getattr(instance, "_password", None) is not None:
        unlock_user(instance.get_username(), as_spelled=True)
