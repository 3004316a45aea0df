"""serving_tools.login_limits: what is counted, what is refused and how, and who sets it back."""

import asyncio
import base64
import re
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from io import StringIO

import pytest
from accounts.models import User
from django.contrib.auth import aauthenticate, authenticate, get_user
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import Argon2PasswordHasher as DjangosOwn
from django.contrib.auth.hashers import PBKDF2PasswordHasher, identify_hasher
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.http import HttpResponseRedirect
from django.test import AsyncRequestFactory, RequestFactory
from django.test.utils import override_settings
from django.urls import path
from django.utils import timezone
from rest_framework.authentication import BasicAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from serving_tools import password_hashers
from serving_tools.login_limits import limits
from serving_tools.login_limits.backends import REFUSED, LimitedModelBackend
from serving_tools.login_limits.checks import check_limits, check_transactions
from serving_tools.login_limits.limits import LoginRefusedError, network_of, unlock, user_key
from serving_tools.login_limits.middleware import LoginLimitMiddleware, with_status
from serving_tools.login_limits.models import LoginFailures

from tests.sites import logins

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

HERE, THERE = "192.0.2.7", "198.51.100.9"
RIGHT, WRONG = "open sesame", "hunter2"


class Secret(APIView):
    authentication_classes = (BasicAuthentication,)
    permission_classes = (IsAuthenticated,)

    def get(self, request):
        return Response({"user": request.user.get_username()})


urlpatterns = [*logins.urlpatterns, path("secret/", Secret.as_view())]


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password=RIGHT)


@pytest.fixture(autouse=True)
def few(settings):
    """Limits that are reached at once, each another."""
    settings.LOGIN_LIMIT, settings.LOGIN_LIMIT_USER, settings.LOGIN_LIMIT_ADDRESS = 2, 4, 6
    settings.LOGIN_LIMIT_SECONDS = 600


@pytest.fixture
def clock(monkeypatch):
    """Moves the time: `clock(700)`."""

    class Clock:
        passed = timedelta()

        def __call__(self, seconds):
            self.passed += timedelta(seconds=seconds)

        def now(self):
            return timezone.now() + self.passed

    moved = Clock()
    monkeypatch.setattr(limits, "timezone", moved)
    return moved


def attempt(name="ada", address=HERE, password=WRONG):
    """What comes of a login: "in", "failed", or how long it is refused."""
    request = RequestFactory().post("/", REMOTE_ADDR=address)
    try:
        return "in" if authenticate(request, username=name, password=password) else "failed"
    except LoginRefusedError:
        return request.META[REFUSED]


def failures(**of):
    return LoginFailures.objects.get(**of).failures


def test_a_user_is_refused_from_one_address_and_no_other(ada, caplog):
    assert [attempt(), attempt()] == ["failed"] * 2

    assert 0 < attempt() <= 600
    assert 0 < attempt(password=RIGHT) <= 600
    assert f"refused a login from {HERE}, and does so for 600 s: LOGIN_LIMIT=2" in caplog.text
    assert attempt(password=RIGHT, address=THERE) == "in"
    assert attempt("bob") == "failed"


def test_what_is_refused_is_not_counted_and_the_time_is_not_longer_for_it(ada, clock):
    [attempt() for _ in range(20)]
    assert failures(user=user_key("ada"), network=HERE) == 2
    assert failures(user="", network=HERE) == 2

    clock(590)
    assert attempt(password=RIGHT) <= 10
    clock(11)
    assert attempt(password=RIGHT) == "in"


def test_while_all_that_may_fail_are_under_way_others_wait(ada, monkeypatch, clock):
    under_way = [limits.Attempt("ada", HERE) for _ in range(2)]
    looked = threading.Event()
    monkeypatch.setattr(limits.time, "sleep", lambda seconds: looked.set())
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(limits.Attempt, "ada", HERE)
        assert looked.wait(60)
        assert not waiting.done()
        under_way.pop().end(right=True)
        waiting.result(60).end(right=False)
    under_way.pop().end(right=None)

    monkeypatch.setattr(limits, "PATIENCE", 0)
    held = limits.Attempt("ada", HERE)
    with pytest.raises(LoginRefusedError):
        limits.Attempt("ada", HERE)
    clock(700)
    assert attempt(password=RIGHT) == "in", "what a killed worker had under way ends with the time"
    held.end(right=True)
    assert not LoginFailures.objects.filter(under_way__gt=0).exists()


@pytest.mark.parametrize(("answer", "counted"), [(ConnectionError, 0), (PermissionDenied, 1)])
def test_what_another_backend_says_is_counted_and_not_its_faults(monkeypatch, answer, counted):
    def refuse(*args, **kwargs):
        raise answer

    monkeypatch.setattr(ModelBackend, "authenticate", refuse)
    with suppress(ConnectionError):
        attempt()
    assert failures(user="", network=HERE) == counted
    assert not LoginFailures.objects.filter(under_way__gt=0).exists()


def test_a_success_sets_back_that_user_from_that_address(ada):
    for _ in range(3):
        assert [attempt(), attempt(password=RIGHT)] == ["failed", "in"]


def test_an_account_of_his_own_gives_nobody_more_tries(ada):
    for number in range(6):
        assert attempt(f"user{number}") == "failed"
        if number < 5:
            assert attempt(password=RIGHT) == "in"

    assert attempt("another") > 0
    assert attempt(password=RIGHT) > 0
    assert attempt("another", address=THERE) == "failed"


@pytest.mark.parametrize("own", ["ADA", "\uff21da", "ada "])
@pytest.mark.parametrize("sets_back", ["a login", "a new password"])
def test_an_account_of_nearly_the_same_name_gives_nobody_more_tries(ada, own, sets_back):
    other = User.objects.create_user("another", password=RIGHT)
    User.objects.filter(pk=other.pk).update(username=own)
    other.refresh_from_db()
    tried = 0
    for number in range(8):
        tried += attempt(address=f"203.0.113.{number // 2}") == "failed"
        if sets_back == "a login":
            attempt(own, address=f"203.0.113.{number // 2}", password=RIGHT)
        else:
            other.set_password(RIGHT)
            other.save()
    assert tried == 4, "what LOGIN_LIMIT_USER is"


def test_a_new_password_lets_nobody_try_more_at_once(ada):
    """What is under way of a name may be of another's account."""
    other = User.objects.create_user("ADA", password=RIGHT)
    under_way = [limits.Attempt("ada", HERE)]
    attempt("ADA")
    other.set_password(RIGHT)
    other.save()
    assert LoginFailures.objects.get(user=user_key("ada"), network=HERE).under_way == 1
    under_way.pop().end(right=False)


def test_who_has_logged_in_as_another_spelling_is_not_known(ada):
    User.objects.create_user("ADA", password=RIGHT)
    assert attempt("ADA", password=RIGHT) == "in"
    for number in range(4):
        attempt(address=f"203.0.113.{number}")
    assert attempt(password=RIGHT) > 0
    assert attempt("ADA", password=RIGHT) == "in"


def test_from_everywhere_a_user_is_refused_only_where_he_is_new(ada, clock):
    assert attempt(password=RIGHT) == "in"
    for number in range(4):
        assert attempt(address=f"203.0.113.{number}") == "failed"

    assert attempt(address=THERE) > 0
    assert attempt(password=RIGHT, address=THERE) > 0, "so that no botnet tries on"
    assert attempt(password=RIGHT) == "in"
    assert [attempt(), attempt()] == ["failed"] * 2
    assert attempt() > 0, "there the other limit holds"
    assert failures(user=user_key("ada"), network="") == 4, "and his own are not among theirs"

    clock(91 * 24 * 3600)
    for number in range(4):
        assert attempt(address=f"203.0.113.{number}") == "failed"
    assert attempt(password=RIGHT) > 0, "it was long ago"


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_a_name_is_counted_alike_whether_there_is_such_a_user(ada, name):
    assert [attempt(name), attempt(name)] == ["failed"] * 2
    assert attempt(name) == 600
    assert not LoginFailures.objects.filter(user__contains=name).exists()


def test_a_name_is_one_however_it_is_spelled(ada):
    assert [attempt("ADA"), attempt(" \uff41da")] == ["failed"] * 2
    assert attempt("ada") > 0


class Directory(LimitedModelBackend):
    """Takes names as a directory does (RFC 4518): without soft hyphens, accents and spaces that are doubled."""

    def counted_name(self, name):
        letters = unicodedata.normalize("NFD", name).replace("\u00ad", "")
        return " ".join(
            "".join(each for each in letters if not unicodedata.combining(each)).split()
        )


def test_a_backend_says_which_names_are_one(ada, settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Directory"]
    assert [attempt("Ada  M\u00f6ller"), attempt("a\u00adda moller")] == ["failed"] * 2
    assert attempt("ada moller") > 0
    call_command("unlock", "ada  m\u00f6ller", stdout=StringIO())
    assert attempt("ada moller") == "failed"
    assert attempt("a" * 10**6) == "failed"


@pytest.mark.parametrize("name", ["\0", "", "a" * 10**6, "\ufdfa" * 10**5, "\U0001f475", "{x}%s'"])
def test_no_name_is_too_odd_to_be_counted(name):
    assert [attempt(name), attempt(name)] == ["failed"] * 2
    assert attempt(name) > 0


def test_half_a_pair_is_a_name_too():
    assert user_key("\ud800") != user_key("\ud801")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_a_network_is_what_one_client_has(address, network):
    assert network_of(address) == network


def test_the_longest_network_fits():
    (field,) = [each for each in LoginFailures._meta.fields if each.name == "network"]
    assert len(network_of("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")) <= field.max_length


@pytest.mark.parametrize("address", ["", None])
def test_without_an_address_a_user_is_counted_alone(ada, address):
    request = RequestFactory().post("/", REMOTE_ADDR=address) if address == "" else None
    for _ in range(4):
        assert authenticate(request, username="ada", password="wrong") is None

    if request is None:
        assert authenticate(None, username="ada", password=RIGHT) is None
    else:
        with pytest.raises(LoginRefusedError):
            authenticate(request, username="ada", password=RIGHT)
    assert LoginFailures.objects.filter(user="").count() == 0


@pytest.mark.parametrize("credentials", [{"token": "t"}, {"username": "ada"}, {"password": "x"}])
def test_what_is_no_password_is_not_counted(credentials):
    assert authenticate(RequestFactory().post("/"), **credentials) is None
    assert not LoginFailures.objects.exists()


def test_the_limits_hold_in_async_code(ada):
    async def enter(password):
        request = AsyncRequestFactory().post("/")
        return await aauthenticate(request, username="ada", password=password)

    assert asyncio.run(enter(RIGHT)) == ada
    assert [asyncio.run(enter("wrong")), asyncio.run(enter("wrong"))] == [None, None]
    with pytest.raises(LoginRefusedError):
        asyncio.run(enter(RIGHT))


# A transaction of the caller's


def test_with_sqlite_a_login_in_a_transaction_is_an_error_and_not_uncounted(ada):
    with transaction.atomic(), pytest.raises(RuntimeError, match="authenticate\\(\\) outside of"):
        attempt()
    assert attempt(password=RIGHT) == "in"


@pytest.mark.django_db(transaction=False)
def test_a_test_cases_own_transaction_is_none(ada):
    assert [attempt(), attempt()] == ["failed"] * 2
    with transaction.atomic():
        assert attempt() > 0


def test_a_check_names_atomic_requests(monkeypatch):
    assert check_transactions() == []
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    (error,) = check_transactions()
    assert error.id == "serving_tools.E001"
    monkeypatch.setattr(connection, "vendor", "postgresql")
    assert check_transactions() == []


@pytest.mark.parametrize("value", [0, -1, 2**31, 10**30, 5.0, "5", True, None])
def test_a_check_names_a_limit_that_logins_would_fail_at(settings, value):
    assert check_limits() == []
    settings.LOGIN_LIMIT_SECONDS = value
    (error,) = check_limits()
    assert error.id == "serving_tools.E002"
    assert error.msg.startswith(f"LOGIN_LIMIT_SECONDS = {value!r}: ")
    settings.LOGIN_LIMIT_SECONDS = 2**31 - 1
    assert check_limits() == []


# The answer


@pytest.mark.parametrize("path", ["/enter/", "/enter-async/"])
@pytest.mark.parametrize("kind", ["client", "async_client"])
def test_a_view_that_lets_a_refusal_pass_answers_with_429(ada, request, resources, path, kind):
    client = request.getfixturevalue(kind)

    def ask(password):
        answer = client.post(f"{path}?username=ada&password={password}")
        return resources.run(answer) if kind == "async_client" else answer

    assert [ask("wrong").status_code for _ in range(3)] == [401, 401, 429]
    refused = ask(RIGHT)
    assert refused.text == "Too many failed logins. Try again in 10 minutes."
    assert 590 <= int(refused.headers["Retry-After"]) <= 600
    assert refused.headers["Content-Type"].startswith("text/plain")


def test_a_view_with_an_answer_of_its_own_keeps_it(ada, client):
    answers = [client.post("/enter-elsewhere/?username=ada&password=wrong") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json() == {"error": "Too many failed logins. Try again in 10 minutes."}
    assert "Retry-After" in answers[-1].headers


def test_an_api_that_asks_for_the_password_each_time(ada, client):
    def ask(password):
        header = base64.b64encode(f"ada:{password}".encode()).decode()
        return client.get("/secret/", headers={"Authorization": f"Basic {header}"})

    assert {ask(RIGHT).status_code for _ in range(8)} == {200}, "successes are not counted"
    assert [ask("wrong").status_code for _ in range(3)] == [401, 401, 429]


def test_who_got_in_by_another_way_is_led_on():
    request = RequestFactory().post("/")
    request.META[REFUSED] = 60
    assert with_status(request, HttpResponseRedirect("/")).status_code == 302


def test_other_exceptions_are_left_alone():
    middleware = LoginLimitMiddleware(lambda request: None)
    assert middleware.process_exception(RequestFactory().get("/"), ValueError()) is None


def test_a_minute_is_one_minute():
    assert LoginRefusedError(1).messages == ["Too many failed logins. Try again in a minute."]
    assert LoginRefusedError(61).messages == ["Too many failed logins. Try again in 2 minutes."]


def test_no_page_asks_for_counts(client, django_assert_num_queries, settings):
    settings.ROOT_URLCONF = "config.urls"
    with django_assert_num_queries(0):
        assert client.get("/").status_code == 200
        assert client.get("/admin/login/").status_code == 200


# Mails that reset a password


@pytest.fixture
def ask(client, settings, ada):
    """Asks for a link as the page does: what it answers."""
    settings.ROOT_URLCONF = "config.urls"
    User.objects.update(email="ada@example.com")

    def asked(mailbox="ada@example.com", address=HERE, path="/accounts/password_reset/"):
        return client.post(path, {"email": mailbox}, REMOTE_ADDR=address)

    return asked


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_a_mailbox_gets_so_many_links_from_wherever(ask, mailoutbox, caplog, name):
    spelled = [f"{name}@example.com", f"{name.upper()}@Example.com", f"{name}@example.com"]
    places = [HERE, THERE, "2001:db8::1"]
    answers = [ask(*each) for each in zip(spelled, places, strict=True)]

    assert [answer.status_code for answer in answers] == [302, 302, 429]
    assert len(mailoutbox) == (2 if name == "ada" else 0)
    assert "Too many links were asked for. Try again in 10 minutes." in answers[-1].text
    assert 590 <= int(answers[-1].headers["Retry-After"]) <= 600
    assert "refused a password reset from 2001:db8::1, and does so for 600 s" in caplog.text
    assert ask("bob@example.com").status_code == 302


def test_an_address_asks_for_so_many_links_and_logs_in_all_the_same(ask):
    statuses = [ask(f"user{number}@example.com").status_code for number in range(8)]
    assert statuses == [302] * 6 + [429] * 2
    assert ask("another@example.com", THERE).status_code == 302
    assert attempt(password=RIGHT) == "in"


def test_failed_logins_keep_nobody_from_a_link_nor_links_from_a_login(ask):
    assert [attempt("ada@example.com") for _ in range(3)][:2] == ["failed"] * 2
    assert [ask().status_code for _ in range(3)] == [302, 302, 429]
    assert attempt(password=RIGHT) == "in"


@pytest.mark.parametrize("whom", [{"name": "Ada@example.com"}, {"address": HERE}])
def test_an_operator_lets_links_be_sent_again(ask, clock, whom):
    [ask(f"user{number}@example.com") for number in range(6)]
    if "name" in whom:
        [ask(address=THERE) for _ in range(3)]
        assert ask(address=THERE).status_code == 429
    assert ask().status_code == 429
    assert unlock(**whom) == 1
    assert ask(address=THERE if "name" in whom else HERE).status_code == 302


def test_what_is_no_address_is_not_counted(ask):
    assert [ask("ada").status_code for _ in range(5)] == [200] * 5
    assert not LoginFailures.objects.exists()


# Setting back


@pytest.mark.parametrize("whom", [["ada"], ["--address", HERE], ["ADA", "--address", THERE]])
def test_an_operator_unlocks(ada, whom):
    [attempt() for _ in range(3)]
    said = StringIO()
    call_command("unlock", *whom, stdout=said)
    assert said.getvalue().endswith(": unlocked\n")
    assert attempt(password=RIGHT) == "in"


def test_a_new_password_lets_its_owner_in_and_nobody_else(ada):
    User.objects.create_user("bob", password=RIGHT)
    for name in ("ada", "bob"):
        [attempt(name), attempt(name)]
        assert attempt(name, password=RIGHT) != "in"
    ada.first_name = "Ada"
    ada.save()
    assert attempt(password=RIGHT) != "in", "that was no new password"
    ada.set_password("green leaves")
    ada.save()
    assert attempt(password="green leaves") == "in"
    assert attempt("bob", password=RIGHT) != "in"
    assert failures(user="", network=HERE) == 4


def test_a_link_lets_its_owner_in(ada, client, mailoutbox, settings):
    """Of whom others have tried passwords, from wherever, until he was refused."""
    ada.email = "ada@example.com"
    ada.save()
    with override_settings(ROOT_URLCONF="config.urls"):
        for address in (HERE, HERE, THERE, THERE):
            attempt(address=address)
        client.post("/accounts/password_reset/", {"email": ada.email})
        (link,) = re.findall(r"http://testserver(/\S+)", mailoutbox[0].body)
        form = client.get(link, follow=True).redirect_chain[-1][0]
        client.post(form, {"new_password1": "green leaves", "new_password2": "green leaves"})
        for address in (HERE, THERE, "203.0.113.5"):
            assert attempt(address=address, password="green leaves") == "in"


def test_a_first_deployment_beside_servers_of_an_older_image(ada, client, settings):
    """As CHANGELOG.md has it: old passwords and sessions stay, and the limits hold."""
    pbkdf2 = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    djangos = "django.contrib.auth.backends.ModelBackend"
    settings.PASSWORD_HASHERS = [pbkdf2, *settings.PASSWORD_HASHERS]
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, djangos]
    ada.set_password(RIGHT)
    ada.save()
    client.force_login(ada, backend=djangos)
    assert get_user(client).is_authenticated, "by a session of the older image"
    assert attempt(password=RIGHT) == "in"
    ada.refresh_from_db()
    assert ada.password.startswith("pbkdf2_"), "the older image knows no other"
    assert [attempt(), attempt()] == ["failed"] * 2
    assert 0 < attempt(password=RIGHT) <= 600


def test_a_password_that_is_hashed_anew_sets_nothing_back(ada, settings):
    old = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    settings.PASSWORD_HASHERS = [old, *settings.PASSWORD_HASHERS]
    attempt(address=THERE)
    assert attempt(password=RIGHT) == "in"
    ada.refresh_from_db()
    assert ada.password.startswith("pbkdf2")
    assert failures(user=user_key("ada"), network=THERE) == 1


@pytest.mark.parametrize("whom", [{"name": "ada"}, {"address": HERE}])
def test_an_operator_unlocks_what_a_killed_worker_had_under_way(ada, monkeypatch, whom):
    for _ in range(2):
        limits.Attempt("ada", HERE)
    monkeypatch.setattr(limits, "PATIENCE", 0)
    assert 590 < attempt(password=RIGHT) <= 600, "what is true: then it is over"
    assert unlock(**whom) == 2
    assert attempt(password=RIGHT) == "in"


def test_what_is_under_way_may_end_after_it_was_unlocked(ada):
    held = limits.Attempt("ada", HERE)
    unlock(name="ada")
    held.end(right=False)
    assert not LoginFailures.objects.filter(under_way__gt=0).exists()
    assert failures(user=user_key("ada"), network=HERE) == 1


def test_an_operator_unlocks_an_address_by_any_of_its_network(ada):
    [attempt(address="2001:db8::1") for _ in range(3)]
    assert unlock(address="2001:db8::ffff") == 2
    assert attempt(password=RIGHT, address="2001:db8::1") == "in"


def test_unlocking_forgets_no_address_that_is_known(ada):
    assert attempt(password=RIGHT) == "in"
    unlock(name="ada")
    for number in range(4):
        attempt(address=f"203.0.113.{number}")
    assert attempt(password=RIGHT) == "in"


def test_unlock_says_what_it_lacks(ada):
    said = StringIO()
    call_command("unlock", "ada", stdout=said)
    assert said.getvalue() == "ada: no failed login was counted\n"
    with pytest.raises(CommandError, match="whom"):
        call_command("unlock")
    with pytest.raises(CommandError, match=r"'300\.1\.1\.1' is no address"):
        call_command("unlock", "--address", "300.1.1.1")


def test_counts_that_have_run_out_are_removed_but_for_known_addresses(ada, clock):
    assert attempt(password=RIGHT, address=THERE) == "in"
    [attempt(f"user{number}", address=f"203.0.113.{number}") for number in range(5)]
    assert LoginFailures.objects.count() == 3 + 5 * 3

    clock(700)
    attempt("another")
    kept = LoginFailures.objects.exclude(network=HERE).exclude(user=user_key("another"))
    assert [(each.user, each.network) for each in kept] == [(user_key("ada"), THERE)]


# Passwords


@pytest.fixture
def argon2(settings):
    settings.PASSWORD_HASHERS = [
        "serving_tools.password_hashers.Argon2PasswordHasher",
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]


@pytest.mark.parametrize(
    "old", [PBKDF2PasswordHasher(), DjangosOwn()], ids=["PBKDF2", "Django's own Argon2"]
)
def test_a_password_is_hashed_anew_at_its_login(ada, argon2, old):
    User.objects.update(password=old.encode(RIGHT, old.salt()))

    assert attempt(password="wrong") == "failed"
    assert User.objects.get().password.startswith(old.algorithm)
    assert attempt(password=RIGHT) == "in"

    new = User.objects.get().password
    assert new.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert not identify_hasher(new).must_update(new)
    assert attempt(password=RIGHT) == "in"
    assert User.objects.get().password == new


def test_hashes_of_many_threads_are_made_in_two(monkeypatch):
    used = set()
    hashed = DjangosOwn.encode

    def encode(self, password, salt):
        used.add(threading.current_thread().name)
        return hashed(self, password, salt)

    monkeypatch.setattr(DjangosOwn, "encode", encode)
    hasher = password_hashers.Argon2PasswordHasher()
    with ThreadPoolExecutor(8) as people:
        made = list(people.map(lambda n: hasher.encode(f"{n}", "salt" * 4), range(16)))
    assert len(set(made)) == 16
    assert 1 <= len(used) <= 2
    assert all(name.startswith("argon2") for name in used)


def test_a_forked_process_has_threads_of_its_own():
    before = password_hashers.pool()
    assert password_hashers.pool() is before
    password_hashers.pool.cache_clear()
    assert password_hashers.pool() is not before
