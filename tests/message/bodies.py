"""Helpers of these tests: a writer that collects, streams that are fed in pieces, and the oracle when it is there."""

from __future__ import annotations

import asyncio
import importlib
import types
from collections.abc import Iterable
from typing import Any

import pytest
from multidict import CIMultiDict

from fairlead.message import formdata, multipart, payload
from fairlead.wire.streams import StreamReader


class Collector:
    """A writer that keeps what it gets."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    async def write(self, chunk: Any) -> None:
        self.chunks.append(bytes(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        self.chunks.append(bytes(chunk))

    async def drain(self) -> None:
        return None

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)


async def written(body: Any, length: Any = ...) -> bytes:
    """What the payload sends."""
    writer = Collector()
    if length is ...:
        await body.write(writer)
    else:
        await body.write_with_length(writer, length)
    return writer.data


class Flow:
    """The protocol of a stream that nobody throttles."""

    connected = True

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


def cut(data: bytes, size: int | None) -> list[bytes]:
    """The data in pieces of ``size`` bytes."""
    if size is None:
        return [data] if data else []
    return [data[at : at + size] for at in range(0, len(data), size)]


def stream(pieces: Iterable[bytes], *, eof: bool = True, kind: Any = StreamReader) -> Any:
    """A stream that holds the pieces; each read gives one of them."""
    reader = kind(Flow(), 2**16, loop=asyncio.get_running_loop())
    for piece in pieces:
        reader.feed_data(piece)
    if eof:
        reader.feed_eof()
    return reader


class SteppingStream:
    """A stream whose every read gives one piece, however much is asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = list(pieces)[::-1]

    async def read(self, n: int = -1) -> bytes:
        await asyncio.sleep(0)
        return self.pieces.pop() if self.pieces else b""

    def unread_data(self, data: bytes) -> None:
        self.pieces.append(data)

    def rest(self) -> bytes:
        return b"".join(self.pieces[::-1])


def reader(
    data: bytes,
    content_type: str = 'multipart/mixed; boundary=":"',
    *,
    step: int | None = None,
    **options: Any,
) -> multipart.MultipartReader:
    """A reader for the body, which comes in pieces of ``step`` bytes."""
    content: Any = SteppingStream(cut(data, step))
    return multipart.MultipartReader(CIMultiDict({"Content-Type": content_type}), content, **options)


async def tree(parts: Any, **read: Any) -> list[Any]:
    """All parts: (headers, body), or (headers, parts) for a nested one."""
    found: list[Any] = []
    while (part := await parts.next()) is not None:
        nested = hasattr(part, "fetch_next_part")
        content = await tree(part, **read) if nested else bytes(await part.read(**read))
        found.append((list(part.headers.items()), content))
    return found


OURS = types.SimpleNamespace(
    payload=payload,
    multipart=multipart,
    FormData=formdata.FormData,
    MultipartWriter=multipart.MultipartWriter,
    MultipartReader=multipart.MultipartReader,
    StreamReader=StreamReader,
    streamer=payload.streamer,
)


def oracle() -> Any:
    """The library that the public API comes from, as a black box."""
    names = ("payload", "multipart", "FormData", "MultipartWriter", "MultipartReader", "StreamReader", "streamer")
    pytest.importorskip("aiohttp")
    importlib.import_module("aiohttp.payload")
    module = importlib.import_module("aiohttp")
    return types.SimpleNamespace(**{name: getattr(module, name) for name in names})
