"""The scripted server tells the truth about what came, and fails the test when the script is not followed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from tests.peers.raw import (
    RawConnection,
    TranscriptMismatch,
    answering,
    chunks,
    parse_transcript,
    raw_server,
    response,
    transcript,
)


async def talk(port: int, data: bytes, n: int = -1) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await (reader.read(n) if n < 0 else reader.readexactly(n))
    finally:
        writer.close()


async def test_requests_are_recorded_with_their_framing() -> None:
    ok = response(200, b"ok")
    async with raw_server(answering(ok, ok, then_close=True)) as server:
        body = b"POST /a HTTP/1.1\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(
            b"ab", b"c", trailer=b"T: v\r\n"
        )
        got = await talk(server.port, body + b"PUT /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nxy")
        assert got == ok + ok
        first, second = server.requests
        assert (first.method, first.target, first.body, first.trailer) == ("POST", "/a", b"abc", b"T: v\r\n")
        assert first.raw == body
        assert first.fields == [("X-A", "1"), ("Transfer-Encoding", "chunked")]
        assert (second.line, second.body) == ("PUT /b HTTP/1.1", b"xy")


async def test_none_closes_without_an_answer() -> None:
    async with raw_server(answering(None)) as server:
        assert await talk(server.port, b"GET / HTTP/1.1\r\n\r\n") == b""
        assert [c.received for c in server.connections] == [b"GET / HTTP/1.1\r\n\r\n"]


async def test_reset_is_seen_as_a_reset() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        connection.reset()

    async with raw_server(handler) as server:
        with pytest.raises(ConnectionResetError):
            await talk(server.port, b"GET / HTTP/1.1\r\n\r\n")


async def test_a_transcript_is_followed() -> None:
    script = r"""
        # one exchange, then the end
        C: GET /x HTTP/1.1
        C: *
        S: HTTP/1.1 200 OK
        S: Content-Length: 3
        S:
        S: a\x00b\
        S! close
    """
    async with raw_server(transcript(script)) as server:
        got = await talk(server.port, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        assert got == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na\x00b"


async def test_a_departure_from_the_transcript_fails_the_test() -> None:
    with pytest.raises(TranscriptMismatch, match="step 0: expected b'GET /x"):
        async with raw_server(transcript("C: GET /x HTTP/1.1")) as server:
            await talk(server.port, b"GET /y HTTP/1.1\r\n\r\n")


async def test_a_failing_handler_fails_the_test() -> None:
    async def handler(connection: RawConnection) -> None:
        raise LookupError("in the handler")

    with pytest.raises(LookupError, match="in the handler"):
        async with raw_server(handler) as server:
            with suppress(ConnectionError):
                await talk(server.port, b"x")


def test_transcript_lines_of_no_side_are_refused() -> None:
    with pytest.raises(ValueError, match="starts with 'C:'"):
        parse_transcript("X: nonsense")
