"""The address of an object store, as STORAGE_URL has it:

    s3://KEY:SECRET@REGION/BUCKET               Amazon's, in a region such as eu-central-1
    s3://KEY:SECRET@HOST:PORT/BUCKET/FOLDER     another's, by https

The key and the secret are percent-encoded where they hold one of `/ @ : % ? #`. Without both, boto3 looks where it
always does: at its own variables and files, and at the machine's role. Parameters:

    region=NAME     of a store that is not Amazon's and wants one (us-east-1)
    tls=false       http in place of https
    style=virtual   the bucket is part of the host's name, as Amazon's is, and not of the path
    expire=3600     seconds that a link is good for
    links=URL       where browsers find the store, if that is not HOST

https://django-storages.readthedocs.io/en/latest/backends/amazon-S3.html
"""

import re
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from environs import ValidationError

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
WEEK = 7 * 24 * 60 * 60  # the longest that a signature is good for
EXAMPLE = "s3://KEY:SECRET@REGION/BUCKET or s3://KEY:SECRET@HOST:PORT/BUCKET"


class Store(NamedTuple):
    """STORAGES["default"], and the origin of the store's links, as a content security policy names it."""

    settings: dict[str, Any]
    origin: str


def storage_settings(url: str) -> Store | None:
    """A store by its address; None for an empty one. Raises ValidationError, which shows nothing of it."""
    if not url:
        return None
    try:
        return parsed(url)
    except ValueError as error:
        raise ValidationError(f"Not a valid storage URL: {error}.") from None


def parsed(url: str) -> Store:
    """A store by its address. Raises ValueError, which says what is wrong with it and shows no secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"it must be {EXAMPLE}, with / @ : % ? # percent-encoded") from None
    bucket, _, folder = unquote(parts.path).strip("/").partition("/")
    if parts.scheme != "s3" or not parts.hostname or parts.fragment or not bucket:
        raise ValueError(f"it must be {EXAMPLE}, with / @ : % ? # percent-encoded")
    if not BUCKET.fullmatch(bucket):
        raise ValueError("the bucket's name has 3 to 63 of a-z, 0-9, '.' and '-'")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("it has a key without a secret, or a secret without a key")
    if find_spec("storages") is None:
        raise ValueError(
            "django-storages is not installed; `uv sync --extra s3` does, in an image `EXTRAS=s3`"
        )
    given = options(parts)
    host = parts.hostname if port is None else f"{parts.hostname}:{port}"
    region, style = given["region"], given["style"]
    if port is None and REGION.fullmatch(host):
        region = host
        host = f"s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
        style = style or ("path" if "." in bucket else "virtual")  # no certificate is for a.b.s3...
    style = style or "path"
    endpoint = f"{'http' if given['tls'] == 'false' else 'https'}://{host}"
    link = urlsplit(given["links"] or endpoint)
    settings = {
        "BACKEND": "serving.media.s3.S3Storage",
        "OPTIONS": {
            "access_key": unquote(parts.username or "") or None,
            "secret_key": unquote(parts.password or "") or None,
            "bucket_name": bucket,
            "location": folder,
            "region_name": region or "us-east-1",
            "endpoint_url": endpoint,
            "link_endpoint_url": f"{link.scheme}://{link.netloc}",
            "addressing_style": style,
            "querystring_expire": int(given["expire"] or 3600),
        },
    }
    below = f"{bucket}." if style == "virtual" else ""
    return Store(settings, f"{link.scheme}://{below}{link.netloc}")


CHECKS = {
    "region": re.compile(r"[a-z0-9-]+"),
    "tls": re.compile(r"true|false"),
    "style": re.compile(r"path|virtual"),
    "expire": re.compile(r"[1-9]\d{0,5}"),
    "links": re.compile(r"https?://[a-z0-9.-]+(:\d+)?/?"),
}


def options(parts: SplitResult) -> dict[str, str]:
    """The parameters, each of them; an empty one is not given. Raises ValueError."""
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(given.keys() - CHECKS.keys()):
        # A piece of a secret, where that has a ? in it, is not shown.
        shown = f" named {unknown[0]!r}" if re.fullmatch("[a-z_]{1,20}", unknown[0]) else ""
        raise ValueError(f"it has a parameter{shown} that is none; there are {', '.join(CHECKS)}")
    for name, value in given.items():
        if not CHECKS[name].fullmatch(value):
            raise ValueError(f"{name} is not like {CHECKS[name].pattern}")
    if int(given.get("expire", 1)) > WEEK:
        raise ValueError(f"expire is {WEEK} seconds at most, a week")
    return {name: given.get(name, "") for name in CHECKS}
