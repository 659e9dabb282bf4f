"""Requests: what is lazy, bodies that come in pieces, limits, cancellation, uploads, clones."""

from __future__ import annotations

import asyncio
import gzip
import os
import pickle
import time
from typing import Any

import pytest
from tests.web.requests import FakeProtocol, FakeTransport, decode_request, decoded_head, make_request, stream_of

import fairlead.web
from fairlead import web
from fairlead.codec.conditional import ETag
from fairlead.codec.events import HttpVersion11, parse_target
from fairlead.errors import ProtocolError
from fairlead.keys import RequestKey
from fairlead.web import forms
from fairlead.web.chain import ChainMapProxy
from fairlead.web.forms import FileField, UndecodableTextError, UnknownCharsetError, decode_text
from fairlead.web.request import MAX_KEYS_REMEMBERED, MULTIPART_OVERHEAD, BaseRequest, Request
from fairlead.wire.streams import EMPTY_PAYLOAD, StreamReader
from fairlead.wire.writer import StreamWriter

MULTIPART = [("Content-Type", "multipart/form-data; boundary=BB")]
FORM = [("Content-Type", "application/x-www-form-urlencoded")]


def part(name: str, value: bytes, filename: str = "") -> bytes:
    field = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return b"--BB\r\nContent-Disposition: " + field.encode() + b"\r\n\r\n" + value + b"\r\n"


def upload(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--BB--\r\n"


async def until(condition: Any) -> None:
    """Let the loop and its threads work until something has become true."""
    while not condition():  # noqa: ASYNC110  # a thread brings it about
        await asyncio.sleep(0.001)


# ---- making one


async def test_making_a_request_works_nothing_out() -> None:
    request = decode_request(b"GET /path?a=b HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n")
    given = {
        "_message",
        "_payload",
        "_protocol",
        "_payload_writer",
        "_task",
        "_loop",
        "_client_max_size",
        "_client_max_fields",
    }
    assert set(vars(request)) == given
    assert (request.method, request.path, request.routing_path, request.path_qs) == (
        "GET",
        "/path",
        "/path",
        "/path?a=b",
    )
    assert (request.query_string, request.raw_path, request.version, request.keep_alive) == (
        "a=b",
        "/path?a=b",
        HttpVersion11,
        True,
    )
    assert set(vars(request)) == given, "no URL is made for a plain target"
    with pytest.raises(KeyError):
        request["key"]
    assert (len(request), list(request), "key" in request, request.get("key")) == (0, [], False, None)
    assert set(vars(request)) == given


async def test_facts_are_kept_and_may_be_overwritten() -> None:
    request = decode_request(b"GET /path?a=b HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n")
    for name in ("headers", "cookies", "rel_url", "url", "forwarded", "host", "scheme"):
        assert getattr(request, name) is getattr(request, name)
        assert request._cache[name] is getattr(request, name)
    request.remote = "10.0.0.9"  # type: ignore[assignment]
    assert request.remote == "10.0.0.9"
    assert type(BaseRequest.url).__name__ == "fact"
    assert "URL" in str(BaseRequest.url.__doc__)


async def test_one_head_serves_many_requests() -> None:
    head = decoded_head(b"GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n")
    task: Any = None
    protocol: Any = FakeProtocol()
    one, other = (Request(head, EMPTY_PAYLOAD, protocol, None, task, asyncio.get_running_loop()) for _ in range(2))
    assert one.rel_url is other.rel_url
    assert one.path == other.path == "/a b"
    with pytest.raises(TypeError):
        one.headers["X"] = "y"  # type: ignore[index]


async def test_requests_are_themselves() -> None:
    one, other = make_request(), make_request()
    assert one == one
    assert one != other
    assert one != {}
    assert len({one, other, one}) == 2
    assert bool(one)


async def test_own_attributes_are_allowed() -> None:
    request = make_request()
    request.user = "me"
    assert request.user == "me"


async def test_the_protocol_is_asked_when_it_matters() -> None:
    transport = FakeTransport(cipher="none")
    protocol = FakeProtocol(transport=transport)
    request = make_request(protocol=protocol)
    assert request.protocol is protocol
    assert request.transport is transport
    assert request.get_extra_info("cipher") == "none"
    assert request.get_extra_info("other", 5) == 5
    protocol.transport = None
    assert request.transport is None
    assert request.get_extra_info("cipher", 5) == 5
    assert not request.shutting_down
    protocol.shutting_down = True
    assert request.shutting_down
    await request.wait_for_shutdown()
    await request.wait_for_disconnection()
    assert protocol.waited_for == ["shutdown", "disconnection"]


async def test_peer_that_has_gone() -> None:
    request = make_request(protocol=FakeProtocol(peername=()))
    assert request.remote is None


async def test_writer_is_made_when_it_is_used() -> None:
    request = make_request()
    writer = request.writer
    assert type(writer) is StreamWriter
    assert request.writer is writer
    given: Any = object()
    request = Request(decoded_head(b"GET / HTTP/1.0\r\n\r\n"), EMPTY_PAYLOAD, FakeProtocol(), given, given, given)  # type: ignore[arg-type]
    assert request.writer is given
    assert request.task is given


# ---- targets


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "*"),
        ("GET", "path"),
        ("GET", "host:80"),
        ("GET", "http:///path"),
        ("GET", "http://[::1"),
        ("GET", "http://h:99999/"),
        ("CONNECT", "/path"),
        ("CONNECT", "http://h/"),
        ("CONNECT", ":"),
        ("CONNECT", "[::1"),
    ],
)
def test_targets_of_no_form(method: str, target: str) -> None:
    with pytest.raises(ProtocolError, match="Bad request target") as caught:
        parse_target(method, target)
    assert (caught.value.slug, caught.value.status, caught.value.fault) == ("h1.line.target", 400, "peer")


def test_characters_outside_ascii_are_encoded() -> None:
    assert parse_target("GET", "/ф?ü#é").raw_path_qs == "/%D1%84?%C3%BC"
    assert parse_target("GET", "/\udcff%20").raw_path == "/%FF%20"


async def test_routing_path_outside_ascii() -> None:
    request = decode_request("GET /ф?x HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (request.routing_path, request.path, request.raw_path) == ("/%D1%84", "/ф", "/ф?x")


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ("", (False, False, None, False)),
        ("Connection: close\r\n", (True, False, None, False)),
        ("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n", (False, True, None, False)),
        ("Connection: upgrade\r\n", (False, False, None, False)),
        ("Upgrade: websocket\r\n", (False, False, None, False)),
        ("Content-Encoding: GZIP\r\nTransfer-Encoding: chunked\r\n", (False, False, "gzip", True)),
        ("Content-Encoding: zstd\r\nContent-Length: 3\r\n", (False, False, "zstd", False)),
        ("Content-Encoding: br, gzip\r\nContent-Length: 3\r\n", (False, False, None, False)),
        ("Content-Encoding: identity\r\nContent-Length: 3\r\n", (False, False, None, False)),
    ],
)
async def test_message(fields: str, facts: tuple[bool, bool, str | None, bool]) -> None:
    request = decode_request(f"POST /p?q HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode())
    with pytest.warns(DeprecationWarning, match=r"Request\.message"):
        message = request.message
    assert isinstance(message, tuple)
    assert (message.should_close, message.upgrade, message.compression, message.chunked) == facts
    assert (message.method, message.path, str(message.url)) == ("POST", "/p?q", "/p?q")
    assert message.headers == request.headers
    assert message.raw_headers == request.raw_headers
    assert (request.path, request.routing_path, request.keep_alive) == ("/p", "/p", not facts[0])


# ---- bodies


async def test_body_that_comes_in_pieces() -> None:
    stream = stream_of(b"abc", end=False)
    request = make_request("POST", payload=stream)
    reading = asyncio.ensure_future(request.text())
    await asyncio.sleep(0)
    stream.feed_data(b"def")
    await asyncio.sleep(0)
    stream.feed_eof()
    assert await reading == "abcdef"
    assert not request.can_read_body
    assert request.body_exists


@pytest.mark.parametrize("limit", [0, 100])
async def test_cancelled_reading_loses_nothing(limit: int) -> None:
    stream = stream_of(b"abc", end=False)
    request = make_request("POST", payload=stream, client_max_size=limit)
    for piece in (b"def", b"ghi"):
        reading = asyncio.ensure_future(request.read())
        await asyncio.sleep(0)
        stream.feed_data(piece)
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    stream.feed_eof()
    assert await request.read() == b"abcdefghi"


async def test_clone_during_reading_is_refused() -> None:
    request = make_request("POST", payload=stream_of(b"abc", end=False))
    reading = asyncio.ensure_future(request.read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(RuntimeError, match="after reading"):
        request.clone()


async def test_broken_body() -> None:
    stream = stream_of(b"abc", end=False)
    stream.set_exception(web.RequestPayloadError("the client has gone"))
    for limit in (0, 100):
        request = make_request("POST", payload=stream, client_max_size=limit)
        with pytest.raises(web.RequestPayloadError):
            await request.read()


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
async def test_content_gives_what_read_does_not(whole: bool) -> None:
    request = make_request("POST", payload=b"abcdef" if whole else stream_of(b"abcdef"))
    assert await request.content.read(2) == b"ab"
    assert request.can_read_body
    assert await request.read() == b"cdef"
    assert request.content.at_eof()
    assert not request.can_read_body
    assert await request.text() == "cdef"


async def test_content_after_read() -> None:
    request = make_request("POST", payload=b"abc")
    assert request.can_read_body
    assert await request.read() == b"abc"
    assert not request.can_read_body
    assert isinstance(request.content, StreamReader)
    assert await request.content.read() == b""
    assert await request.read() == b"abc"


async def test_release_forgets_the_body() -> None:
    stream = stream_of(b"abc", end=False)
    for request in (make_request("POST", payload=stream), make_request("POST", payload=b"abc"), make_request()):
        releasing = asyncio.ensure_future(request.release())
        await asyncio.sleep(0)
        stream.feed_data(b"def")
        stream.feed_eof()
        await releasing
        assert not request.can_read_body
        assert await request.read() == b""


async def test_json_with_another_decoder() -> None:
    request = make_request("POST", payload=b'{"a": 1}')
    assert await request.json(loads=lambda text: (type(text), text)) == (str, '{"a": 1}')


async def test_read_can_be_overridden() -> None:
    class Mine(Request):
        async def read(self) -> bytes:
            return b"a=1"

    request = make_request("POST", fields=FORM, payload=b"b=2", cls=Mine)
    assert await request.text() == "a=1"
    assert dict(await request.post()) == {"a": "1"}
    assert type(request.clone()) is Mine


# ---- limits


async def test_announced_length_is_refused_before_anything_comes() -> None:
    for fields in ([("Content-Length", "11")], [("Content-Length", "11"), *FORM]):
        for call in ("read", "text", "json", "post"):
            request = make_request("POST", "/", fields, payload=stream_of(end=False), client_max_size=10)
            if call == "post" and len(fields) == 1:
                continue
            with pytest.raises(web.HTTPRequestEntityTooLarge) as caught:
                await getattr(request, call)()
            assert caught.value.max_size == 10
            assert caught.value.actual_size == 11
            assert "client_max_size=10" in caught.value.__notes__[0]


async def test_announced_length_of_a_compressed_body_says_nothing() -> None:
    data = gzip.compress(b"ab")
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
    request = decode_request(head, payload=stream_of(b"ab"), client_max_size=10)
    assert await request.read() == b"ab"


async def test_a_length_that_is_no_number_says_nothing() -> None:
    request = make_request("POST", "/", [("Content-Length", "many")], payload=stream_of(b"ab"), client_max_size=10)
    assert await request.read() == b"ab"


async def test_what_was_too_large_stays_so() -> None:
    stream = stream_of(b"x" * 8, end=False)
    request = make_request("POST", payload=stream, client_max_size=10)
    reading = asyncio.ensure_future(request.read())
    await asyncio.sleep(0)
    stream.feed_data(b"x" * 8)
    for waited in (reading, request.read(), request.text()):
        with pytest.raises(web.HTTPRequestEntityTooLarge) as caught:
            await waited
        assert (caught.value.max_size, caught.value.actual_size) == (10, 16)
        stream.feed_eof() if not stream.is_eof() else None


async def test_announced_multipart_may_be_larger_than_its_values() -> None:
    body = upload(part("f", b"x" * 10, "f.bin"))
    request = make_request(
        "POST", "/", [*MULTIPART, ("Content-Length", str(len(body)))], payload=body, client_max_size=10
    )
    assert (await request.post())["f"].file.read() == b"x" * 10
    request.close_files()
    length = str(10 + MULTIPART_OVERHEAD + 1)
    request = make_request(
        "POST", "/", [*MULTIPART, ("Content-Length", length)], payload=stream_of(end=False), client_max_size=10
    )
    with pytest.raises(web.HTTPRequestEntityTooLarge):
        await request.post()


async def test_field_limit_is_told() -> None:
    for fields, body in ((FORM, b"a&b&c"), (MULTIPART, upload(part("a", b"1"), part("b", b"2"), part("c", b"3")))):
        request = make_request("POST", "/", fields, payload=body, client_max_fields=2)
        with pytest.raises(web.HTTPRequestEntityTooLarge) as caught:
            await request.post()
        assert caught.value.text == "Maximum number of form fields 2 exceeded."
        assert "client_max_fields=2" in caught.value.__notes__[0]


async def test_errors_without_the_servers_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_size_error", ValueError)
    request = make_request("POST", payload=b"x" * 11, client_max_size=10)
    with pytest.raises(ValueError, match="Maximum request body size 10 exceeded"):
        await request.read()


# ---- text


def test_unknown_charsets() -> None:
    for charset in ("bogus", "base64", "rot13", "a\0b", "punycode", "idna", "unicode_escape", "undefined", "é"):
        with pytest.raises(LookupError, match="unknown encoding") as caught:
            decode_text(b"text", charset)
        assert isinstance(caught.value, UnknownCharsetError)
        assert caught.value.status == 415
    assert decode_text(b"\xe9", "latin1") == decode_text(b"\xe9", "ISO-8859-1") == "é"


def test_a_charset_of_quadratic_time_is_not_known() -> None:
    started = time.perf_counter()
    with pytest.raises(LookupError):
        decode_text(b"a" * 500_000 + b"-" + b"b" * 500_000, "Punycode")
    assert time.perf_counter() - started < 5


def test_undecodable_text() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        decode_text(b"ab\xff", "utf-8")
    error = caught.value
    assert isinstance(error, UndecodableTextError)
    assert isinstance(error, ProtocolError)
    assert str(error) == "'utf-8' codec can't decode byte 0xff in position 2: invalid start byte"
    assert (error.status, error.fault, error.start, error.object) == (400, "peer", 2, b"ab\xff")
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), str(twin), twin.status) == (type(error), str(error), 400)
    twin = pickle.loads(pickle.dumps(UnknownCharsetError("x")))
    assert (str(twin), twin.status) == ("unknown encoding: x", 415)


# ---- uploads


async def test_small_files_stay_in_memory_and_large_ones_go_to_disk() -> None:
    small, large = b"s" * 1000, os.urandom(forms.MAX_FILE_IN_MEMORY + 100_000)
    body = upload(part("small", small, "s"), part("text", b"word"), part("large", large, "l"))
    request = make_request("POST", "/", MULTIPART, payload=stream_of(body), client_max_size=2**22)
    assert not request.holds_files
    form = await request.post()
    assert request.holds_files
    assert await request.post() is form
    files = form["small"].file, form["large"].file
    assert [file._rolled for file in files] == [False, True]
    assert [file.read() for file in files] == [small, large]
    assert form["text"] == "word"
    request.close_files()
    request.close_files()
    assert [file.closed for file in files] == [True, True]


async def test_reading_a_form_does_not_keep_the_loop_when_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    here = asyncio.get_running_loop()
    submitted: list[Any] = []
    run_in_executor = here.run_in_executor

    class Loop:
        def run_in_executor(self, executor: Any, function: Any, *args: Any) -> Any:
            submitted.append(function.__name__)
            return run_in_executor(executor, function, *args)

    monkeypatch.setattr(forms, "MAX_FILE_IN_MEMORY", 1000)
    request = make_request(
        "POST", "/", MULTIPART, payload=upload(part("f", b"x" * 999, "f"), part("g", b"x" * 1001, "g"))
    )
    request._loop = Loop()
    form = await request.post()
    assert submitted == ["write", "seek"]
    assert len(form["g"].file.read()) == 1001
    request.close_files()


@pytest.mark.parametrize(
    "last",
    [part("b", b"\xff"), b"--BB\r\nX: y\r\n\r\nz\r\n", b"--BB\r\nbroken", part("f", b"x" * 4000, "f")],
    ids=["text", "name", "head", "size"],
)
async def test_files_are_closed_when_anything_fails(last: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    files = watch_files(monkeypatch)
    body = upload(part("f", b"x" * 1000, "f"), part("g", b"y" * 2000, "g"), last)
    request = make_request("POST", "/", MULTIPART, payload=stream_of(body), client_max_size=5000)
    with pytest.raises(Exception):
        await request.post()
    assert len(files) >= 2
    assert all(file.closed for file in files)


def watch_files(monkeypatch: pytest.MonkeyPatch, size: int = 500) -> list[Any]:
    """Collect the temporary files that are made, which go to disk early."""
    files: list[Any] = []
    make = forms.SpooledTemporaryFile

    def watched(**options: Any) -> Any:
        files.append(make(**options))
        return files[-1]

    monkeypatch.setattr(forms, "SpooledTemporaryFile", watched)
    monkeypatch.setattr(forms, "MAX_FILE_IN_MEMORY", size)
    return files


async def test_files_are_closed_when_the_client_stalls_and_the_handler_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = watch_files(monkeypatch)
    stream = stream_of(part("f", b"x" * 1000, "f"), part("g", b"y" * 2000, "g")[:-100], end=False)
    request = make_request("POST", "/", MULTIPART, payload=stream)
    reading = asyncio.ensure_future(request.post())
    await until(lambda: len(files) == 2 and files[0]._rolled)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await until(lambda: all(file.closed for file in files))
    assert not request.holds_files


async def test_files_are_closed_after_the_thread_that_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    files = watch_files(monkeypatch)
    writing, go_on = threading.Event(), threading.Event()
    make = forms.SpooledTemporaryFile

    def slow(**options: Any) -> Any:
        file = make(**options)
        write = file.write

        def wait_and_write(data: bytes) -> int:
            writing.set()
            go_on.wait(10)
            return write(data)

        file.write = wait_and_write  # type: ignore[method-assign,assignment]
        return file

    monkeypatch.setattr(forms, "SpooledTemporaryFile", slow)
    request = make_request("POST", "/", MULTIPART, payload=upload(part("f", b"x" * 1000, "f")))
    reading = asyncio.ensure_future(request.post())
    await until(writing.is_set)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not files[0].closed, "a thread is writing to it"
    go_on.set()
    await until(lambda: files[0].closed)


async def test_a_form_after_reading_the_body() -> None:
    body = upload(part("a", b"1"))
    for payload in (body, stream_of(body)):
        request = make_request("POST", "/", MULTIPART, payload=payload)
        assert await request.read() == body
        assert dict(await request.post()) == {"a": "1"}
        assert await request.read() == body


async def test_form_errors_are_the_clients_fault() -> None:
    for body in (b"garbage", b"--BB\r\nX: y\r\n\r\nz\r\n--BB--", upload(part("a", b"\xff"))):
        request = make_request("POST", "/", MULTIPART, payload=body)
        with pytest.raises(ValueError) as caught:
            await request.post()
        assert isinstance(caught.value, ProtocolError)
        assert (caught.value.fault, caught.value.status) == ("peer", 400)


async def test_multipart_without_limit() -> None:
    request = make_request("POST", "/", MULTIPART, payload=upload(part("a", b"x" * 50)), client_max_size=0)
    reader = await request.multipart()
    first: Any = await reader.next()
    assert len(await first.read()) == 50


def test_file_fields_are_values() -> None:
    file: Any = object()
    headers: Any = None
    one, twin = (FileField("n", "f", file, "text/plain", headers) for _ in range(2))
    assert one == twin
    assert hash(one) == hash(twin)
    assert one != FileField("n", "g", file, "text/plain", headers)
    assert one.__eq__(5) is NotImplemented
    assert repr(one) == f"FileField(name='n', filename='f', file={file!r}, content_type='text/plain', headers=None)"
    for change in (lambda: setattr(one, "name", "x"), lambda: delattr(one, "name")):
        with pytest.raises(AttributeError):
            change()


# ---- the mapping


async def test_mapping() -> None:
    key = RequestKey("key", int)
    request = make_request()
    with pytest.raises(KeyError):
        del request[key]
    request[key] = 1
    assert (request[key], list(request), dict(request), key in request) == (1, [key], {key: 1}, True)
    assert request.setdefault(key, 2) == 1
    del request[key]
    assert len(request) == 0
    state: dict[Any, Any] = {}
    request = make_request(state=state)
    request[key] = 1
    assert state == {key: 1}
    clone = request.clone()
    request[RequestKey("late", int)] = 2
    assert list(clone) == [key]


async def test_other_keys_are_warned_of_once_and_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseRequest, "_seen_str_keys", set())
    request = make_request()
    with pytest.warns(web.NotAppKeyWarning, match="the key was 'word'"):
        request["word"] = 1
    request["word"] = 2
    make_request()["word"] = 3
    BaseRequest._seen_str_keys.update(range(MAX_KEYS_REMEMBERED))
    request["other"] = 1
    assert len(BaseRequest._seen_str_keys) == MAX_KEYS_REMEMBERED + 1


# ---- clones


async def test_a_clone_of_a_clone_keeps_what_was_replaced() -> None:
    request = make_request("GET", "/", [("Host", "h")])
    clone = request.clone(scheme="https", host="proxy.example", remote="10.0.0.1").clone(method="POST")
    assert (clone.method, clone.scheme, clone.host, clone.remote) == ("POST", "https", "proxy.example", "10.0.0.1")
    assert str(clone.url) == "https://proxy.example/"
    assert clone.clone(headers={"X": "y"}).host == "proxy.example"
    assert clone.clone(headers={"Host": "other"}).host == "other"
    assert clone.clone(rel_url="http://target.example/").host == "target.example"
    assert clone.clone(rel_url="/x").host == "proxy.example"


async def test_a_clone_shares_the_body_and_the_route() -> None:
    request = make_request("POST", payload=stream_of(b"abc"))
    match_info: Any = object()
    request.set_match_info(match_info)
    clone = request.clone()
    assert clone.match_info is match_info
    assert clone.protocol is request.protocol
    assert await clone.read() == b"abc"
    assert await request.read() == b""
    assert request.clone().method == "POST"


# ---- applications


class FakeApp(dict[Any, Any]):
    def __init__(self, name: str, calls: list[Any] | None = None) -> None:
        super().__init__(name=name, **{name: True})
        self.on_response_prepare = FakeSignal(name, calls)


class FakeSignal:
    def __init__(self, name: str, calls: list[Any] | None) -> None:
        self.name = name
        self.calls = calls

    def __bool__(self) -> bool:
        return self.calls is not None

    async def send(self, request: Any, response: Any) -> None:
        assert self.calls is not None
        self.calls.append((self.name, request, response))


class FakeMatchInfo:
    def __init__(self, *apps: FakeApp) -> None:
        self.apps = apps
        self.current_app = apps[-1]


async def test_unresolved_requests_have_no_application() -> None:
    request = make_request()
    for name in ("match_info", "app", "config_dict"):
        with pytest.raises(AssertionError, match="not resolved"):
            getattr(request, name)
    assert not hasattr(make_request(cls=BaseRequest), "match_info")


async def test_application_and_those_around_it() -> None:
    request = make_request()
    outer, middle, inner = FakeApp("outer"), FakeApp("middle"), FakeApp("inner")
    match_info = FakeMatchInfo(outer, middle, inner)
    request.set_match_info(match_info)
    assert request.app is inner
    assert request.config_dict["name"] == "inner"
    assert set(request.config_dict) == {"name", "outer", "middle", "inner"}
    match_info.current_app = middle
    assert request.app is middle
    assert request.config_dict["name"] == "middle"
    assert "inner" not in request.config_dict


def test_chained_mappings() -> None:
    one, other = {"a": 1, "both": 1}, {"both": 2, "b": 3}
    chain = ChainMapProxy(mapping for mapping in (one, other))
    assert (chain["both"], chain["b"], chain.get("none"), chain.get("none", 5)) == (1, 3, None, 5)
    assert dict(chain) == {"a": 1, "both": 1, "b": 3}
    assert (len(chain), "a" in chain, "none" in chain) == (3, True, False)
    assert repr(chain) == "ChainMapProxy({'a': 1, 'both': 1}, {'both': 2, 'b': 3})"
    assert chain
    assert not ChainMapProxy([{}])
    with pytest.raises(KeyError, match="none"):
        chain["none"]
    other["late"] = 4
    assert chain["late"] == 4
    with pytest.raises(TypeError, match="Inheritance class Mine from ChainMapProxy is forbidden"):
        type("Mine", (ChainMapProxy,), {})


# ---- header fields


async def test_conditions() -> None:
    request = make_request("GET", "/", [("If-Match", "*"), ("If-None-Match", 'W/"a", "b"'), ("Range", "bytes=1-2")])
    assert request.if_match == (ETag("*"),)
    assert request.if_none_match == (ETag("a", True), ETag("b"))
    assert request.http_range == slice(1, 3, 1)
    assert make_request().if_match is None


def test_names() -> None:
    assert fairlead.web.FileField is FileField
    assert fairlead.web.Request is Request
    assert BaseRequest.ATTRS <= Request.ATTRS
