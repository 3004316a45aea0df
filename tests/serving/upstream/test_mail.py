"""Faults of the standard library that mail works around."""

import smtplib
from contextlib import suppress

import pytest

from tests.serving.upstream import works_around


@works_around("python", "#73936", "the refusal by isascii() in login")
def test_smtplib_sends_a_password_in_ascii_alone() -> None:
    # Else it would be sent, were there a server.
    with pytest.raises(UnicodeEncodeError), suppress(smtplib.SMTPServerDisconnected):
        smtplib.SMTP().auth("PLAIN", lambda challenge=None: "\0ada\0grün")
