"""FileResponse on real connections: heads, ranges, ways of sending, and files that change or go away meanwhile."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.peers.tls import client_context, server_context
from tests.peers.turns import turns, until
from tests.web.raw_client import RawClient, RawResponse, connect
from tests.web.tree import LAST_MODIFIED, TEN, etag, write

from fairlead import web
from fairlead.test_utils import TestServer
from fairlead.web import file_response
from fairlead.web.disk import SMALL_FILE
from fairlead.web.file_response import CONTENT_TYPES, FALLBACK_CONTENT_TYPE, ContentTypes, FileResponse

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LARGE = SMALL_FILE * 4 + 7


def pattern(size: int) -> bytes:
    """Bytes of which no two places look alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


def answering(make: Callable[[], FileResponse]) -> TestServer:
    """A server that answers everything with what is made."""
    app = web.Application()

    async def handler(request: web.Request) -> web.StreamResponse:
        return make()

    app.router.add_route("*", "/", handler)
    return TestServer(app)


def head(method: str = "GET", version: str = "1.1", **fields: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} / HTTP/{version}\r\nHost: a\r\n{lines}\r\n".encode()


async def ask(make: Callable[[], FileResponse], method: str = "GET", **fields: str) -> RawResponse:
    """One request on a connection of its own."""
    async with answering(make) as server, connect(server.port) as client:
        await client.send(head(method, **fields))
        return await client.response(method)


# ---- what is sent


@pytest.mark.parametrize("size", [0, 1, 10, SMALL_FILE - 1, SMALL_FILE, SMALL_FILE + 1, LARGE, 3_000_000])
async def test_files_of_all_sizes_arrive_whole(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.bin", pattern(size))
    async with answering(lambda: FileResponse(path)) as server, connect(server.port) as client:
        for _ in range(2):  # and the connection goes on
            await client.send(head())
            answer = await client.response()
            assert (answer.status, answer.framing, answer.body) == (200, "length", pattern(size))
            assert answer.fields[:5] == [
                ("Content-Type", "application/octet-stream"),
                ("Etag", etag(size)),
                ("Last-Modified", LAST_MODIFIED),
                ("Content-Length", str(size)),
                ("Accept-Ranges", "bytes"),
            ]
            assert answer.names[5:] == ["Date", "Server"]


async def test_pipelined_files_come_in_order(tmp_path: Path) -> None:
    paths = [write(tmp_path / str(size), pattern(size)) for size in (LARGE, 3, LARGE + 1, 0, 5)]
    remaining = iter(paths)
    async with answering(lambda: FileResponse(next(remaining))) as server, connect(server.port) as client:
        await client.send(head() * len(paths))
        for path in paths:
            assert (await client.response()).body == path.read_bytes()


@pytest.mark.parametrize("size", [10, LARGE])
async def test_head_has_the_head_of_get(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.txt", bytes(size))
    async with answering(lambda: FileResponse(path)) as server, connect(server.port) as client:
        await client.send(head("HEAD") + head())
        first, second = await client.response("HEAD"), await client.response()
    drop = ("Date", "Server")
    assert [f for f in first.fields if f[0] not in drop] == [f for f in second.fields if f[0] not in drop]
    assert second.body == bytes(size)


@pytest.mark.parametrize("size", [10, LARGE])
async def test_http_1_0(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a", pattern(size))
    async with answering(lambda: FileResponse(path)) as server, connect(server.port) as client:
        await client.send(head(version="1.0"))
        answer = await client.response()
        assert (answer.status, answer.body) == (200, pattern(size))
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("name", "status"),
    [("missing", 404), ("", 403), ("a/b", 404), ("a\0b", 404)],
    ids=["missing", "dir", "below", "nul"],
)
async def test_what_is_no_file(tmp_path: Path, name: str, status: int) -> None:
    write(tmp_path / "a")
    answer = await ask(lambda: FileResponse(f"{tmp_path}/{name}"))
    assert (answer.status, answer.get("Content-Length"), answer.body) == (status, "0", b"")


async def test_status_reason_and_fields_of_the_program(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    fields = {"Cache-Control": "max-age=60", "Content-Type": "x/y", "ETag": '"mine"', "X-Own": "1"}
    answer = await ask(lambda: FileResponse(path, status=203, reason="Sort Of", headers=fields))
    assert answer.line == "HTTP/1.1 203 Sort Of"
    assert (answer.get("Cache-Control"), answer.get("Content-Type"), answer.get("X-Own")) == ("max-age=60", "x/y", "1")
    assert answer.get("ETag") == etag()
    assert answer.body == TEN


@pytest.mark.parametrize("status", [404, 500, 416])
async def test_conditions_and_ranges_do_not_count_for_errors(tmp_path: Path, status: int) -> None:
    path = write(tmp_path / "a.txt")
    answer = await ask(lambda: FileResponse(path, status=status), If_None_Match=etag(), Range="bytes=0-1")
    assert (answer.status, answer.body) == (status, TEN)


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_sends_none(tmp_path: Path, status: int) -> None:
    path = write(tmp_path / "a.txt")
    async with answering(lambda: FileResponse(path, status=status)) as server, connect(server.port) as client:
        await client.send(head(Range="bytes=0-1") + head(Connection="close"))
        for _ in range(2):
            answer = await client.response()
            assert (answer.status, answer.get("Content-Length")) == (status, None)
        assert await client.rest() == b""


async def test_what_a_handler_changes_afterwards_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")

    def make() -> FileResponse:
        response = FileResponse(path)
        response.content_type = "text/css"
        response.charset = "utf-8"
        response.set_cookie("a", "b")
        return response

    answer = await ask(make)
    assert (answer.get("Content-Type"), answer.get("Set-Cookie")) == ("text/css; charset=utf-8", "a=b; Path=/")


async def test_on_response_prepare_sees_the_head(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    seen: list[tuple[int, str | None, int | None]] = []
    app = web.Application()

    async def handler(request: web.Request) -> web.StreamResponse:
        return FileResponse(path)

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        seen.append((response.status, response.headers.get("ETag"), response.content_length))
        response.headers["X-Seen"] = "1"

    app.router.add_get("/", handler)
    app.on_response_prepare.append(note)
    async with TestServer(app) as server, connect(server.port) as client:
        await client.send(head())
        assert (await client.response()).get("X-Seen") == "1"
    assert seen == [(200, etag(), 10)]


async def test_the_access_log_knows_fields_and_size(tmp_path: Path) -> None:
    small, large = write(tmp_path / "a.txt"), write(tmp_path / "b.txt", bytes(LARGE))
    responses: list[web.StreamResponse] = []

    class Log(web.AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            responses.append(response)

    remaining = iter([small, large])
    app = web.Application()

    async def handler(request: web.Request) -> web.StreamResponse:
        return FileResponse(next(remaining))

    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log_class=Log, access_log=logging.getLogger("tests.file_response"))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with connect(runner.addresses[0][1]) as client:
        for size in (10, LARGE):
            await client.send(head())
            assert len((await client.response()).body) == size
    await runner.cleanup()
    for response, size in zip(responses, (10, LARGE), strict=True):
        assert response.headers["Content-Length"] == str(size)
        assert response.headers["Content-Type"] == "text/plain"
        assert response.prepared
        assert size < response.body_length < size + 400


# ---- media types


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.txt", "text/plain"),
        ("a.HTML", "text/html"),
        ("a.tar.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.svgz", "application/gzip"),
        ("a.css.br", "application/x-brotli"),
        ("a.bz2", "application/x-bzip2"),
        ("a.xz", "application/x-xz"),
        ("a.zst", "application/zstd"),
        ("a.woff2", "font/woff2"),
        ("a.webp", "image/webp"),
        ("a.md", "text/markdown"),
        ("a.json", "application/json"),
        ("a:b.txt", "text/plain"),
        ("data:text/html,x", None),
        ("txt", None),
        (".txt", None),
        ("a.", None),
        ("a.unknown", None),
    ],
)
def test_media_types(name: str, media_type: str | None) -> None:
    assert CONTENT_TYPES.guess_file_type(name) == (media_type, None)
    assert CONTENT_TYPES.guess_file_type(Path("/x.html") / name) == (media_type, None)


def test_media_types_can_be_added() -> None:
    types = ContentTypes()
    types.add_type("x/y", ".z")
    types.encodings_map[".gz"] = "gzip"
    assert types.guess_file_type("a.z") == ("x/y", None)
    assert types.guess_file_type("a.z.gz") == ("x/y", "gzip")
    assert types.guess_file_type("a.tgz") == ("application/x-tar", "gzip")
    assert types.guess_file_type("a.rtf", strict=True) in [(None, None), ("application/rtf", None)]
    assert types.guess_file_type("a.rtf", strict=False) == ("application/rtf", None)


async def test_media_types_may_be_patched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt")
    monkeypatch.setattr(CONTENT_TYPES, "guess_file_type", lambda path: ("patched/yes", None))
    assert (await ask(lambda: FileResponse(path))).get("Content-Type") == "patched/yes"
    monkeypatch.setattr(CONTENT_TYPES, "guess_file_type", lambda path: (None, None))
    assert (await ask(lambda: FileResponse(path))).get("Content-Type") == FALLBACK_CONTENT_TYPE


def test_the_path_is_a_path(tmp_path: Path) -> None:
    response = FileResponse(f"{tmp_path}/a/../b")
    assert response._path == Path(f"{tmp_path}/a/../b")
    assert FileResponse(tmp_path)._path == tmp_path
    for wrong in (b"a", 3, None):
        with pytest.raises(TypeError):
            FileResponse(wrong)  # type: ignore[arg-type]


async def test_the_path_can_be_changed(tmp_path: Path) -> None:
    write(tmp_path / "a.txt"), write(tmp_path / "b.html", b"<p>")

    def make() -> FileResponse:
        response = FileResponse(tmp_path / "a.txt")
        response._path = tmp_path / "b.html"
        return response

    answer = await ask(make)
    assert (answer.body, answer.get("Content-Type")) == (b"<p>", "text/html")


# ---- conditions and ranges (tables of all cases are those of codec.preconditions)


async def test_304_tells_what_is_still_right(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    answer = await ask(lambda: FileResponse(path), If_None_Match=etag())
    assert answer.status == 304
    assert answer.fields[:2] == [("Etag", etag()), ("Last-Modified", LAST_MODIFIED)]
    assert answer.names[2:] == ["Date", "Server"]


async def test_412_has_nothing_in_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    answer = await ask(lambda: FileResponse(path), If_Match='"other"')
    assert (answer.status, answer.get("Content-Length"), answer.get("ETag")) == (412, "0", None)


async def test_last_modified_comes_back_as_if_modified_since(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    first = await ask(lambda: FileResponse(path))
    modified = first.get("Last-Modified")
    assert modified is not None
    assert (await ask(lambda: FileResponse(path), If_Modified_Since=modified)).status == 304
    assert (await ask(lambda: FileResponse(path), If_Unmodified_Since=modified)).status == 200
    assert (await ask(lambda: FileResponse(path), Range="bytes=0-0", If_Range=modified)).status == 206


@pytest.mark.parametrize("size", [100, LARGE])
@pytest.mark.parametrize(
    ("field", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=5-", 5, None), ("bytes=-7", -7, None), ("bytes=3-50", 3, 50), ("bytes=0-", 0, None)],
)
async def test_ranges(tmp_path: Path, size: int, field: str, first: int, last: int | None) -> None:
    path = write(tmp_path / "a.bin", pattern(size))
    expected = pattern(size)[first : size if last is None else last + 1]
    begin = first % size
    answer = await ask(lambda: FileResponse(path), Range=field)
    assert (answer.status, answer.body) == (206, expected)
    assert answer.get("Content-Range") == f"bytes {begin}-{begin + len(expected) - 1}/{size}"
    assert answer.get("Content-Length") == str(len(expected))


async def test_a_range_that_no_byte_satisfies(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    async with answering(lambda: FileResponse(path)) as server, connect(server.port) as client:
        await client.send(head(Range="bytes=10-") + head())
        answer = await client.response()
        assert (answer.status, answer.get("Content-Range"), answer.body) == (416, "bytes */10", b"")
        assert (await client.response()).status == 200


async def test_ranges_of_a_huge_file_that_is_mostly_not_there(tmp_path: Path) -> None:
    path, size = tmp_path / "huge", 1 << 33
    with path.open("wb") as file:
        try:
            file.truncate(size)
        except OSError:  # a file system without holes
            pytest.skip("no sparse files here")
        file.seek(size - 5)
        file.write(b"tail!")
    for field, body in [("bytes=-5", b"tail!"), (f"bytes={size - 6}-{size - 4}", b"\0ta"), ("bytes=0-2", b"\0\0\0")]:
        assert (await ask(lambda: FileResponse(path), Range=field)).body == body
    answer = await ask(lambda: FileResponse(path), Range=f"bytes={size - LARGE}-")
    assert answer.body == bytes(LARGE - 5) + b"tail!"
    answer = await ask(lambda: FileResponse(path), "HEAD")
    assert answer.get("Content-Length") == str(size)


# ---- siblings and compression


async def test_a_sibling_is_sent_as_what_it_stands_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.css")
    write(tmp_path / "a.css.gz", b"zip")
    answer = await ask(lambda: FileResponse(path, headers={"Vary": "Origin"}), Accept_Encoding="gzip")
    assert answer.body == b"zip"
    assert answer.fields[:6] == [
        ("Vary", "Origin, Accept-Encoding"),
        ("Content-Type", "text/css"),
        ("Content-Encoding", "gzip"),
        ("Etag", etag(3)),
        ("Last-Modified", LAST_MODIFIED),
        ("Content-Length", "3"),
    ]
    answer = await ask(lambda: FileResponse(path), Accept_Encoding="gzip", If_None_Match=etag(3))
    assert (answer.status, answer.get("Vary")) == (304, "Accept-Encoding")
    answer = await ask(lambda: FileResponse(path), Accept_Encoding="gzip", Range="bytes=1-")
    assert (answer.status, answer.body, answer.get("Content-Encoding")) == (206, b"ip", "gzip")


@pytest.mark.parametrize("vary", ["*", "accept-encoding", "Origin, Accept-Encoding"])
async def test_vary_is_not_said_twice(tmp_path: Path, vary: str) -> None:
    path = write(tmp_path / "a.css")
    write(tmp_path / "a.css.gz", b"zip")
    answer = await ask(lambda: FileResponse(path, headers={"Vary": vary}), Accept_Encoding="gzip")
    assert answer.get("Vary") == vary


def compressed(path: Path, **how: Any) -> Callable[[], FileResponse]:
    def make() -> FileResponse:
        response = FileResponse(path)
        response.enable_compression(**how)
        return response

    return make


@pytest.mark.parametrize("size", [10, LARGE])
async def test_compression_on_the_way(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.txt", pattern(size))
    answer = await ask(compressed(path), Accept_Encoding="gzip")
    assert zlib.decompress(answer.body, 31) == pattern(size)
    assert (answer.get("Content-Encoding"), answer.framing) == ("gzip", "chunked")
    # These bytes are no version of the file that could be asked for in parts.
    assert (answer.get("ETag"), answer.get("Accept-Ranges")) == (f"W/{etag(size)}", None)
    assert answer.get("Vary") == "Accept-Encoding"


async def test_what_is_compressed_on_the_way_has_no_ranges(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    answer = await ask(compressed(path), Accept_Encoding="gzip", Range="bytes=2-3")
    assert (answer.status, zlib.decompress(answer.body, 31)) == (200, TEN)
    answer = await ask(compressed(path), Range="bytes=2-3")
    assert (answer.status, answer.body, answer.get("ETag")) == (206, b"23", etag())


@pytest.mark.parametrize("how", [{"force": web.ContentCoding.gzip}, {"force": web.ContentCoding.identity}])
async def test_compression_that_was_decided_on(tmp_path: Path, how: dict[str, Any]) -> None:
    path = write(tmp_path / "a.txt")
    answer = await ask(compressed(path, **how))
    gzip = how["force"] is web.ContentCoding.gzip
    assert answer.get("Content-Encoding") == ("gzip" if gzip else None)
    assert answer.get("ETag") == (f"W/{etag()}" if gzip else etag())


async def test_what_lies_there_compressed_is_not_compressed_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")
    write(tmp_path / "a.txt.br", b"brotli")
    answer = await ask(compressed(path), Accept_Encoding="gzip, br")
    assert (answer.body, answer.get("Content-Encoding"), answer.get("ETag")) == (b"brotli", "br", etag(6))


async def test_errors_are_not_compressed(tmp_path: Path) -> None:
    answer = await ask(compressed(tmp_path / "missing"), Accept_Encoding="gzip")
    assert (answer.status, answer.body, answer.get("Content-Encoding")) == (404, b"", None)


@pytest.mark.parametrize("size", [0, 10, LARGE])
async def test_chunked(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.txt", pattern(size))

    def make() -> FileResponse:
        response = FileResponse(path, chunk_size=SMALL_FILE)
        response.enable_chunked_encoding()
        return response

    answer = await ask(make)
    assert (answer.framing, answer.body) == ("chunked", pattern(size))
    answer = await ask(make, Range="bytes=-3")
    assert answer.body == pattern(size)[-3:]
    assert (await ask(make, If_None_Match=etag(size))).status == 304


# ---- ways of sending


async def test_without_sendfile_the_chunk_size_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_response, "NOSENDFILE", True)
    sizes: list[int] = []
    real = file_response.Look.read

    def reading(self: Any, position: int, size: int) -> bytes:
        sizes.append(size)
        return real(self, position, size)

    monkeypatch.setattr(file_response.Look, "read", reading)
    path = write(tmp_path / "a.bin", pattern(LARGE))
    answer = await ask(lambda: FileResponse(path, chunk_size=100_000), Range="bytes=5-")
    assert answer.body == pattern(LARGE)[5:]
    assert sizes == [100_000, 100_000, LARGE - 200_005]


@pytest.mark.parametrize("how", [NotImplementedError, asyncio.SendfileNotAvailableError, RuntimeError])
async def test_a_loop_without_sendfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: type[Exception]) -> None:
    async def sendfile(*args: Any, **kwargs: Any) -> int:
        raise how("sendfile is not supported for this transport")

    monkeypatch.setattr(asyncio.get_running_loop(), "sendfile", sendfile, raising=False)
    path = write(tmp_path / "a.bin", pattern(LARGE))
    assert (await ask(lambda: FileResponse(path))).body == pattern(LARGE)


async def test_sendfile_is_what_large_files_go_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.environ.get("FAIRLEAD_LOOP") == "uvloop":
        pytest.skip("uvloop has no sendfile")
    loop, calls = asyncio.get_running_loop(), []
    real = loop.sendfile

    async def sendfile(transport: Any, file: Any, *args: Any, **kwargs: Any) -> int:
        calls.append(args)
        return await real(transport, file, *args, **kwargs)

    monkeypatch.setattr(loop, "sendfile", sendfile)
    path = write(tmp_path / "a.bin", pattern(LARGE))
    assert (await ask(lambda: FileResponse(path))).body == pattern(LARGE)
    assert (await ask(lambda: FileResponse(path), Range="bytes=9-")).body == pattern(LARGE)[9:]
    assert calls == [(0, LARGE), (9, LARGE - 9)]


@pytest.mark.parametrize("size", [10, LARGE])
async def test_tls(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "a.bin", pattern(size))
    server = answering(lambda: FileResponse(path))
    await server.start_server(ssl=server_context())
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context())
    client = RawClient(reader, writer, 0)
    try:
        for field, body in [("bytes=0-", pattern(size)), ("bytes=-4", pattern(size)[-4:])]:
            await client.send(head(Range=field))
            assert (await client.response()).body == body
    finally:
        writer.close()
        await writer.wait_closed()
        await server.close()


async def test_a_handler_that_prepares_the_response_itself(tmp_path: Path) -> None:
    small, large = write(tmp_path / "a", TEN), write(tmp_path / "b", pattern(LARGE))
    app = web.Application()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = FileResponse(large if request.query else small)
        await response.prepare(request)
        assert response.prepared
        assert await response.prepare(request) is None
        await response.write_eof()
        return response

    app.router.add_get("/", handler)
    async with TestServer(app) as server, connect(server.port) as client:
        await client.send(head() + head().replace(b"/ ", b"/?1 ") + head())
        bodies = [(await client.response()).body for _ in range(3)]
    assert bodies == [TEN, pattern(LARGE), TEN]


async def test_subclasses_may_take_part(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt")

    class Own(FileResponse):
        async def _prepare_headers(self) -> None:
            await super()._prepare_headers()
            self.headers["X-Own"] = "1"

    assert (await ask(lambda: Own(path))).get("X-Own") == "1"


# ---- trouble


def open_files(path: Path) -> int:
    """How often this process has a file open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}") == str(path)
        except OSError:
            pass
    return found


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


async def closed(path: Path) -> None:
    """Wait until nobody here has the file open, with the time that a thread of the executor takes."""
    for _ in range(500):
        if not open_files(path):
            return
        await asyncio.to_thread(gc.collect, 0)
    raise AssertionError("the file stays open")


@needs_proc
@pytest.mark.parametrize("sendfile", [True, False])
async def test_the_file_is_closed_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sendfile: bool) -> None:
    monkeypatch.setattr(file_response, "NOSENDFILE", not sendfile)
    path = write(tmp_path / "a.bin", pattern(LARGE))
    assert (await ask(lambda: FileResponse(path))).body == pattern(LARGE)
    await closed(path)


@needs_proc
@pytest.mark.parametrize("sendfile", [True, False])
async def test_a_client_that_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sendfile: bool) -> None:
    monkeypatch.setattr(file_response, "NOSENDFILE", not sendfile)
    path = tmp_path / "a.bin"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    async with answering(lambda: FileResponse(path)) as server:
        async with connect(server.port) as client:
            await client.send(head())
            await client.exactly(100_000)
            assert open_files(path) == 1
        await closed(path)
        async with connect(server.port) as client:
            await client.send(head(Range="bytes=0-1"))
            assert (await client.response()).status == 206


@needs_proc
@pytest.mark.parametrize("sendfile", [True, False])
async def test_a_handler_that_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sendfile: bool) -> None:
    monkeypatch.setattr(file_response, "NOSENDFILE", not sendfile)
    path = tmp_path / "a.bin"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    tasks: list[asyncio.Task[None]] = []
    app = web.Application()

    async def handler(request: web.Request) -> web.StreamResponse:
        tasks.append(request.task)
        return FileResponse(path)

    app.router.add_get("/", handler)
    async with TestServer(app) as server, connect(server.port) as client:
        await client.send(head())
        await client.exactly(100_000)
        tasks[0].cancel()
        assert len(await client.rest()) < 200_000_000
        await closed(path)


@pytest.mark.parametrize("sendfile", [True, False])
async def test_a_file_that_shrinks_ends_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sendfile: bool
) -> None:
    monkeypatch.setattr(file_response, "NOSENDFILE", not sendfile)
    path = write(tmp_path / "a.bin", pattern(LARGE))
    real = FileResponse._transfer

    async def transfer(self: Any, *args: Any) -> int:
        os.truncate(path, LARGE - 1000)
        return await real(self, *args)

    monkeypatch.setattr(FileResponse, "_transfer", transfer)
    async with answering(lambda: FileResponse(path)) as server, connect(server.port) as client:
        await client.send(head() + head())
        raw = await client.rest()
    announced, _, body = raw.partition(b"\r\n\r\n")
    assert f"Content-Length: {LARGE}".encode() in announced
    assert body == pattern(LARGE)[:-1000]
    assert f"became shorter while it was sent: {LARGE - 1000} of {LARGE} bytes" in caplog.text


@pytest.mark.parametrize("sendfile", [True, False])
async def test_a_file_that_grows_is_sent_as_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sendfile: bool
) -> None:
    monkeypatch.setattr(file_response, "NOSENDFILE", not sendfile)
    path = write(tmp_path / "a.bin", pattern(LARGE))
    real = FileResponse._transfer

    async def transfer(self: Any, *args: Any) -> int:
        with path.open("ab") as file:
            file.write(b"more" * 1000)
        return await real(self, *args)

    monkeypatch.setattr(FileResponse, "_transfer", transfer)
    async with answering(lambda: FileResponse(path)) as server, connect(server.port) as client:
        await client.send(head())
        assert (await client.response()).body == pattern(LARGE)
        await client.send(head())
        assert (await client.response()).body == pattern(LARGE) + b"more" * 1000


async def test_a_disk_that_fails_is_the_servers_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.bin")

    def opening(*args: Any) -> int:
        raise OSError(5, "the disk is on fire")

    async with answering(lambda: FileResponse(path)) as server, connect(server.port) as client:
        monkeypatch.setattr(os, "open", opening)
        await client.send(head())
        assert (await client.response()).status == 500
        monkeypatch.undo()
        assert "the disk is on fire" in caplog.text
        await client.send(head())
        assert (await client.response()).status == 200


async def test_a_disk_that_fails_later_ends_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(file_response, "NOSENDFILE", True)
    real = file_response.Look.read

    def reading(self: Any, position: int, size: int) -> bytes:
        if position:
            raise OSError(5, "the disk is on fire")
        return real(self, position, size)

    monkeypatch.setattr(file_response.Look, "read", reading)
    path = write(tmp_path / "a.bin", pattern(LARGE))
    async with answering(lambda: FileResponse(path, chunk_size=1000)) as server, connect(server.port) as client:
        await client.send(head())
        raw = await client.rest()
    assert raw.endswith(b"\r\n\r\n" + pattern(1000))
    assert "the disk is on fire" in caplog.text


async def test_a_slow_client_holds_a_large_file_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_response, "NOSENDFILE", True)
    read: list[int] = []
    real = file_response.Look.read

    def reading(self: Any, position: int, size: int) -> bytes:
        read.append(size)
        return real(self, position, size)

    monkeypatch.setattr(file_response.Look, "read", reading)
    path = tmp_path / "a.bin"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    async with answering(lambda: FileResponse(path)) as server, connect(server.port) as client:
        await client.send(head())
        await until(lambda: read, "the first chunk")
        seen = -1
        while seen != len(read):
            seen = len(read)
            await asyncio.to_thread(gc.collect, 0)
            await turns(50)
        assert sum(read) < 50_000_000
