"""Uploads by their address: from MEDIA_ROOT, by the proxy in front, or from an object store.

One view is asked for each, so it is the place to say who may see what; it wants a `path("media/<path:name>", ...)`
at MEDIA_URL. Ranges and conditions are those of RFC 9110, sections 13 and 14.
"""

import os
import re
import stat
from io import RawIOBase
from typing import IO, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe
from django.views.decorators.http import require_safe

from serving.conf import conf
from serving.media.kinds import headers_of, is_plain

# One range. A server may ignore more than one, and what it can't read: the client gets all of it.
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)

# Names that proxies take from a header in one way: Caddy 2.6 decodes no %20, and later ones do; Go trims spaces.
AS_IT_IS = re.compile(r"(?! )[\w ./-]+(?<! )")

# Signed links outgrow the 2,048 characters that Django allows a redirect.
LINK_MAX = 16_384


@require_safe
def serve_media(request: HttpRequest, name: str) -> HttpResponseBase:
    """Sends an upload, or has it sent: by the proxy (MEDIA_ACCEL_PREFIX), or by a signed link to a store.

    It looks at no permission: for files that are not for everyone, call it from a view that does. Raises Http404.
    """
    if not is_plain(name):
        raise Http404(f"no upload has the name {name!r}")
    storage = storages["default"]
    if sign := getattr(storage, "signed_url", None):
        response = HttpResponseRedirect(sign(name, method=request.method), max_length=LINK_MAX)
        response["Cache-Control"] = "private, no-store"  # the link is good for a time
        return response
    upload = opened(storage, name)
    prefix = conf.MEDIA_ACCEL_PREFIX() if isinstance(storage, FileSystemStorage) else ""
    if prefix and AS_IT_IS.fullmatch(name):
        upload.file.close()
        path = f"{prefix}/{name}".encode().decode("latin-1")  # as bytes in UTF-8
        return HttpResponse(headers={**headers_of(name), "X-Accel-Redirect": path})
    return respond(request, name, upload)


class Upload(NamedTuple):
    """An open upload, its size in bytes, and what tells it from another of its name (None: nothing does)."""

    file: IO[bytes]
    size: int
    etag: str | None = None
    modified: int | None = None  # seconds since 1970


class Part(RawIOBase):
    """Some bytes of a file, to be read in order."""

    def __init__(self, file: IO[bytes], first: int, size: int) -> None:
        file.seek(first)
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        return data

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._file.close()
        super().close()


def opened(storage: Storage, name: str) -> Upload:
    """Opens an upload. Raises Http404 where there is none, ImproperlyConfigured where MEDIA_ROOT is not set."""
    if isinstance(storage, FileSystemStorage) and not storage.base_location:
        raise ImproperlyConfigured(
            "MEDIA_ROOT is not set, so that everybody could read what is in the server's working folder: name a"
            " folder that has nothing else in it, such as media"
        )
    try:
        if isinstance(storage, FileSystemStorage):
            file = open_below(os.fspath(storage.location), name)
            status = os.fstat(file.fileno())
            etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
            return Upload(file, status.st_size, etag, int(status.st_mtime))
        found = storage.open(name)
        return Upload(found, found.size)
    except (OSError, ValueError):
        raise Http404(f"there is no upload {name!r}") from None


def open_below(root: str, name: str) -> IO[bytes]:
    """Opens a file below a folder, and no link's target. Raises OSError, for what is no file as well."""
    *folders, last = name.split("/")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for each in folders:
            outer = folder
            folder = os.open(each, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=outer)
            os.close(outer)
        # A pipe would wait for its other end.
        found = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise FileNotFoundError(name)
    return os.fdopen(found, "rb")


def respond(request: HttpRequest, name: str, upload: Upload) -> HttpResponseBase:
    """All of it, the part that is asked for, or nothing where the client has it."""
    headers = {**headers_of(name), "Accept-Ranges": "bytes"}
    if upload.etag and upload.modified is not None:
        headers |= {"ETag": upload.etag, "Last-Modified": http_date(upload.modified)}
    empty = HttpResponse(headers={**headers, "Content-Length": str(upload.size)})
    answer = get_conditional_response(request, upload.etag, upload.modified, empty) or empty
    if answer is not empty or request.method == "HEAD":
        upload.file.close()
        return answer
    wanted = asked_range(request, upload)
    if wanted is None:
        wanted, status = range(upload.size), 200
    elif wanted:
        headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[-1]}/{upload.size}"
        status = 206
    else:
        upload.file.close()
        headers["Content-Range"] = f"bytes */{upload.size}"
        return HttpResponse(status=416, headers=headers)
    headers["Content-Length"] = str(len(wanted))
    response = FileResponse(Part(upload.file, wanted.start, len(wanted)), status=status)
    for header, value in headers.items():  # over those that Django guesses
        response[header] = value
    return response


def asked_range(request: HttpRequest, upload: Upload) -> range | None:
    """The bytes that a client asks for, which may be none that there are; None for all."""
    found = RANGE.fullmatch(request.headers.get("Range", "").strip())
    if not found or not is_the_same(request.headers.get("If-Range"), upload):
        return None
    first, last = found[1], found[2]
    if first:
        end = min(int(last) + 1, upload.size) if last else upload.size
        return None if last and int(last) < int(first) else range(int(first), end)
    return range(max(0, upload.size - int(last)), upload.size) if last else None


def is_the_same(condition: str | None, upload: Upload) -> bool:
    """Whether a client that has a part, and sends If-Range, has it of this file."""
    if condition is None or condition == upload.etag:
        return True
    modified = parse_http_date_safe(condition)
    return modified is not None and modified == upload.modified
