"""Addresses of object stores, right ones and wrong ones; no message shows anything of them."""

from typing import Any

import pytest
from environs import ValidationError
from serving_tools import storage_address
from serving_tools.storage_address import storage_settings


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where django-storages is."""
    monkeypatch.setattr(storage_address, "find_spec", lambda name: object())


def options(url: str) -> dict[str, Any]:
    store = storage_settings(url)
    assert store
    assert store.settings["BACKEND"] == "serving.media.s3.S3Storage"
    found: dict[str, Any] = store.settings["OPTIONS"]
    return found


def test_amazons() -> None:
    assert options("s3://KEY:s%2Fe%40c@eu-central-1/tea-cups") == {
        "access_key": "KEY",
        "secret_key": "s/e@c",
        "bucket_name": "tea-cups",
        "location": "",
        "region_name": "eu-central-1",
        "endpoint_url": "https://s3.eu-central-1.amazonaws.com",
        "link_endpoint_url": "https://s3.eu-central-1.amazonaws.com",
        "addressing_style": "virtual",
        "querystring_expire": 3600,
    }
    for region, host in {
        "us-gov-west-1": "s3.us-gov-west-1.amazonaws.com",
        "cn-north-1": "s3.cn-north-1.amazonaws.com.cn",
    }.items():
        assert options(f"s3://{region}/tea")["endpoint_url"] == f"https://{host}"
    assert options("s3://eu-central-1/tea.example")["addressing_style"] == "path"


def test_anothers() -> None:
    found = options("s3://k:s@files.example:9000/tea/a/b/?region=fsn1&expire=60&style=virtual")
    assert found["endpoint_url"] == found["link_endpoint_url"] == "https://files.example:9000"
    assert (found["bucket_name"], found["location"]) == ("tea", "a/b")
    assert (found["region_name"], found["querystring_expire"]) == ("fsn1", 60)
    assert found["addressing_style"] == "virtual"
    found = options("s3://k:s@minio:9000/tea?tls=false&links=https://files.example/")
    assert found["endpoint_url"] == "http://minio:9000"
    assert found["link_endpoint_url"] == "https://files.example"
    assert (found["region_name"], found["addressing_style"]) == ("us-east-1", "path")
    assert options("s3://files.example/tea")["access_key"] is None, "boto3 looks elsewhere"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("s3://eu-central-1/tea", "https://tea.s3.eu-central-1.amazonaws.com"),
        ("s3://minio:9000/tea?tls=false", "http://minio:9000"),
        ("s3://minio:9000/tea?links=https://files.example", "https://files.example"),
        ("s3://fsn1.example/tea?style=virtual", "https://tea.fsn1.example"),
    ],
)
def test_where_links_lead(url: str, origin: str) -> None:
    store = storage_settings(url)
    assert store
    assert store.origin == origin


def test_no_address_is_no_store() -> None:
    assert storage_settings("") is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3:tea", "it must be s3://KEY"),
        ("s3://", "it must be"),
        ("s3://hunter2:sesame@host", "it must be"),
        ("s3://hunter2:sesame@host/", "it must be"),
        ("https://hunter2:sesame@host/tea", "it must be"),
        ("s3://hunter2:sesame@host:port/tea", "it must be"),
        ("s3://hunter2:ses/ame@host/tea", "it must be"),
        ("s3://hunter2:ses#ame@host/tea", "it must be"),
        ("s3://hunter2:sesame@[host/tea", "it must be"),
        ("s3://hunter2@host/tea", "a key without a secret"),
        ("s3://:hunter2@host/tea", "a secret without a key"),
        ("s3://hunter2:sesame@host/Tea_Cups", "the bucket's name has"),
        ("s3://hunter2:sesame@host/te", "the bucket's name has"),
        (
            "s3://hunter2:sesame@host/tea?acl=public",
            "a parameter named 'acl' that is none; there are region",
        ),
        ("s3://hunter2:sesame@host/tea?tls=no", "tls is not like true|false"),
        ("s3://hunter2:sesame@host/tea?expire=0", "expire is not like"),
        ("s3://hunter2:sesame@host/tea?expire=604801", "604800 seconds at most, a week"),
        ("s3://hunter2:sesame@host/tea?links=files.example", "is not like https?"),
        ("s3://key/hunter?2sesame@host/tea", "it has a parameter that is none"),
        ("s3://key:1?hunter2sesame@host/tea", "it must be"),
        ("s3://hunter2:sesame@host/tea?region=", "region is not like"),
    ],
)
def test_what_is_wrong_is_said_and_no_secret(url: str, reason: str) -> None:
    with pytest.raises(ValidationError) as refused:
        storage_settings(url)
    text = str(refused.value)
    assert reason in text
    assert text.startswith("Not a valid storage URL: ")
    assert "hunter2" not in text
    assert "sesame" not in text


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_address, "find_spec", lambda name: None)
    with pytest.raises(ValidationError, match="uv sync --extra s3"):
        storage_settings("s3://k:s@host/tea")
