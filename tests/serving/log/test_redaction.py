"""What the log hides, and what an operator needs and it shows: fields, query strings, texts."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from serving.log import redaction
from serving.log.formats import ConsoleFormatter, EcsFormatter
from serving.log.redaction import HIDDEN, SHOWN, Secrets, is_sensitive, query_shown

from tests.serving.log.records import as_json, record

HIDDEN_NAMES = """
    password passwd passphrase passcode db_pass pwd dbPwd user.password password2 PASSWORD old_password mypassword
    secret client_secret clientSecret SECRET_KEY secret_key_fallbacks aws_secret_access_key AWSSecretAccessKey
    token access_token refresh_token id_token csrftoken csrfmiddlewaretoken X-CSRFToken X-Amz-Security-Token
    token_value secretToken auth_token authtoken reset_token bot_token sessionToken
    apikey apiKey APIKEY api-key api_key x-api-key X-API-Key api_keys stripe_key ocp-apim-subscription-key
    accesskey accesskeyid access_key access_key_id AWSAccessKeyId account_key AccountKey SharedAccessKey
    private_key privateKey ssh_key signing_key encryption_key license_key
    authorization Authorization HTTP_AUTHORIZATION proxy-authorization auth x-auth proxy_auth bearer
    cookie cookies set-cookie Set-Cookie HTTP_COOKIE session sessionid session_id session_key sessionKey
    credential credentials X-Amz-Credential signature X-Amz-Signature stripe-signature sig jwt cf-access-jwt-assertion
    otp totp otp_code otpcode mfa_code mfaCode 2fa_code device_code user_code auth_code authorization_code
    verification_code recovery_codes backup_codes sms_code pin user_pin pin_code sid connect.sid code_verifier
    cvv cvc card[cvc] card_cvv card_number cardNumber card[number] cc_number iban ssn SAMLResponse client_assertion
    connection_string connectionString mnemonic auth:token xsrf csrf PHPSESSID JSESSIONID dbpass userpass db_pw cvv2
    card_cvc2 card_no seed_phrase security_answer social_security_number hmac new_password1 session_cookie
""".split()

SHOWN_NAMES = """
    status_code exit_code exitCode error_code country_code zip_code postcode language_code decline_code coupon_code
    returncode status HTTPStatusCode
    session_count sessionCount session_age SESSION_ENGINE SESSION_COOKIE_NAME SESSION_COOKIE_AGE session_timeout
    SESSION_SERIALIZER SESSION_CACHE_ALIAS SESSION_COOKIE_SAMESITE SESSION_FILE_PATH obsession possession
    tokens_used token_count max_tokens token_type token_expires_at tokenizer tokenized page_token next_page_token
    NextToken NextContinuationToken has_token hasSecret token_valid token_bucket token_endpoint authorization_endpoint password_changed_on passthrough pass_through gen_ai.usage.type
    pass_rate passed passing bypass passenger compass password_changed password_changed_at has_password
    PASSWORD_HASHERS PASSWORD_RESET_TIMEOUT AUTH_PASSWORD_VALIDATORS AUTH_USER_MODEL AUTHENTICATION_BACKENDS
    author authors authored authorized authenticated auth_backend auth_method authority oauth_provider
    keyboard keys key Key primary_key foreign_key cache_key public_key publishable_key sort_key partition_key
    routing_key idempotency_key Idempotency-Key KEY_PREFIX monkey turkey hockey keyspace object_key translation_key
    signature_valid signature_algorithm design assignment cookie_consent cookie_domain CSRF_COOKIE_NAME
    CSRF_COOKIE_PATH cookiecutter secretary secret_name secret_version credentials_path SECRET_KEY_FILE
    pinned spinner opinion sigma signal resident side card_type card_brand number order_number phone_number account
    code_challenge_method grant_type state event logger user_agent client.address url.path duration_ms
""".split()


@pytest.mark.parametrize("name", sorted(HIDDEN_NAMES))
def test_a_name_of_a_secret(name: str) -> None:
    assert is_sensitive(name)
    assert shown({name: "planted"}) == {name: HIDDEN}
    assert shown([(name, "planted")]) == [[name, HIDDEN]]
    assert query_shown(f"a=1&{name}=planted") == f"a=1&{name}={HIDDEN}"


@pytest.mark.parametrize("name", sorted(SHOWN_NAMES))
def test_a_name_that_only_sounds_like_one(name: str) -> None:
    assert not is_sensitive(name)
    assert shown({name: "needed"}) == {name: "needed"}
    if name.lower() != "key":
        assert query_shown(f"{name}=needed") == f"{name}=needed"


def shown(what: Any) -> Any:
    """A field of a record, as the log has it."""
    return as_json(record("", what=what))["what"]


@pytest.mark.parametrize(
    ("field", "value", "hidden"),
    [
        # What counts or switches holds no secret; what is of digits may.
        ("tokens", 512, False),
        ("prompt_tokens", 512, False),
        ("gen_ai.usage.input_tokens", 512, False),
        ("tokens_per_second", 51.2, False),
        ("first_token_ms", 12, False),
        ("session_duration_ms", 12, False),
        ("password_age_days", 12, False),
        ("pass", 12, False),
        ("card_number", 4242424242424242, True),
        ("api_key", 12345678, True),
        ("token", 123456, True),
        ("sessions", 3, False),
        ("cookies", 1.5, False),
        ("password", True, False),
        ("token", None, False),
        ("CSRF_COOKIE_HTTPONLY", False, False),
        ("SESSION_SAVE_EVERY_REQUEST", False, False),
        ("password", 12345678, True),
        ("pin", 1234, True),
        ("otp", 123456, True),
        ("cvv", 123, True),
        ("tokens", "a,b", True),
        # A status, the name of an error, and what a login is given.
        ("code", 200, False),
        ("code", 404, False),
        ("code", -9, False),
        ("code", 20404, False),
        ("code", 99_999, False),
        ("code", 100_000, True),
        ("code", 1.5, False),
        ("code", "200", False),
        ("code", "card_declined", False),
        ("CODE", "NoSuchKey", False),
        ("CODE", "4/0AY0e-g7abcXYZ", True),
        ("Code", "NoSuchKey", False),
        ("code", "invalid", False),
        ("code", None, False),
        ("code", ["invalid", "required"], False),
        ("code", 123456, True),
        ("code", "123456", True),
        ("code", "4/0AX4XfWh-x2", True),
        ("code", "SplxlOBeZQQYbYS6WxSbIA", True),
        ("code", b"4/0AX4XfWh", True),
        ("code", "a" * 41, True),
    ],
)
def test_a_value_that_tells_which_it_is(field: str, value: object, hidden: bool) -> None:
    found = shown({field: value})[field]
    assert found == (HIDDEN if hidden else value)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("code=200&a=1", "code=200&a=1"),
        ("code=4/0AX4XfWh&state=x", "code=*&state=x"),
        ("code=123456", "code=*"),
        ("code=abc", "code=*"),
        ("CODE=abc", "CODE=*"),
        ("key=AIzaSyD-9tSr", "key=*"),
        ("cache_key=a", "cache_key=a"),
        ("max_tokens=5&tokens=5&tokens=abc", "max_tokens=5&tokens=5&tokens=*"),
        ("next=%2Fcallback%3Fcode%3Dabc", "next=*"),
        ("next=a=token=abc", "next=*"),
        (f"next={'%' + '25' * 5 + '3Dtea'}", "next=*"),
        (f"next={'%' + '25' * 2 + '3Dtea'}", f"next={'%' + '25' * 2 + '3Dtea'}"),
        ("status_code=500&zip_code=94107", "status_code=500&zip_code=94107"),
        ("card%5Bnumber%5D=4242", "card%5Bnumber%5D=*"),
        ("=&a", "=&a"),
    ],
)
def test_a_query(query: str, expected: str) -> None:
    assert query_shown(query) == expected.replace("*", HIDDEN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot reach amqp://shop:hunter2@10.0.0.5", "cannot reach amqp://shop:*@10.0.0.5"),
        ("postgres://ada:hunter@2@db/shop", "postgres://ada:*@db/shop"),
        ("redis://:hunter2@cache/0 ada@tea.example", "redis://:*@cache/0 ada@tea.example"),
        ("see https://tea.example/@ada:1", "see https://tea.example/@ada:1"),
        ("GET /callback?code=4/0AX&state=1", "GET /callback?code=*&state=1"),
        ("grant_type=x&code=4/0AX&token_count=2", "grant_type=x&code=*&token_count=2"),
        ("exited with code=137", "exited with code=137"),
    ],
)
def test_a_text(text: str, expected: str) -> None:
    assert Secrets().hidden_in(text) == expected.replace("*", HIDDEN)


def test_what_libraries_of_structured_logs_add() -> None:
    """As django-structlog, an HTTP client, a cloud's and a payment's library give it."""
    shown = record("finished")
    given = {
        "request": "GET /tea",
        "code": 200,
        "response": {"Error": {"Code": "NoSuchKey", "Key": "media/a.png"}, "RetryAttempts": 0},
        "headers": [("Content-Type", "text/html"), ("Authorization", "Bearer planted")],
        "error": {"code": "card_declined", "decline_code": "insufficient_funds"},
        "intent": {"client_secret": "planted", "livemode": False},
        "usage": {"prompt_tokens": 1, "total_tokens": 3},
        "task": {"routing_key": "celery", "retries": 0, "args": ["planted"]},
        "breadcrumb": {"data": {"status_code": 502, "http.query": "token=planted&page=2"}},
    }
    shown.__dict__ |= given

    fields = as_json(shown)
    assert fields["headers"][1] == ["Authorization", HIDDEN]
    assert fields["intent"] == {"client_secret": HIDDEN, "livemode": False}
    assert fields["breadcrumb"]["data"]["http.query"] == f"token={HIDDEN}&page=2"
    for name in ("request", "code", "response", "error", "usage", "task"):
        assert fields[name] == given[name]
    shown.request = object()
    assert "request" not in as_json(shown)


def test_a_name_of_any_length_is_read() -> None:
    assert is_sensitive("x" * 100_000 + "_token")
    assert not is_sensitive("token" * 0)
    assert not is_sensitive("é_ü")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("milk=1&pin=1234&otp=1&jwt=a.b.c&sig=x&sid=y", "milk=1&pin=*&otp=*&jwt=*&sig=*&sid=*"),
        ("%70assword=x&a=b", "%70assword=*&a=b"),
        ("token=abc;def&a=1;2", "token=*&a=1;2"),
        ("a=1;token=abc", "a=*"),
        ("next=%2Flogin%3Ftoken%3Dabc&a=1", "next=*&a=1"),
        ("next=%252Flogin%253Ftoken%253Dabc", "next=*"),
        ("next=/done%23access_token%3Dabc", "next=*"),
        ("next=%2Fcart%3Fpage%3D2&flag", "next=%2Fcart%3Fpage%3D2&flag"),
        ("q=a'b\"c", "q=a'b\"c"),
    ],
)
def test_a_secret_in_a_query_string_is_hidden_wherever_it_stands(query: str, shown: str) -> None:
    assert query_shown(query) == shown.replace("*", HIDDEN)


def test_query_strings_in_a_text_are_shown_without_secrets() -> None:
    shown = record("GET %s", "https://tea.example/?milk=1&api_key=abc&%70assword=abc#top")

    for formatter in (EcsFormatter(), ConsoleFormatter()):
        line = formatter.format(shown)
        assert "/?milk=1&api_key=********&%70assword=********#top" in line


def test_what_the_environment_holds_in_secret_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_KEY", 'hunter2"hunter2')
    monkeypatch.setenv("DATABASE_URL", "postgres://ada:open%2Fsesame@db/shop")
    monkeypatch.setenv("MAIL_PASSWORD", "short")
    shown = record("%s and %s, %s, short", 'hunter2"hunter2', "open/sesame", "open%2Fsesame")

    for formatter in (EcsFormatter(), ConsoleFormatter()):
        assert "******** and ********, ********, short" in formatter.format(shown)


def test_a_secret_is_hidden_however_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_PRIVATE_KEY", "-- begin --\nit's+a\\line\n-- the end --")
    monkeypatch.setenv("PGPASSWORD", "open sesame")
    monkeypatch.setenv("SENTRY_DSN", "https://ada:sesame-again@errors.example/1")
    key = os.environ["JWT_PRIVATE_KEY"]
    shown = record(f"{key} {key!r} %s open sesame open%20sesame sesame-again", key)

    for formatter in (EcsFormatter(), ConsoleFormatter()):
        line = formatter.format(shown)
        assert not [word for word in ("begin", "it's", "end", "sesame") if word in line]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DB_PASS", "open-sesame", "open-sesame"),
        ("SIGNING_KEY_B64", "open-sesame", "open-sesame"),
        ("AWS_CREDENTIALS", "open-sesame", "open-sesame"),
        ("SENTRY_DSN", "https://opensesame@errors.example/1", "opensesame"),
        ("SEARCH_URL", "https://x.example/?password=open%20sesame", "open sesame"),
        ("SEARCH_URL", "https://x.example/?password=open%20sesame", "open+sesame"),
        ("API_TOKEN", "öffne dich", r"\xf6ffne dich"),
        ("API_TOKEN", "öffne dich", r"\u00f6ffne dich"),
        ("API_TOKEN", "open/sesame+", "open/sesame%2B"),
        ("API_TOKEN", "open/sesame !", "open%2fsesame+!"),
        ("API_TOKEN", "open/sesame !", "open/sesame%20!"),
        ("API_TOKEN", 'open"sés\\ame', json.dumps({"token": 'open"sés\\ame'})[11:-2]),
        ("API_TOKEN", 'open"sés\\ame', repr(json.dumps('open"sés\\ame'))[2:-2]),
        ("API_TOKEN", "öffne dich", repr("öffne dich".encode())[2:-1]),
        ("API_TOKEN", "it's-open-sesame", r"it\'s-open-sesame"),
        ("SECRET_KEY_OLD", "open-sesame", "open-sesame"),
        ("DB_PASSWD", "open-sesame", "open-sesame"),
        ("PROXY_AUTH", "open-sesame", "open-sesame"),
        ("SECRET_KEY_FALLBACKS", "close-sesame,open-sesame", "open-sesame"),
        ("DB_DSN", "host=db user=ada password=open-sesame", "open-sesame"),
        ("STORE_CONNECTION_STRING", "Name=ada;AccountKey=opensesame==;x=y", "opensesame=="),
        ("CACHE_URLS", "redis://:close-sesame@a,redis://:open-sesame@b", "open-sesame"),
        ("CACHE_URLS", "redis://:close-sesame@a,redis://:open-sesame@b", "close-sesame"),
        ("SECRET_KEY_FALLBACKS", "close-sesame,open-sesame", "close-sesame"),
        ("DB_DSN", "host=db password='open-sesame'", "open-sesame"),
        ("API_TOKEN", "8letters", "8letters"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=open-sesame,x-set=all", "open-sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=open%20sesame", "open sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "open-sesame", "open-sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "opensesame", "opensesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=Bearer abc,open-sesame", "open-sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=Basic abc,opensesame==", "opensesame=="),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=Bearer open-sesame", "open-sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team: Bearer open-sesame", "open-sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team: Bearer open-sesame", "Bearer open-sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team: Basic opensesame==", "opensesame=="),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team:open%20sesame", "open sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team: a\nx-key: open-sesame", "open-sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", '"x-team=open-sesame"', "open-sesame"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team='open-sesame'", "open-sesame"),
        ("API_HEADERS", '{"x-team": "open-sesame"}', "open-sesame"),
        ("API_HEADERS", "open-5esame", "open-5esame"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://opensesame@a.example", "opensesame"),
    ],
)
def test_a_secret_is_known_by_its_variable_and_in_each_spelling(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    for formatter in (EcsFormatter(), ConsoleFormatter()):
        assert "says ********" in formatter.format(record("says %s", said))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("API_TOKEN", "letters", "letters"),
        ("CORS_ALLOW_HEADERS", "accept,content-type,x-requested-with", "content-type"),
        ("DATABASE_URL", "postgres://shop-owner@db/shop", "shop-owner"),
        ("DATABASE_URL", "https://[::1/shop-owner", "shop-owner"),
        ("DATABASE_URL", "postgres://ada:open-sesame@db/?sslmode=verify-full", "verify-full"),
    ],
)
def test_what_only_stands_beside_a_secret_is_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    assert Secrets().hidden_in(f"says {said}") == f"says {said}"


def test_what_the_exporter_says_of_headers_that_it_cannot_read_has_no_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It logs a whole item; the name of a header may stay, for whoever looks for the mistake."""
    for value in (
        "Authorization: Bearer abc123supersecret99",
        "Authorization=Bearer abc,abc123supersecret99",
        "abc123supersecret99",
        '"Authorization=Bearer abc123supersecret99"',
        "Authorization: Basic YWJjMTIzc3VwZXJzZWNyZXQ5OQ==",
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", value)
        for item in value.split(","):
            shown = Secrets().hidden_in(f"Header format invalid! ...: {item}")
            assert "supersecret" not in shown
            assert "YWJj" not in shown


def test_a_link_that_resets_a_password_is_hidden() -> None:
    hidden_in = Secrets().hidden_in
    token = "cxl0fu-" + "0123456789abcdef" * 2
    for path in (
        "/accounts/reset/MQ/{}/",
        "/password/reset/key/1-{}/",
        "https://x.example/reset/{}",
    ):
        assert hidden_in(f"GET {path.format(token)} 200") == f"GET {path.format('********')} 200"
    for other in (f"/tea/{token}/", "/reset/MQ/set-password/", f"/reset/{token}f/", "/reset/done/"):
        assert hidden_in(other) == other


def test_a_secret_is_hidden_whole_where_another_is_a_part_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_TOKEN", "a-sesame-open")
    monkeypatch.setenv("OLD_TOKEN", "sesame-open")
    shown = Secrets().hidden_in("a-sesame-open sesame-open")
    assert shown == f"{HIDDEN} {HIDDEN}"


@pytest.mark.parametrize(
    ("variable", "content", "said", "hidden"),
    [
        ("SECRET_KEY_FILE", b"open-sesameX\r\n", "open-sesameX", True),
        ("API_TOKEN_FILE", b"open-sesame", "open-sesame", True),
        ("API_TOKEN_FILE", b"\xff,open-sesame", "open-sesame", True),
        ("DATABASE_URL_FILE", b"redis://:open-sesame@a", "open-sesame", True),
        ("API_TOKEN_FILE", b"x" * 64, "x" * 64, True),
        ("API_TOKEN_FILE", b"x" * 65, "x" * 65, False),
        ("API_TOKEN", b"open-sesame", "open-sesame", False),  # the path is the secret
    ],
)
def test_a_secret_in_a_file_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    content: bytes,
    said: str,
    hidden: bool,
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    monkeypatch.setenv(variable, str(file))
    monkeypatch.setattr(redaction, "LONGEST_FILE", 64)
    assert Secrets().hidden_in(f"says {said}") == f"says {HIDDEN if hidden else said}"


def test_a_file_that_cannot_be_read_breaks_no_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(self: Path, **_: object) -> str:
        raise PermissionError(self)

    for name in ("API_TOKEN_FILE", "OTHER_TOKEN_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "API_TOKEN_FILE").touch()
    monkeypatch.setattr(Path, "read_text", refuse)
    assert Secrets().hidden_in("tea") == "tea"


def test_a_secret_that_is_no_text_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "open\udcffsesame")

    assert as_json(record("open%FFsesame"))["message"] == "********"


def test_no_part_of_a_secret_is_shown_where_a_text_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "open-sesame" * 9)

    shown = record("y" * 80 + "open-sesame" * 9 + "y" * 300 + " %d", "two")
    assert "sesame" not in str(as_json(shown)["message"])


def test_the_folder_of_a_process_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/srv/tea-shop")
    monkeypatch.setenv("OLDPWD", "/srv/tea-house")
    monkeypatch.setenv("DB_PWD", "open-sesame")

    line = EcsFormatter().format(record("/srv/tea-shop /srv/tea-house open-sesame"))
    assert "/srv/tea-shop /srv/tea-house ********" in line


def test_of_a_long_query_the_rest_is_not_shown() -> None:
    """A stranger may send one of 30 KB with each request, and it is shown on the event loop."""
    query = "&".join(f"name{number}={number}" for number in range(3000))
    shown = query_shown(query)
    assert SHOWN - 20 < len(shown) < SHOWN + 20
    assert shown.endswith(f"&{HIDDEN}")
    assert query.startswith(shown.removesuffix(f"&{HIDDEN}"))
    assert query_shown("token=" + "x" * SHOWN).endswith(HIDDEN)
