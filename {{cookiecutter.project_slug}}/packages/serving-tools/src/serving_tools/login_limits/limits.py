"""Counts a login as under way before its password is looked at, and as failed where that was wrong.

So no number of requests at the same time, to any number of workers, tries more passwords than the limits
allow. https://owasp.org/www-community/attacks/Brute_force_attack
"""

import logging
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q, QuerySet
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
    "LOGIN_LIMIT_SECONDS": 15 * 60,  # from the first attempt on
}

KNOWN_FOR = timedelta(days=90)

# Seconds that an attempt waits for those under way, and between two looks.
PATIENCE = 30
PAUSE = 0.2

MAIL = f"{__name__}.mail"  # what the keys of mailboxes are made with
ASKED = "password resets"  # in place of a name: what an address has asked for

LONGEST_NAME = 1000  # what is read of a name: to normalize a long one takes long

type Key = tuple[str, str]


class LoginRefusedError(ValidationError):
    """Too many logins have failed. A form shows it as its own error; `retry_after` is in seconds."""

    def __init__(self, retry_after: int, why: str = "") -> None:
        self.retry_after = retry_after
        why = why or gettext("Too many failed logins.")
        minutes = ceil(retry_after / 60)
        again = ngettext("Try again in a minute.", "Try again in %d minutes.", minutes)
        again = again % minutes if "%" in again else again
        super().__init__(f"{why} {again}", code="too_many_logins")


class Attempt:
    """A login that is under way. Raises LoginRefusedError where there may be none.

    While as many are under way as may still fail, it waits for one of them to end.

    `address`: the client's, or "" where it has none (a unix socket, a program): then it counts for the
    user alone.
    """

    what = "a login"  # as the log has it

    def __init__(self, name: str, address: str) -> None:
        self.network = network_of(address)
        self.spelling = spelling_key(name)
        self.user, self.limits = self._limits(name)
        # Always locked in this order, so that no two attempts wait for each other.
        self.keys = sorted(self.limits)
        self._rest = timedelta()  # until the time of the limit is over that leaves no place
        deadline = time.monotonic() + PATIENCE
        while busy := self._begin(address):
            if time.monotonic() > deadline:
                # Those under way may be of a worker that was killed: surely over when the count is.
                self._refuse(self._rest, busy, address)
            time.sleep(PAUSE)

    def _limits(self, name: str) -> tuple[str, dict[Key, str]]:
        """The key of a name, and the setting that limits each of its counts."""
        user = user_key(name)
        here = {("", self.network): "LOGIN_LIMIT_ADDRESS", (user, self.network): "LOGIN_LIMIT"}
        return user, (here if self.network else {}) | {(user, ""): "LOGIN_LIMIT_USER"}

    def _refuse(self, wait: timedelta, name: str, address: str) -> None:
        """Raises LoginRefusedError, and logs which limit it was."""
        seconds = ceil(wait.total_seconds())
        logger.warning(
            "refused %s from %s, and does so for %d s: %s=%d",
            self.what,
            address or "an unknown address",
            seconds,
            name,
            setting(name),
            extra={"client.address": address or None},
        )
        raise self._error(seconds)

    def _error(self, seconds: int) -> LoginRefusedError:
        return LoginRefusedError(seconds)

    def _begin(self, address: str) -> str:
        """Counts itself as under way, or gives the name of the limit that others use up."""
        now = timezone.now()
        with apart():
            if busy := self._judge(self._found(), now, address):
                return busy  # found out without a lock
            with atomic():
                counts = self._locked(now)
                if busy := self._judge(counts, now, address):
                    return busy
                for count in counts.values():
                    renew(count, now)
                    count.under_way += 1
                save(counts)
        return ""

    def _judge(self, counts: Mapping[Key, LoginFailures], now: datetime, address: str) -> str:
        """The name of a limit that leaves no place yet, or "". Raises LoginRefusedError above a limit."""
        known, busy = self._is_known(counts, now), ""
        for key, count in counts.items():
            name = self.limits[key]
            # Else anyone could keep out a user whose name he knows, from everywhere and for ever.
            if count.until <= now or (name == "LOGIN_LIMIT_USER" and known):
                continue
            if count.failures >= setting(name):
                self._refuse(count.until - now, name, address)
            if count.failures + count.under_way >= setting(name):
                busy, self._rest = name, max(self._rest, count.until - now)
        return busy

    def _is_known(self, counts: Mapping[Key, LoginFailures], now: datetime) -> bool:
        """Whether this user has logged in from here within KNOWN_FOR."""
        here = counts.get((self.user, self.network))
        if here is None or here.known_until is None or here.known_as != self.spelling:
            return False
        return here.known_until > now

    def end(self, right: bool | None) -> None:
        """Counts what has come of it: whether the password was right, or None where an error hid that.

        A success sets back the count of this user from here, and of the others none: else who has an
        account of his own, and logs in to it in between, could try those of others without end. Nor does
        one as ADA set back what was tried of ada: they share a count, and may be two accounts.
        """
        now = timezone.now()
        with apart():
            with atomic():
                counts = self._locked(now)
                known = self._is_known(counts, now)
                for key, count in counts.items():
                    renew(count, now)
                    count.under_way = max(0, count.under_way - 1)
                    if right is False and not (known and self.limits[key] == "LOGIN_LIMIT_USER"):
                        note_spelling(count, self.spelling)
                        count.failures += 1
                if right and self.network:
                    here = counts[self.user, self.network]
                    here.known_until, here.known_as = now + KNOWN_FOR, self.spelling
                    if here.spelling == self.spelling:
                        here.failures = 0
                save(counts)
            if right is False:
                forget_old(now)

    def _found(self) -> dict[Key, LoginFailures]:
        """The counts that there are."""
        wanted = Q()
        for user, network in self.keys:
            wanted |= Q(user=user, network=network)
        found = {(each.user, each.network): each for each in LoginFailures.objects.filter(wanted)}
        return {key: found[key] for key in self.keys if key in found}

    def _locked(self, now: datetime) -> dict[Key, LoginFailures]:
        """The counts, made where there are none, and for nobody else to change until the transaction ends."""
        LoginFailures.objects.bulk_create(
            [LoginFailures(user=user, network=network, until=now) for user, network in self.keys],
            update_conflicts=True,
            unique_fields=["user", "network"],
            update_fields=["network"],  # to the same: it locks the row
        )
        return self._found()


class Reset(Attempt):
    """A mail that is asked for, to reset a password. Raises LoginRefusedError where it may not be sent.

    Each is counted, whether there is such a user or not: LOGIN_LIMIT of a mailbox, LOGIN_LIMIT_ADDRESS from
    a network, and no failed login. A stranger who uses up a mailbox's has sent a link to it with each.
    """

    what = "a password reset"

    def __init__(self, mailbox: str, address: str) -> None:
        super().__init__(mailbox, address)
        self.end(right=False)

    def _limits(self, name: str) -> tuple[str, dict[Key, str]]:
        user = user_key(name, MAIL)
        here = {(ASKED, self.network): "LOGIN_LIMIT_ADDRESS"} if self.network else {}
        return user, here | {(user, ""): "LOGIN_LIMIT"}

    def _error(self, seconds: int) -> LoginRefusedError:
        return LoginRefusedError(seconds, gettext("Too many links were asked for."))


def renew(count: LoginFailures, now: datetime) -> None:
    """Starts a count again whose time is over. What a worker that was killed had under way ends here."""
    if count.until <= now:
        count.failures = count.under_way = 0
        count.until = now + timedelta(seconds=setting("LOGIN_LIMIT_SECONDS"))


def note_spelling(count: LoginFailures, spelling: str) -> None:
    """Notes how the name of one more failure is spelled: "" where they are several."""
    count.spelling = spelling if count.failures == 0 or count.spelling == spelling else ""


def atomic() -> "transaction.Atomic":
    """A transaction of the database that has the counts."""
    return transaction.atomic(using=database())


def database() -> str:
    """The alias of the database that has the counts."""
    return router.db_for_write(LoginFailures)


@contextmanager
def apart() -> Iterator[None]:
    """Keeps what is counted in it, whatever becomes of a transaction of the caller's.

    With ATOMIC_REQUESTS, or in a view's own transaction, an API that answers 401 rolls back all that was
    written, and the failure with it. So this connection is another one then, for the time of a count.

    Raises RuntimeError with SQLite, where a second connection cannot write before the first has ended.
    """
    alias = database()
    callers = connections[alias]
    if not is_callers(callers):
        yield
        return
    if callers.vendor == "sqlite":
        raise RuntimeError(
            "a login in a transaction, which SQLite lets no other connection write beside, so that no"
            " failure could be kept: call authenticate() outside of transaction.atomic() and without"
            " ATOMIC_REQUESTS, or have a router keep login_limits in a database of its own"
        )
    connections[alias] = own = callers.copy()
    try:
        yield
    finally:
        connections[alias] = callers
        own.close()


def is_callers(connection: BaseDatabaseWrapper) -> bool:
    """Whether somebody else's transaction is open. That of a TestCase is rolled back with all of its test."""
    if not connection.in_atomic_block:
        return False
    return not any(vars(block)["_from_testcase"] for block in connection.atomic_blocks)


def save(counts: Mapping[Key, LoginFailures]) -> None:
    """Writes counts that are locked."""
    fields = ["failures", "under_way", "spelling", "until", "known_until", "known_as"]
    LoginFailures.objects.bulk_update(counts.values(), fields)


def forget_old(now: datetime) -> None:
    """Removes counts that have run out, but for those that some attempt has locked."""
    with atomic():
        old = LoginFailures.objects.filter(until__lte=now).exclude(known_until__gt=now)
        free = old.select_for_update(skip_locked=True).values_list("pk", flat=True)
        LoginFailures.objects.filter(pk__in=list(free[:1000])).delete()


def unlock(*, name: str = "", address: str = "", as_spelled: bool = False) -> int:
    """Sets back what was counted of a user, from a network, or both; says how many counts that were.

    What is under way too: it may be what a worker that was killed has left. `as_spelled`: not that, and only
    where nobody has tried the name in other letters, which may be another's account.
    """
    counted = LoginFailures.objects.filter(Q(failures__gt=0) | Q(under_way__gt=0))
    done = 0
    if name:
        users = counted.filter(user__in=(user_key(name), user_key(name, MAIL)))
        if as_spelled:
            done += set_back(users.filter(spelling=spelling_key(name)), failures=0)
        else:
            done += set_back(users, failures=0, under_way=0)
    if address:
        done += set_back(counted.filter(network=network_of(address)), failures=0, under_way=0)
    return done


def set_back(counts: "QuerySet[LoginFailures]", **to: int) -> int:
    """Sets counts to these values; says how many. They are locked in the order of an attempt, else each waits for the other."""
    with atomic():
        list(counts.select_for_update().order_by("user", "network").values_list("pk"))
        return counts.update(**to)


def setting(name: str) -> int:
    """A limit as the project sets it."""
    return int(getattr(settings, name, DEFAULTS[name]))


def user_key(name: str, salt: str = __name__) -> str:
    """A keyed hash of a user's name, whether there is such a user or not, in whatever letters of one kind.

    What else one backend takes for the same name, `LimitedLogins.counted_name` says.
    """
    return keyed(unicodedata.normalize("NFKC", name[:LONGEST_NAME]).strip().casefold(), salt)


def spelling_key(name: str) -> str:
    """A keyed hash of a name as it was given."""
    return keyed(name[:LONGEST_NAME], f"{__name__}.spelling")


def keyed(text: str, salt: str) -> str:
    """A hash that nobody can try names on without the SECRET_KEY: 32 digits."""
    value = text.encode(errors="surrogatepass")  # JSON can hold half a pair
    return salted_hmac(salt, value, algorithm="sha256").hexdigest()[:32]


def network_of(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address, which is one client's (RFC 6177); "" without one."""
    try:
        found = unmapped(ip_address(address.partition("%")[0]))
    except ValueError:
        return ""
    return str(ip_network((found, 64), strict=False) if isinstance(found, IPv6Address) else found)
