"""Counts a login as failed before its password is looked at, and takes that back when it succeeds.

So no number of requests at the same time, to any number of workers, tries more passwords than the limits
allow. https://owasp.org/www-community/attacks/Brute_force_attack
"""

import logging
import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext, ngettext
from serving.rules import unmapped

from serving_tools.login_limits.models import LoginFailures

logger = logging.getLogger(__name__)

# What a project's settings may set.
DEFAULTS = {
    "LOGIN_LIMIT": 5,  # failures of one user from one network
    "LOGIN_LIMIT_ADDRESS": 50,  # from one network, of whomever: an office may have one address
    "LOGIN_LIMIT_USER": 50,  # of one user, from all networks that he has not logged in from
    "LOGIN_LIMIT_SECONDS": 15 * 60,  # from the first failure on
}

KNOWN_FOR = timedelta(days=90)

type Key = tuple[str, str]


class LoginRefusedError(ValidationError):
    """Too many logins have failed. A form shows it as its own error; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        minutes = ceil(retry_after / 60)
        again = ngettext("Try again in a minute.", "Try again in %d minutes.", minutes)
        again = again % minutes if "%" in again else again
        super().__init__(f"{gettext('Too many failed logins.')} {again}", code="too_many_logins")


class Attempt:
    """A login that is under way. Raises LoginRefusedError where there may be none.

    `address`: the client's, or "" where it has none (a unix socket, a program): then it counts for the
    user alone.
    """

    def __init__(self, name: str, address: str) -> None:
        self.user, self.network = user_key(name), network_of(address)
        keys = {("", self.network), (self.user, ""), (self.user, self.network)} - {("", "")}
        # Always locked in this order, so that no two attempts wait for each other.
        self.keys = sorted(keys)
        self._count(address)

    def _count(self, address: str) -> None:
        now = timezone.now()
        new_window = now + timedelta(seconds=setting("LOGIN_LIMIT_SECONDS"))
        fresh = False
        with atomic():
            counts = self._locked(now)
            for (user, network), count in counts.items():
                if count.until <= now:
                    count.failures, count.until = 0, new_window
                    fresh = fresh or not user
                name = limit_of(user, network)
                if count.failures >= setting(name) and not self._is_known(counts, name, now):
                    refuse(count.until - now, name, address)
                count.failures += 1
            save(counts.values())
        if fresh:
            forget_old(now)

    def _is_known(self, counts: dict[Key, LoginFailures], name: str, now: datetime) -> bool:
        """Whether a limit is the one that does not hold where the user has logged in before.

        Else anyone could keep out a user whose name he knows, from everywhere and for ever.
        """
        here = counts[self.user, self.network]
        return name == "LOGIN_LIMIT_USER" and bool(here.known_until and here.known_until > now)

    def succeed(self) -> None:
        """The password was right: takes the count back, and remembers that the user logs in from here.

        The network's count loses this one alone: else who has an account of his own, and logs in to it
        in between, could try those of others without end.
        """
        now = timezone.now()
        with atomic():
            counts = self._locked(now)
            for count in counts.values():
                count.failures = max(0, count.failures - 1)
            if self.network:
                here = counts[self.user, self.network]
                here.failures, here.known_until = 0, now + KNOWN_FOR
            save(counts.values())

    def _locked(self, now: datetime) -> dict[Key, LoginFailures]:
        """The counts, made where there are none, and for nobody else to change until the transaction ends."""
        LoginFailures.objects.bulk_create(
            [LoginFailures(user=user, network=network, until=now) for user, network in self.keys],
            update_conflicts=True,
            unique_fields=["user", "network"],
            update_fields=["network"],  # to the same: it locks the row
        )
        wanted = Q()
        for user, network in self.keys:
            wanted |= Q(user=user, network=network)
        found = {(each.user, each.network): each for each in LoginFailures.objects.filter(wanted)}
        return {key: found[key] for key in self.keys}


def atomic() -> "transaction.Atomic":
    """A transaction of the database that has the counts."""
    return transaction.atomic(using=router.db_for_write(LoginFailures))


def save(counts: Iterable[LoginFailures]) -> None:
    """Writes counts that are locked."""
    LoginFailures.objects.bulk_update(counts, ["failures", "until", "known_until"])


def refuse(wait: timedelta, name: str, address: str) -> None:
    """Raises LoginRefusedError, and logs which limit it was."""
    seconds = ceil(wait.total_seconds())
    logger.warning(
        "refused a login from %s, and does so for %d s: %s=%d",
        address or "an unknown address",
        seconds,
        name,
        setting(name),
        extra={"client.address": address or None},
    )
    raise LoginRefusedError(seconds)


def forget_old(now: datetime) -> None:
    """Removes counts that have run out, but for those that some attempt has locked."""
    with atomic():
        old = LoginFailures.objects.filter(until__lte=now).exclude(known_until__gt=now)
        free = old.select_for_update(skip_locked=True).values_list("pk", flat=True)
        LoginFailures.objects.filter(pk__in=list(free[:1000])).delete()


def unlock(*, name: str = "", address: str = "") -> int:
    """Sets back what was counted of a user, from a network, or both; says how many counts that were."""
    counted = LoginFailures.objects.filter(failures__gt=0)
    done = counted.filter(user=user_key(name)).update(failures=0) if name else 0
    if address:
        done += counted.filter(network=network_of(address)).update(failures=0)
    return done


def limit_of(user: str, network: str) -> str:
    """The setting that limits a count."""
    if not user:
        return "LOGIN_LIMIT_ADDRESS"
    return "LOGIN_LIMIT" if network else "LOGIN_LIMIT_USER"


def setting(name: str) -> int:
    """A limit as the project sets it."""
    return int(getattr(settings, name, DEFAULTS[name]))


def user_key(name: str) -> str:
    """A keyed hash of a user's name, whether there is such a user or not, and however it is spelled."""
    spelled = unicodedata.normalize("NFKC", name).strip().casefold()
    return salted_hmac(__name__, spelled, algorithm="sha256").hexdigest()[:32]


def network_of(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address, which is one client's (RFC 6177); "" without one."""
    try:
        found = unmapped(ip_address(address.partition("%")[0]))
    except ValueError:
        return ""
    return str(ip_network((found, 64), strict=False) if isinstance(found, IPv6Address) else found)
