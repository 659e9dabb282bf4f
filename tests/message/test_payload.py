"""Bodies from asynchronous sources, and which payload a value gets."""

from __future__ import annotations

import asyncio
import io
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.message.bodies import OURS, Collector, oracle, stream, written

from fairlead.message import payload
from fairlead.message.payload import AsyncIterablePayload, StreamReaderPayload, get_payload, streamer


async def two() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"cd"


class Again:
    """An iterable that can be iterated more than once."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return two()


@pytest.mark.parametrize("length", [None, 0, 1, 2, 3, 100])
@pytest.mark.parametrize("source", [two, Again])
async def test_iterable_as_the_oracle(source: Any, length: int | None) -> None:
    seen = []
    for lib in (OURS, oracle()):
        body = lib.payload.get_payload(source())
        assert type(body).__name__ == "AsyncIterablePayload"
        seen.append([body.size, list(body.headers.items()), body.autoclose, body.consumed, await written(body, length)])
    assert seen[0] == seen[1]
    assert seen[0][-1] == b"abcd"[:length]


async def test_used_up_once_it_was_sent() -> None:
    body = get_payload(two())
    assert not body.consumed
    assert await written(body) == b"abcd"
    assert body.consumed
    assert await written(body) == b""
    assert await body.as_bytes() == b""
    with pytest.raises(TypeError, match=r"Call as_bytes\(\) first"):
        body.decode()


async def test_used_up_even_when_only_a_part_was_sent() -> None:
    body = get_payload(two())
    assert await written(body, 1) == b"a"
    assert body.consumed


async def test_kept_by_as_bytes() -> None:
    body = get_payload(two())
    assert await body.as_bytes() == b"abcd"
    assert not body.consumed
    assert [await written(body) for _ in range(2)] == [b"abcd"] * 2
    assert await written(body, 3) == b"abc"
    assert body.decode() == "abcd"
    assert not body.consumed


async def test_asks_for_nothing_after_the_length() -> None:
    asked = []

    async def watched() -> AsyncIterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"xx"

    source = watched()
    assert await written(get_payload(source), 4) == b"xxxx"
    assert asked == [0, 1]
    await source.aclose()


async def test_any_bytes_like_pieces() -> None:
    async def mixed() -> AsyncIterator[Any]:
        yield bytearray(b"a")
        yield b""
        yield memoryview(b"b")

    writer = Collector()
    await get_payload(mixed()).write(writer)  # type: ignore[arg-type]
    assert writer.chunks == [b"a", b"b"]
    assert await get_payload(mixed()).as_bytes() == b"ab"


@pytest.mark.parametrize("piece", ["text", 1, None, ["x"]])
async def test_pieces_that_are_no_bytes(piece: Any) -> None:
    async def wrong() -> AsyncIterator[Any]:
        yield piece

    with pytest.raises(TypeError, match=type(piece).__name__):
        await written(get_payload(wrong()))
    with pytest.raises(TypeError, match=type(piece).__name__):
        await get_payload(wrong()).as_bytes()


async def test_errors_of_the_source_are_raised() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("sensor")

    writer = Collector()
    body = get_payload(broken())
    with pytest.raises(OSError, match="sensor"):
        await body.write(writer)  # type: ignore[arg-type]
    assert (writer.data, body.consumed) == (b"a", True)


@pytest.mark.parametrize("value", [[b"x"], b"x", None, iter([b"x"])])
def test_not_an_async_iterable(value: Any) -> None:
    with pytest.raises(TypeError, match="AsyncIterable"):
        AsyncIterablePayload(value)


def test_content_type_of_an_iterable() -> None:
    source: Any = Again()
    assert AsyncIterablePayload(source).content_type == "application/octet-stream"
    assert AsyncIterablePayload(source, content_type="a/b").content_type == "a/b"
    assert AsyncIterablePayload(source, {"Content-Type": "c/d"}).content_type == "c/d"


async def test_stream_reader() -> None:
    body = get_payload(stream([b"ab", b"cd"]))
    assert type(body) is StreamReaderPayload
    assert await written(body) == b"abcd"
    assert body.consumed


async def test_cancelled_in_the_middle() -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        started.set()
        await asyncio.Event().wait()
        yield b"never"

    source = endless()
    body = get_payload(source)
    task = asyncio.ensure_future(body.write(Collector()))  # type: ignore[arg-type]
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert body.consumed


# ------------------------------------------------------------------------------------------------------------ streamer


async def numbers(writer: Any, first: int, second: int = 0) -> None:
    await writer.write(b"%d" % first)
    await writer.write(b"%d" % second)


async def letters(writer: Any) -> None:
    await writer.write(b"abc")


async def test_streamer_as_the_oracle() -> None:
    seen = []
    for lib in (OURS, oracle()):
        with pytest.warns(DeprecationWarning, match="streamer is deprecated"):
            made = lib.streamer(numbers)
        with pytest.warns(DeprecationWarning, match="streamer is deprecated"):
            plain = lib.streamer(letters)
        body = lib.payload.get_payload(made(1, second=2))
        seen.append([type(body).__name__, body.size, list(body.headers.items()), body.autoclose, body.consumed,
                     await written(body), await written(body)])  # fmt: skip
        body = lib.payload.get_payload(plain)
        seen[-1] += [type(body).__name__, await written(body)]
        with pytest.raises(TypeError):
            body.decode()
        with pytest.raises(TypeError):
            await body.as_bytes()
    assert seen[0] == seen[1]


async def test_streamer_keeps_to_the_length() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = get_payload(streamer(letters)())
    assert await written(body, 2) == b"ab"


# -------------------------------------------------------------------------------------------------- everything known

KNOWN: dict[str, Any] = {
    "BytesPayload": lambda: b"x",
    "StringPayload": lambda: "x",
    "StringIOPayload": lambda: io.StringIO("x"),
    "BytesIOPayload": lambda: io.BytesIO(b"x"),
    "TextIOPayload": lambda: io.TextIOWrapper(io.BytesIO(b"x")),
    "BufferedReaderPayload": lambda: io.BufferedReader(io.BytesIO(b"x")),  # type: ignore[arg-type]
    "IOBasePayload": lambda: io.BufferedRWPair(io.BytesIO(b"x"), io.BytesIO()),  # type: ignore[arg-type]
    "AsyncIterablePayload": Again,
}


@pytest.mark.parametrize("name", KNOWN)
def test_payload_of_a_value(name: str) -> None:
    assert type(get_payload(KNOWN[name]())).__name__ == name
    assert type(oracle().payload.get_payload(KNOWN[name]())).__name__ == name


def test_public_names_are_those_of_the_oracle() -> None:
    pytest.importorskip("aiohttp")
    assert set(oracle().payload.__all__) <= set(payload.__all__)
