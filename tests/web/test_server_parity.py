"""The same handlers on aiohttp.web and on fairlead.web, asked with the same bytes: the answers are compared whole.

Compared are the status line, the field names in order, the values (but for Date and Server, whose form is), the body
with the sizes of its chunks, and whether the connection goes on. `FAIRLEAD_PARITY_LIBRARY=aiohttp` compares aiohttp
with itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import re
import zlib
from typing import Any

import pytest
from tests.parity.compare import Names, Observation, same
from tests.peers.turns import turns
from tests.web.raw_client import RawClient, connect, fields_of
from tests.web.server_differences import DIFFERENCES
from tests.web.server_scenes import SCENES, Context, Scene

PROBE = b"GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
PROBED = b"HTTP/1.1 299 Probed\r\n"

SILENCE = 0.5
"""Seconds after which a connection that says nothing more counts as silent."""

SETTLED = 30
"""Turns of the loop without news after which an answer counts as complete."""

BRIEFLY = 0.001

SHOWN = 2000
"""Bytes of a body that are compared as they are; of a larger one the size and a checksum."""

HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20[2-9]\d \d\d:\d\d:\d\d GMT")
CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")


def quiet() -> logging.Logger:
    logger = logging.getLogger("tests.server_parity")
    logger.disabled = True
    return logger


def shown(body: bytes) -> Any:
    return body if len(body) <= SHOWN else [len(body), zlib.crc32(body)]


def unpacked(coding: str | None, body: bytes) -> bytes:
    """The body without its coding: how well it is compressed is not compared."""
    if not body or coding not in ("gzip", "deflate"):
        return body
    decoder = zlib.decompressobj(31 if coding == "gzip" else 15)
    plain = decoder.decompress(body) + decoder.flush()
    return plain + (b"" if decoder.eof else b"<cut>") + decoder.unused_data


def unchunked(data: bytes) -> tuple[list[bytes], bytes] | None:
    """The chunks of a complete body and what follows it; None when it is not complete."""
    at, found = 0, []
    while match := CHUNK.match(data, at):
        size = int(match[1], 16)
        at = match.end()
        if not size:
            return (found, data[at + 2 :]) if data[at : at + 2] == b"\r\n" else None
        found.append(data[at : at + size])
        at += size + 2
    return None


def seen_answer(data: bytes, names: Names) -> tuple[Observation, bytes]:
    """The first answer in what was received, and the rest, which may be none of an answer."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4 or not data.startswith(b"HTTP/"):
        return {"garbage": names.plain(data[:SHOWN])}, b""
    line, fields = fields_of(data[:end])
    values = {name.lower(): value for name, value in fields}
    coding = values.get("content-encoding")
    seen: Observation = {"line": line, "fields": [[name, plain_value(name, value, names)] for name, value in fields]}
    rest = data[end:]
    if values.get("transfer-encoding") == "chunked" and (whole := unchunked(rest)) is not None:
        chunks, rest = whole
        seen["chunks"] = [len(chunk) for chunk in chunks] if coding is None else "coded"
        seen["body"] = names.plain(shown(unpacked(coding, b"".join(chunks))))
        return seen, rest
    length = values.get("content-length")
    stop = rest.find(b"HTTP/1.")
    stop = len(rest) if stop < 0 else stop
    if length is not None and stop:  # a body that is shorter than announced, or of HEAD, is what comes
        stop = min(stop, int(length))
    body, rest = rest[:stop], rest[stop:]
    if coding in ("gzip", "deflate"):
        seen["fields"] = [[n, "CODED" if n == "Content-Length" else v] for n, v in seen["fields"]]
    seen["body"] = names.plain(shown(unpacked(coding, body)))
    return seen, rest


def plain_value(name: str, value: str, names: Names) -> str:
    if name.lower() == "date":
        return HTTP_DATE.sub("DATE", value)
    return names.hide(value)


async def received(client: RawClient) -> bytes:
    """What comes until nothing comes any more: for some turns of the loop, or at the end of the connection."""
    reading = asyncio.ensure_future(client.read())
    got = bytearray()
    try:
        for _ in range(20):
            async with asyncio.timeout(SILENCE):
                got += await asyncio.shield(reading)
            if client.eof:
                break
            reading = asyncio.ensure_future(client.read())
            await turns(SETTLED)
            await asyncio.sleep(BRIEFLY)  # for those who work in threads
            if not reading.done():
                break
    except TimeoutError:
        pass
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            got += await reading
    return bytes(got)


async def one_exchange(port: int, requests: tuple[bytes, ...], names: Names) -> Observation:
    async with connect(port) as client:
        got = b""
        for request in requests:
            await client.send(request)
            got += await received(client)
        if not client.eof:
            await client.send(PROBE)
            while not client.eof and (more := await received(client)):
                got += more
        probed = got.find(PROBED)
        answers = []
        rest = got if probed < 0 else got[:probed]
        while rest:
            answer, rest = seen_answer(rest, names)
            answers.append(answer)
        return {"answers": answers, "then": "open" if probed >= 0 else "closed" if client.eof else "stuck"}


async def play(scene: Scene, library: Any) -> Observation:
    """All requests of a scene, each on a connection of its own."""
    web = importlib.import_module(f"{library.__name__}.web")
    names, notes, kept = Names(), [], {}  # type: ignore[var-annotated]

    async def handler(request: Any) -> Any:
        return await scene.handler(Context(web, library, request, notes, kept))

    async def probe(request: Any) -> Any:
        return web.Response(status=299, reason="Probed")

    options = scene.application(web) if callable(scene.application) else scene.application
    app = web.Application(logger=quiet(), **options)
    app.router.add_route("*", "/scene", handler)
    app.router.add_route("GET", "/probe", probe)
    if scene.prepare is not None:
        scene.prepare(web, app)
    runner = web.AppRunner(app, access_log=None, logger=quiet(), shutdown_timeout=0.1, **scene.runner)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    names.known[str(port)] = "PORT"
    seen: Observation = {}
    try:
        for label, requests in scene.requests.items():
            notes.clear()
            seen[label] = await one_exchange(port, requests, names)
            if notes:
                seen[label]["notes"] = names.plain(notes)
    finally:
        await runner.cleanup()
        for file in kept.get("files", ()):
            file.close()
    return seen


@pytest.mark.parametrize("name", SCENES)
async def test_scene(name: str) -> None:
    await same(name, lambda library: play(SCENES[name], library), DIFFERENCES)


def test_every_difference_is_one_of_a_scene() -> None:
    assert set(DIFFERENCES) <= set(SCENES)
