"""Requests: from arguments to bytes, and the upload that goes on beside the response."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from multidict import CIMultiDict
from tests.peers.http import http_server
from tests.peers.raw import RawConnection, answering, raw_server, response
from tests.peers.turns import until
from yarl import URL

import fairlead
from fairlead.client.request import SMALL_BODY, ClientRequest, UploadTracker, checked_coding, checked_method

OK = response(200, b"ok")
HERE = URL("http://a.test/p?q=1#f")


def made(method: str = "GET", url: URL = HERE, **options: Any) -> ClientRequest:
    return ClientRequest(method, url, loop=asyncio.get_running_loop(), **options)


# --- what is built ---------------------------------------------------------------------------------------------------


async def test_the_fields_stand_in_one_order() -> None:
    request = made("POST", headers={"X-Own": "1", "User-Agent": "me"}, cookies={"a": "b"}, data=b"abc", expect100=True)
    assert request.encode_head().decode().split("\r\n") == [
        "POST /p?q=1 HTTP/1.1",
        "Host: a.test",
        "X-Own: 1",
        "User-Agent: me",
        "Accept: */*",
        f"Accept-Encoding: {request.headers['Accept-Encoding']}",
        "Cookie: a=b",
        "Content-Length: 3",
        "Content-Type: application/octet-stream",
        "Expect: 100-continue",
        "",
        "",
    ]


async def test_what_a_request_says_of_itself() -> None:
    request = made("get", URL("https://höst.test/p#f"), params={"a": "1"}, headers={"Host": "other.test"})
    assert request.method == "GET"
    assert (str(request.url), str(request.original_url)) == (
        "https://xn--hst-sna.test/p?a=1",
        "https://xn--hst-sna.test/p?a=1#f",
    )
    assert (request.host, request.port, request.is_ssl(), request.ssl) == ("xn--hst-sna.test", 443, True, True)
    assert request.headers["Host"] == "other.test"
    assert request.body == b""
    assert request.response is None
    assert request.request_info.real_url == request.original_url
    assert str(request) == f"GET {request.original_url}"
    assert request.connection_key.host == "xn--hst-sna.test"
    assert request.connection_key == made(url=URL("https://xn--hst-sna.test/other")).connection_key


async def test_keys_of_connections_tell_what_can_not_share_one() -> None:
    plain = made().connection_key
    for other in (
        made(url=URL("http://b.test/p")),
        made(url=URL("http://a.test:81/p")),
        made(url=URL("https://a.test:80/p")),
        made(ssl=False),
        made(proxy=URL("http://proxy.test/")),
        made(server_hostname="b.test"),
    ):
        assert other.connection_key != plain


@pytest.mark.parametrize("method", ["GET\r\n", "GE T", "", "GÉT", "GET/"])
def test_wrong_methods(method: str) -> None:
    with pytest.raises(ValueError, match="Method cannot contain non-token characters"):
        checked_method(method)


def test_codings() -> None:
    assert [checked_coding(value) for value in (None, False, True, "gzip", "br", "zstd")] == [
        None,
        None,
        "deflate",
        "gzip",
        "br",
        "zstd",
    ]
    with pytest.raises(ValueError, match="compress must be True or one of deflate, gzip, br, zstd, got 'lzma'"):
        checked_coding("lzma")


async def test_lengths_and_codings_that_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="chunked can not be set if Content-Length header is set"):
        made("POST", data=b"abc", chunked=True, headers={"Content-Length": "3"})
    with pytest.raises(ValueError, match="compress can not be set if Content-Encoding header is set"):
        made("POST", data=b"abc", compress="gzip", headers={"Content-Encoding": "gzip"})
    with pytest.raises(ValueError, match="Invalid Content-Length header"):
        made("POST", data=b"abc", headers={"Content-Length": "three"}).check()


async def test_forbidden_characters_are_found_before_a_connection_is_made() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        for headers in ({"A": "b\r\nEvil: 1"}, {"A": "b\0"}, {"A\r\nEvil": "1"}, {"A ": "1"}):
            with pytest.raises(ValueError):
                await session.get(server.url, headers=headers)
        assert server.connections == []


# --- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, SMALL_BODY - 1, SMALL_BODY, SMALL_BODY + 1, 1_000_000])
@pytest.mark.parametrize("options", [{}, {"headers": {"X": "1"}}, {"chunked": True}, {"compress": "gzip"}], ids=str)
async def test_bodies_of_every_size_arrive(size: int, options: dict[str, Any]) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            async with session.post(server.url, data=body, **options) as answer:
                assert await answer.read() == b"ok"
        for request in server.requests:
            sent = request.body
            if request.field("Content-Encoding"):
                import gzip

                sent = gzip.decompress(sent)
            assert sent == body
        assert len(server.connections) == 1


async def test_a_source_longer_than_announced_is_cut_and_a_shorter_one_fails() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"def"

    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        async with session.post(server.url, data=pieces(), headers={"Content-Length": "4"}) as answer:
            assert await answer.read() == b"ok"
        assert server.requests[0].body == b"abcd"


@pytest.mark.parametrize("kind", [ValueError, OSError, asyncio.CancelledError])
async def test_a_source_that_fails(kind: type[BaseException]) -> None:
    """The caller is told what went wrong in its own source; nothing looks like a complete request."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"
        raise kind("my own")

    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        with pytest.raises(fairlead.ClientConnectionError) as caught:
            await asyncio.wait_for(session.post(server.url, data=pieces()), 10)
        if kind is not asyncio.CancelledError:
            assert "my own" in str(caught.value)
            assert isinstance(caught.value.__cause__, kind)
        assert session.connector.in_use == 0
        assert server.requests[-1].wire_body == b""  # it never came to its end


async def test_an_answer_that_begins_before_the_upload_ends() -> None:
    """Both directions at once: the server answers each piece as it comes."""

    async def handler(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (size := int(await connection.until(b"\r\n"), 16)) > 0:
            piece = (await connection.exactly(size + 2))[:-2].upper()
            await connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await connection.until(b"\r\n")
        await connection.send(b"0\r\n\r\n")
        await connection.until(b"never")

    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        for word in (b"two", b"three"):
            assert (await answers.get()).isupper()
            yield word

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        async with session.post(server.url, data=pieces()) as answer:
            seen = []
            async for piece in answer.content.iter_any():
                seen.append(piece)
                answers.put_nowait(piece)
            assert seen == [b"ONE", b"TWO", b"THREE"]
        assert session.connector.idle == 1


async def test_a_body_that_is_text_is_sent_as_text() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        for data, kind in (("grüße", "text/plain; charset=utf-8"), (io.StringIO("grüße"), "text/plain; charset=utf-8")):
            async with session.post(server.url / "echo", data=data) as answer:
                seen = await answer.json()
            assert seen["body"].encode("latin-1") == "grüße".encode()
            assert dict(seen["fields"])["Content-Type"] == kind


async def test_update_body_sets_the_fields_anew() -> None:
    request = made("POST", data=b"abc")
    await request.update_body(b"longer")
    assert request.headers["Content-Length"] == "6"

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    await request.update_body(pieces())
    assert "Content-Length" not in request.headers
    assert request.headers["Transfer-Encoding"] == "chunked"
    await request.update_body({"a": "b"})
    assert request.headers["Content-Length"] == "3"
    assert "Transfer-Encoding" not in request.headers


# --- trackers --------------------------------------------------------------------------------------------------------


async def test_a_tracker_watches_the_body() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            seen.append(tracker.bytes_written)
            yield b"x" * 1000

    seen: list[int] = []
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        tracker = UploadTracker()
        assert (tracker.attempts, tracker.bytes_written, tracker.upload_complete.done()) == (0, 0, False)
        async with session.post(server.url, data=pieces(), upload_tracker=tracker) as answer:
            await answer.read()
        assert tracker.attempts == 1
        assert await tracker.upload_complete is None
        assert seen == sorted(seen)
        assert seen[-1] >= 3000
        assert tracker.bytes_written >= 4000
        with pytest.raises(RuntimeError, match="An UploadTracker observes one request"):
            await session.post(server.url, data=b"abc", upload_tracker=tracker)


@pytest.mark.parametrize("data", [None, b"abc", b"x" * 200_000], ids=["none", "small", "large"])
async def test_a_tracker_of_any_body(data: bytes | None) -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        tracker = UploadTracker()
        async with session.put(server.url, data=data, upload_tracker=tracker) as answer:
            await answer.read()
        assert tracker.attempts == 1
        assert tracker.upload_complete.done()
        assert tracker.upload_complete.exception() is None
        assert tracker.bytes_written == len(data or b"")


async def test_a_tracker_across_redirects() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        tracker = UploadTracker()
        url = (server.url / "redirect/2").with_query(status="307")
        async with session.post(url, data=b"x" * 100_000, upload_tracker=tracker) as answer:
            assert (await answer.json())["length"] == 100_000
        assert tracker.attempts == 3
        assert tracker.upload_complete.exception() is None


@pytest.mark.parametrize("how", ["refused", "disconnected", "cancelled", "wrong"])
async def test_a_tracker_of_a_call_that_fails_is_told(how: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    async def silent(connection: RawConnection) -> None:
        await connection.head()
        if how != "disconnected":
            await connection.until(b"never")

    async with raw_server(silent) as server, fairlead.ClientSession() as session:
        tracker = UploadTracker()
        url = {"refused": "http://127.0.0.1:1/", "wrong": "ftp://a.test/"}.get(how, str(server.url))
        task = asyncio.ensure_future(session._request("POST", url, data=endless(), upload_tracker=tracker))
        if how == "cancelled":
            await until(lambda: server.requests, "the request has arrived")
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or isinstance(task.exception(), fairlead.ClientError)
        if how == "wrong":
            assert not tracker.upload_complete.done()  # nothing was begun
        else:
            with pytest.raises(fairlead.UploadAbortedError, match="never fully sent"):
                await asyncio.wait_for(asyncio.shield(tracker.upload_complete), 5)


def test_a_tracker_needs_a_loop() -> None:
    with pytest.raises(RuntimeError):
        UploadTracker()


# --- sending by hand, as connectors and middlewares of one's own do ---------------------------------------------------


async def test_a_request_may_be_sent_by_hand() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        request = ClientRequest(
            "POST", server.url, data=b"abc", headers=CIMultiDict(), loop=session.loop, session=session
        )
        connection = await session.connector.connect(request, [], fairlead.ClientTimeout())
        answer = await request.send(connection)
        assert request.response is answer
        await answer.start(connection)
        assert (answer.status, await answer.read()) == (200, b"ok")
        assert session.connector.in_use == 0
        await request.close()


async def test_terminate_gives_the_response_up() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        async with session.get(server.url / "stall/10") as answer:
            answer.request.terminate()
            connector = session.connector
            if answer.request.response is None:  # it was sent without a request object
                assert connector.in_use == 1
        assert connector.in_use == 0
