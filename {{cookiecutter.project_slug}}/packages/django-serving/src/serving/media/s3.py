"""Uploads in an object store that speaks S3, by django-storages: `pip install django-serving[s3]`.

https://django-storages.readthedocs.io/en/latest/backends/amazon-S3.html
"""

import posixpath
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urljoin

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from django.conf import settings
from django.utils.crypto import get_random_string
from django.utils.deconstruct import deconstructible
from django.utils.encoding import filepath_to_uri
from storages.backends import s3

from serving.media.kinds import content_disposition, content_type

LETTERS = 12  # letters and digits at the end of each name: 71 bits


@deconstructible(path="serving.media.s3.S3Storage")
class S3Storage(s3.S3Storage):  # type: ignore[misc]  # it has no types
    """django-storages', whose files have addresses on the site: a view answers by a link that lasts a while.

    An object has the type and the disposition that serving.media.kinds gives its name, whatever its uploader said.
    """

    client_config: Any

    def get_default_settings(self) -> dict[str, Any]:
        given: dict[str, Any] = super().get_default_settings()
        own = {"file_overwrite": False, "link_endpoint_url": None, "signature_version": "s3v4"}
        return given | own

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # boto's own give a store that is gone, or silent, a minute and five tries, and take ten parts of 8 MB of a large
        # file into memory at once.
        self.client_config = self.client_config.merge(
            Config(
                connect_timeout=5,
                read_timeout=10,
                retries={"mode": "standard", "total_max_attempts": 3},
            )
        )
        self.transfer_config = TransferConfig(use_threads=False)
        self._signer: Any = None

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """A name that no other upload gets, unless `file_overwrite` is set. Raises SuspiciousFileOperation.

        To ask the store whether a name is free says nothing about when the upload is whole, which is when the
        store has it: two who send one name at once would both be told that it is.
        """
        if self.file_overwrite:
            return str(super().get_available_name(name, max_length))
        left = max_length and max(1, max_length - LETTERS - len("_"))
        folder, file = posixpath.split(super().get_available_name(name, left))
        ending = "".join(PurePosixPath(file).suffixes)
        unique = f"{file.removesuffix(ending)}_{get_random_string(LETTERS)}{ending}"
        return posixpath.join(folder, unique)

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Whether it is short enough."""
        return not max_length or len(name) <= max_length

    def url(self, name: str, *args: Any, **kwargs: Any) -> str:
        """An address on the site, which does not grow old in a page that is kept."""
        path = filepath_to_uri(name) or ""
        return str(urljoin(settings.MEDIA_URL or "", path.lstrip("/")))

    def signed_url(self, name: str, method: str | None = "GET") -> str:
        """An address at the store, for `querystring_expire` seconds and one method: GET or HEAD."""
        parameters = {
            "Bucket": self.bucket_name,
            "Key": self._normalize_name(name),
            "ResponseContentType": content_type(name),
            "ResponseContentDisposition": content_disposition(name),
        }
        operation = "head_object" if method == "HEAD" else "get_object"
        signed: str = self.signer.generate_presigned_url(
            operation, Params=parameters, ExpiresIn=self.querystring_expire
        )
        return signed

    @property
    def signer(self) -> Any:
        """A client that signs links and asks nobody; to make one takes long, and threads may share it."""
        if self._signer is None:
            self._signer = self._create_session().client(
                "s3",
                region_name=self.region_name,
                endpoint_url=self.link_endpoint_url or self.endpoint_url,
                config=self.client_config,
            )
        return self._signer

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return state | {"_signer": None}

    def get_object_parameters(self, name: str) -> dict[str, Any]:
        given: dict[str, Any] = super().get_object_parameters(name)
        own = {"ContentType": content_type(name), "ContentDisposition": content_disposition(name)}
        return own | given
