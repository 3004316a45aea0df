"""Faults of Django, servestatic and redis-py."""

import asyncio
import errno
import gc
import os
import threading
import weakref
from io import BytesIO
from itertools import count, islice

import pytest
import redis
from asgiref.sync import sync_to_async
from django.core.cache.backends.redis import RedisCache, RedisSerializer
from django.core.files.move import file_move_safe
from django.core.handlers.asgi import ASGIHandler
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.template import Engine
from django.utils.deprecation import MiddlewareMixin
from redis._parsers.base import BaseParser
from redis.connection import parse_url
from servestatic import ServeStaticASGI
from servestatic.compress import Compressor

from tests.serving.upstream import works_around


@works_around("django", "#31508", "Lifespan's protocol, or GRANIAN_WEBSOCKETS=false")
@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_django_serves_http_alone(kind):
    with pytest.raises(ValueError, match="can only handle ASGI/HTTP"):
        asyncio.run(ASGIHandler()({"type": kind}, None, None))


@works_around("django", "#33497", "the pool, its leases and one_thread")
def test_each_request_gets_a_new_thread():
    class Handler(ASGIHandler):
        async def handle(self, scope, receive, send):
            threads.add(await sync_to_async(threading.current_thread)())

    async def serve_two():
        for _ in range(2):
            await Handler()({"type": "http"}, None, None)

    threads = set()
    asyncio.run(serve_two())
    assert len(threads) == 2


@works_around("django", "#37177", "inline middleware, and the chain for sync views")
def test_middleware_that_only_computes_goes_to_a_thread():
    class Middleware(MiddlewareMixin):
        def process_request(self, request):
            threads.append(threading.current_thread())

    async def respond(request):
        return HttpResponse()

    threads = []
    asyncio.run(Middleware(respond)(None))
    assert threads[0] is not threading.current_thread()


@works_around(
    "django", "6.1.3/django/http/response.py#L535-L549", "read_in_thread, parts_in_thread"
)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_sync_stream_is_read_to_its_end_before_it_is_sent():
    async def first_part():
        return await anext(aiter(StreamingHttpResponse(b"x" for _ in islice(read, 3))))

    read = count()
    asyncio.run(first_part())
    assert next(read) == 3


@works_around("django", "6.1.3/django/http/response.py#L578", "what close() does to a file")
@pytest.mark.django_db(transaction=True)  # since close() sends `request_finished`
def test_a_file_that_was_not_sent_refers_to_its_response():
    response = FileResponse(BytesIO(b"x"))
    found = weakref.ref(response)
    response.close()
    gc.disable()
    try:
        del response
        assert found() is not None
    finally:
        gc.enable()


@works_around("django", "6.1.3/django/core/handlers/asgi.py#L239-L266", "Bodies, with Granian's")
def test_a_body_of_any_size_is_taken(settings):
    async def receive():
        return {"type": "http.request", "body": bytes(1_000_000), "more_body": next(parts) < 9}

    parts = count()
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1
    with asyncio.run(ASGIHandler().read_body(receive)) as body:
        assert body.seek(0, os.SEEK_END) == 10_000_000


@works_around("django", "6.1.3/django/core/cache/backends/redis.py#L45", "ValkeyCache._cache")
def test_each_cache_has_its_own_connections():
    one, another = (RedisCache("redis://127.0.0.1:1", {})._cache.get_client() for _ in range(2))
    assert one.connection_pool is not another.connection_pool


@works_around("django", "6.1.3/django/core/cache/backends/redis.py#L25-L29", "cache_values")
def test_a_cached_value_of_an_unknown_class_is_an_error():
    with pytest.raises(AttributeError, match="nothing"):
        RedisSerializer().loads(b"cdjango\nnothing\n.")


@works_around("django", "#25791", "template_loaders in the settings")
def test_templates_are_cached_with_debug_on():
    assert "cached" in str(Engine(app_dirs=True, debug=True).loaders)  # runserver alone empties it


# servestatic


def answer(folder, path, *headers):
    """Status and ETag of servestatic's answer."""
    sent = []

    async def not_found(scope, receive, send):
        await send({"status": 404, "headers": []})

    async def send(message):
        sent.append(message)

    for name in ("a.css", "a.css.gz", "å.css"):
        (folder / name).write_bytes(name.encode())
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    asyncio.run(ServeStaticASGI(not_found, root=folder, prefix="/")(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"]).get(b"etag")


@works_around("servestatic", "4.4.0/src/servestatic/asgi.py#L32", "static.Files")
def test_a_letter_beyond_ascii_is_not_found(tmp_path):
    assert answer(tmp_path, "/å.css")[0] == 404


@works_around("servestatic", "4.4.0/src/servestatic/responders.py#L411-L415", "add_etag")
def test_a_file_and_its_compressed_form_have_one_strong_etag(tmp_path):
    plain, gzipped = (answer(tmp_path, "/a.css", (b"accept-encoding", b)) for b in (b"", b"gzip"))
    assert plain == gzipped
    assert plain[1].startswith(b'"')


@works_around("servestatic", "4.4.0/src/servestatic/responders.py#L189", "what is done of If-Range")
def test_if_range_is_not_read(tmp_path):
    headers = ((b"range", b"bytes=0-1"), (b"if-range", b'"another"'))
    assert answer(tmp_path, "/a.css", *headers)[0] == 206


@works_around("servestatic", "4.4.0/src/servestatic/storage.py#L202", "StaticFilesStorage")
def test_a_file_that_has_not_changed_is_compressed_again(tmp_path):
    compressor = Compressor(quiet=True, use_brotli=False, use_zstd=False)
    path = tmp_path / "a.css"
    path.write_bytes(b"a {}\n" * 1000)
    compressor.compress(str(path))
    (tmp_path / "a.css.gz").write_bytes(b"of another run")
    compressor.compress(str(path))
    assert (tmp_path / "a.css.gz").read_bytes() != b"of another run"


# redis-py


@works_around("redis", "#3491", "both rpartition(): the command is not in front of the error")
def test_the_error_of_a_pipeline_begins_with_its_command():
    error = redis.ResponseError("OOM")
    redis.Redis().pipeline().annotate_exception(error, 1, ["SET", "key", "value"])
    assert str(error) == "Command # 1 (SET key value) of pipeline caused error: OOM"


@works_around("redis", "v8.1.0/redis/_parsers/base.py#L113-L121", "`status_code` in refusal")
def test_the_first_word_of_some_errors_is_cut_off():
    errors = [BaseParser.parse_error(f"{word} no") for word in ("READONLY", "NOREPLICAS")]
    assert [str(error) for error in errors] == ["no", "NOREPLICAS no"]


@works_around("redis", "v8.1.0/redis/connection.py#L2364-L2382", "location")
def test_a_wrong_address_is_taken_for_another():
    assert parse_url("redis://host/nonsense?nothing=1") == {"host": "host", "nothing": "1"}
    with pytest.raises(ValueError, match="schemes"):
        parse_url("valkey://host")


@works_around(
    "django",
    "6.1.3/django/core/files/move.py#L64-L66",
    "FileStorage._save, for django.core.files.storage",
)
def test_a_file_that_is_moved_to_a_full_disk_may_lack_its_end(tmp_path, monkeypatch):
    def write(opened, data):  # as for the last piece that a disk has no room for
        return real(opened, data[:3])

    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"0123456789")
    real = os.write
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "rename", cannot_rename)
    file_move_safe(source, target)
    assert target.read_bytes() == b"012"
    assert not source.exists()


def cannot_rename(*names):
    raise OSError(errno.EXDEV, "Invalid cross-device link")
