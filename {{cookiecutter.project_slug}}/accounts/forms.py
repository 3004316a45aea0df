"""Forms of accounts, with their mail sent by a task: the page answers before the mail server does."""

from typing import Any

from django.contrib.auth import forms
from django.utils.translation import get_language

from accounts.tasks import send_password_reset, state_of


class PasswordResetForm(forms.PasswordResetForm):
    """Django's own: `PasswordResetView.as_view(form_class=PasswordResetForm)`."""

    def send_mail(
        self,
        subject_template_name: str,
        email_template_name: str,
        context: dict[str, Any],
        from_email: str | None,
        to_email: str,
        html_email_template_name: str | None = None,
    ) -> None:
        """Enqueues what the task needs, and no token: whoever may read tasks could take over an account by it."""
        told = {name: str(context[name]) for name in ("domain", "site_name", "protocol")}
        templates = [subject_template_name, email_template_name, html_email_template_name]
        user = context["user"]
        send_password_reset.enqueue(
            user.pk, to_email, from_email, told, templates, get_language(), state_of(user)
        )
