"""Responses: their facts, their bodies, and how they let go of their connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.peers.http import http_server
from tests.peers.raw import RawConnection, answering, chunks, raw_server, response
from tests.peers.turns import until
from yarl import URL

import fairlead

OK = response(200, b"ok")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


async def one(data: bytes, **options: Any) -> fairlead.ClientResponse:
    """The response to one request, its session closed."""
    async with raw_server(answering(data, close=True)) as server, fairlead.ClientSession(**options) as session:
        async with session.get(server.url) as answer:
            await answer.read()
        return answer


# --- facts -----------------------------------------------------------------------------------------------------------


async def test_facts_outlive_the_session() -> None:
    answer = await one(
        response(
            299,
            b"[1]",
            ("Content-Type", "application/json; charset=latin-1"),
            ("X-Two", "a"),
            ("x-two", "b"),
            ("Set-Cookie", "c=d; Path=/"),
            ("Content-Disposition", 'attachment; filename="a.txt"'),
            ("Link", '</next>; rel="next"'),
            reason="Fine",
        )
    )
    assert (answer.status, answer.reason, answer.version, answer.ok) == (299, "Fine", (1, 1), True)
    assert (answer.content_type, answer.charset, answer.content_length) == ("application/json", "latin-1", 3)
    assert answer.headers.getall("X-TWO") == ["a", "b"]
    assert (b"X-Two", b"a") in answer.raw_headers
    assert (b"x-two", b"b") in answer.raw_headers
    assert answer.cookies["c"].value == "d"
    assert answer.content_disposition is not None
    assert answer.content_disposition.filename == "a.txt"
    assert answer.links["next"]["url"] == answer.url.join(URL("/next"))
    assert answer.host == "127.0.0.1"
    assert answer.request_info.headers["Host"] == f"127.0.0.1:{answer.url.port}"
    assert await answer.json() == [1]
    assert "299 Fine" in repr(answer)
    assert answer.history == ()


async def test_headers_can_not_be_changed() -> None:
    answer = await one(OK)
    with pytest.raises(TypeError):
        answer.headers["X"] = "1"  # type: ignore[index]


# --- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [0, 1, 70_000, 1_500_000])
@pytest.mark.parametrize("how", ["read", "content.read", "iter_chunked", "iter_any", "readany", "stepwise"])
async def test_bodies_read_in_every_way_are_the_same(wire: str, size: int, how: str) -> None:
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    if wire == "chunked":
        pieces = [body[at : at + 50_000] for at in range(0, size, 50_000)]
        data = response(200, chunks(*pieces), ("Transfer-Encoding", "chunked"), length=False)
    elif wire == "length":
        data = response(200, body)
    else:
        data = response(200, body, length=False)
    async with raw_server(answering(data, close=wire == "close")) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            async with session.get(server.url) as answer:
                content = answer.content
                if how == "read":
                    got = await answer.read()
                elif how == "content.read":
                    got = await content.read()
                elif how == "iter_chunked":
                    got = b"".join([piece async for piece in content.iter_chunked(10_000)])
                elif how == "iter_any":
                    got = b"".join([piece async for piece in content.iter_any()])
                elif how == "readany":
                    got = b""
                    while not content.at_eof():
                        got += await content.readany()
                else:
                    got = b""
                    while piece := await content.read(9_999):
                        got += piece
                assert got == body
                assert content.at_eof()
        assert session.connector.in_use == 0
        assert len(server.connections) == (2 if wire == "close" else 1)


async def test_a_slow_reader_holds_the_server_back() -> None:
    sent = 0

    async def handler(connection: RawConnection) -> None:
        nonlocal sent
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(2000):
            await connection.send(chunks(b"x" * 10_000, end=False))
            sent += 10_000
        await connection.send(chunks())

    async with raw_server(handler) as server, fairlead.ClientSession(read_bufsize=2**14) as session:
        async with session.get(server.url) as answer:
            assert len(await answer.content.read(100)) == 100
            before = -1
            while before != sent:  # until nothing moves any more
                before = sent
                for _ in range(50):
                    await asyncio.sleep(0)
            assert sent < 20_000_000
            total = 100
            async for piece in answer.content.iter_any():
                total += len(piece)
            assert total == 20_000_000


async def test_json() -> None:
    document = json.dumps({"a": [1, "é"]}).encode()
    assert await (await one(response(200, document, ("Content-Type", "application/json")))).json() == {"a": [1, "é"]}
    answer = await one(response(200, document, ("Content-Type", "text/plain")))
    with pytest.raises(fairlead.ContentTypeError, match="unexpected mimetype: text/plain") as caught:
        await answer.json()
    assert caught.value.status == 200
    assert await answer.json(content_type=None) == {"a": [1, "é"]}
    assert await answer.json(content_type="text/plain", loads=len) == len(document.decode())
    broken = await one(response(200, b"{", ("Content-Type", "application/json")))
    with pytest.raises(json.JSONDecodeError):
        await broken.json()
    assert await (await one(response(200, b"  ", ("Content-Type", "application/json")))).json() is None


async def test_text_and_the_charset_of_last_resort() -> None:
    asked: list[bytes] = []

    def resolver(answer: fairlead.ClientResponse, body: bytes) -> str:
        asked.append(body)
        return "latin-1"

    answer = await one(response(200, b"gr\xfc\xdfe"), fallback_charset_resolver=resolver)
    assert await answer.text() == "grüße"
    assert asked == [b"gr\xfc\xdfe"]
    assert await answer.text(encoding="cp1252") == "grüße"
    answer = await one(response(200, b"gr\xfc\xdfe", ("Content-Type", "text/plain; charset=utf-8")))
    with pytest.raises(UnicodeDecodeError):
        await answer.text()
    assert await answer.text(errors="replace") == "gr\ufffd\ufffde"


async def test_read_is_once_and_for_all() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as answer:
            first = await answer.read()
            assert await answer.read() is first
            assert await answer.content.read() == b""


async def test_two_readers_at_a_time_are_refused() -> None:
    async with raw_server(answering(HALF[:-4])) as server, fairlead.ClientSession() as session:
        async with session.get(server.url) as answer:
            first = asyncio.ensure_future(answer.content.read())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another coroutine is already waiting"):
                await answer.content.read(5)
            first.cancel()
            await asyncio.wait([first])


@pytest.mark.parametrize("data", [HALF, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"])
async def test_a_body_that_ends_early_is_never_taken_for_a_whole_one(data: bytes) -> None:
    async with raw_server(answering(data, close=True)) as server, fairlead.ClientSession() as session:
        for read in ("read", "text", "json", "chunks"):
            with pytest.raises(fairlead.ClientPayloadError, match="not completed"):
                async with session.get(server.url) as answer:
                    if read == "chunks":
                        async for _ in answer.content.iter_any():
                            pass
                    else:
                        await getattr(answer, read)()
            assert session.connector.in_use == 0


# --- letting go ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["release", "await release", "close", "wait_for_close", "context"])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("options", [{}, {"headers": {"X": "1"}}], ids=["short path", "long path"])
async def test_every_way_of_letting_go(how: str, whole: bool, options: dict[str, Any]) -> None:
    async with raw_server(answering(OK if whole else HALF)) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            answer = await session.get(server.url, **options)
            if whole:
                await until(answer.content.is_eof, "the body has been received")
            if how == "release":
                answer.release()
            elif how == "await release":
                await answer.release()
            elif how == "close":
                answer.close()
            elif how == "wait_for_close":
                await answer.wait_for_close()
            else:
                async with answer:
                    pass
            assert answer.closed
            assert session.connector.in_use == 0
            answer.release()  # again, without harm
            answer.close()
        assert len(server.connections) == (1 if whole else 2)


async def test_a_connection_is_free_as_soon_as_the_body_has_come() -> None:
    """The caller need not have read it."""
    async with raw_server(answering(OK)) as server:
        async with fairlead.ClientSession(connector=fairlead.TCPConnector(limit=1)) as session:
            answers = [await session.get(server.url) for _ in range(5)]
            for answer in answers:
                assert await answer.read() == b"ok"
            assert len(server.connections) == 1


async def test_wait_for_close_lets_the_upload_end() -> None:
    done = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await done.wait()
        yield b"two"

    async def handler(connection: RawConnection) -> None:
        request = await connection.head()
        assert request is not None
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await connection.body(request)
        await connection.until(b"never")

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        answer = await session.post(server.url, data=pieces())
        waiting = asyncio.ensure_future(answer.wait_for_close())
        await asyncio.sleep(0)
        assert not waiting.done()
        done.set()
        await waiting
        await until(lambda: server.requests[0].body == b"onetwo", "the body has arrived")
        assert session.connector.in_use == 0


# --- statuses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 301, 304, 399, 400, 404, 499, 500, 599])
async def test_raise_for_status(status: int) -> None:
    body = b"" if status in (204, 304) else b"text"
    answer = await one(response(status, body, ("X", "1"), reason="Why", length=status not in (204, 304)))
    assert answer.ok is (status < 400)
    if status < 400:
        answer.raise_for_status()
        return
    with pytest.raises(fairlead.ClientResponseError) as caught:
        answer.raise_for_status()
    error = caught.value
    assert (error.status, error.message, error.body) == (status, "Why", b"text")
    assert error.headers is not None
    assert error.headers["X"] == "1"
    assert str(error) == f"{status}, message='Why', url='{answer.url}'"


async def test_raise_for_status_in_a_block_leaves_the_body_to_be_read() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        async with session.get(server.url / "status/404") as answer:
            with pytest.raises(fairlead.ClientResponseError):
                answer.raise_for_status()
            assert await answer.text() == "status 404"


async def test_raise_for_status_outside_of_a_block_gives_the_connection_back() -> None:
    half = HALF.replace(b"200 OK", b"500 Oops")
    async with raw_server(answering(half)) as server, fairlead.ClientSession() as session:
        answer = await session.get(server.url)
        with pytest.raises(fairlead.ClientResponseError) as caught:
            answer.raise_for_status()
        assert session.connector.in_use == 0
        assert caught.value.body in (b"", b"half")


# --- made by hand ----------------------------------------------------------------------------------------------------


async def test_a_response_made_by_hand_as_test_doubles_do() -> None:
    answer = fairlead.ClientResponse(
        "GET",
        URL("http://a.test/p#f"),
        writer=None,
        continue100=None,
        timer=None,
        request_info=None,
        traces=[],
        loop=asyncio.get_running_loop(),
        session=None,
    )
    assert (str(answer.url), str(answer.real_url)) == ("http://a.test/p", "http://a.test/p#f")
    answer.status = 200
    answer.reason = "OK"
    answer._headers = {"Content-Type": "application/json"}  # type: ignore[assignment]
    answer._body = b'{"a": 1}'
    assert await answer.json() == {"a": 1}
    assert await answer.text() == '{"a": 1}'
    assert answer.closed
    answer.release()
    async with answer:
        pass
