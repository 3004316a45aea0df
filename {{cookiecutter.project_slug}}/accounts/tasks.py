"""What accounts do behind a request. A task may run twice, where its worker was killed: so each can be repeated."""

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import EmailMultiAlternatives
from django.tasks import task
from django.template import loader
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import override

from accounts.models import User


@task
def send_password_reset(
    user_id: int,
    address: str,
    sender: str | None,
    context: dict[str, str],
    templates: list[str | None],
    language: str | None = None,
    asked_with: str = "",
) -> None:
    """Sends the mail with the link, whose token is made here. Raises what the mail server says: it is retried.

    `templates`: of the subject, the text, and the HTML or None. `language`: the visitor's, None for the site's.
    `asked_with`: `state_of` the user then. A task may wait for days, and as a link that was mailed ends with
    a new password or address, so does one that was asked for, and one of an older version, which noted nothing.
    """
    user = User.objects.filter(pk=user_id, is_active=True, email=address).first()
    if user is None or not constant_time_compare(state_of(user), asked_with):
        return
    with override(language or settings.LANGUAGE_CODE):
        made = {
            **context,
            "email": address,
            "user": user,
            "uid": urlsafe_base64_encode(force_bytes(user.pk)),
            "token": default_token_generator.make_token(user),
        }
        subject, text, html = (
            loader.render_to_string(name, made) if name else None for name in templates
        )
    mail = EmailMultiAlternatives("".join(str(subject).splitlines()), str(text), sender, [address])
    if html:
        mail.attach_alternative(html, "text/html")
    mail.send()


def state_of(user: User) -> str:
    """A keyed hash of what changes with a password, which nobody who reads tasks can try passwords on."""
    return salted_hmac(__name__, user.password, algorithm="sha256").hexdigest()
