"""Lets a user, or whoever comes from an address, log in again before the limit's time is over."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from serving_tools.login_limits.backends import unlock_user
from serving_tools.login_limits.limits import network_of, unlock


class Command(BaseCommand):
    help = "Sets back the failed logins of a user, from an address, or both."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?", default="", help="as it is typed at the login")
        parser.add_argument("--address", default="", help="for example 192.0.2.7 or 2001:db8::1")

    def handle(self, *, username: str, address: str, **options: Any) -> None:
        if not username and not address:
            raise CommandError("whom? `unlock ada`, `unlock --address 192.0.2.7`")
        if address and not network_of(address):
            raise CommandError(f"--address: {address!r} is no address; try '192.0.2.7'")
        asked = " and ".join(filter(None, (username, address)))
        done = unlock(address=address) + unlock_user(username)
        self.stdout.write(f"{asked}: {'unlocked' if done else 'no failed login was counted'}")
