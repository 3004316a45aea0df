"""What an upload is sent as, by the end of its name: never as something that runs on the site.

A browser shows images, sounds and videos; anything else it saves. What it could run as a script or take for a
style (https://mimesniff.spec.whatwg.org/#javascript-mime-type) is sent as bytes of no type, since `nosniff` stops
a browser only from running what has another type:
https://fetch.spec.whatwg.org/#should-response-to-request-be-blocked-due-to-nosniff?
"""

import posixpath
from collections.abc import Mapping

from django.utils.http import content_disposition_header

# Not the machine's own table, or the type of an upload would depend on where it is served.
SHOWN = {
    ".aac": "audio/aac",
    ".apng": "image/apng",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".ico": "image/x-icon",
    ".jfif": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".png": "image/png",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
SAVED = {
    ".7z": "application/x-7z-compressed",
    ".csv": "text/csv",
    ".doc": "application/msword",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".epub": "application/epub+zip",
    ".gz": "application/gzip",
    ".heic": "image/heic",
    ".htm": "text/html",
    ".html": "text/html",
    ".ics": "text/calendar",
    ".json": "application/json",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".pdf": "application/pdf",
    ".ppt": "application/vnd.ms-powerpoint",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rtf": "application/rtf",
    ".svg": "image/svg+xml",
    ".tar": "application/x-tar",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".txt": "text/plain",
    ".xls": "application/vnd.ms-excel",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xml": "application/xml",
    ".zip": "application/zip",
}
UNKNOWN = "application/octet-stream"

# An upload that is opened by itself is a document without an origin, which may fetch itself alone.
POLICY = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; sandbox"
# Chromium plays nothing in a sandbox. The page that it makes around a sound or a video holds nothing of the
# upload's, and may run nothing either.
PLAYER_POLICY = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"


def content_type(name: str) -> str:
    """The type that an upload of this name is sent as."""
    ending = posixpath.splitext(name)[1].lower()
    return SHOWN.get(ending) or SAVED.get(ending, UNKNOWN)


def content_disposition(name: str) -> str:
    """Whether a browser shows it or saves it, and under which name (RFC 6266)."""
    is_saved = posixpath.splitext(name)[1].lower() not in SHOWN
    return content_disposition_header(is_saved, posixpath.basename(name)) or "attachment"


def headers_of(name: str) -> Mapping[str, str]:
    """The headers that every answer with an upload has, whoever sends it."""
    kind = content_type(name)
    return {
        "Content-Type": kind,
        "Content-Disposition": content_disposition(name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": PLAYER_POLICY
        if kind.startswith(("audio/", "video/"))
        else POLICY,
        # A name is used once: a changed file has another one. Not for caches that many share, since who may
        # see it is for the view to say.
        "Cache-Control": "private, max-age=3600",
    }


def is_plain(name: str) -> bool:
    """Whether a name leads to an upload: no part of it is empty, or begins with a dot."""
    parts = name.split("/")
    return all(part and part[0] != "." for part in parts) and not {"\0", "\\"} & set(name)
