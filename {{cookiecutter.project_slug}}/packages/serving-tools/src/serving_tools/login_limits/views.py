"""Django's page that mails a link to reset a password, with limits: else anyone fills anybody's mailbox."""

from typing import Any

from django.contrib.auth import views
from django.http import HttpResponse

from serving_tools.login_limits.backends import REFUSED
from serving_tools.login_limits.limits import LoginRefusedError, Reset


class PasswordResetView(views.PasswordResetView):
    """Its form shows a refusal, and LoginLimitMiddleware gives that its status, 429."""

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            Reset(form.cleaned_data["email"], self.request.META.get("REMOTE_ADDR") or "")
        except LoginRefusedError as error:
            self.request.META[REFUSED] = error.retry_after
            form.add_error(None, error)
            return self.form_invalid(form)
        return super().form_valid(form)
