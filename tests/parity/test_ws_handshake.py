"""Parity of the client's handshake: the bytes of the request, and what becomes of an answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import warnings
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from tests.parity.compare import Names, libraries
from tests.peers.raw import RawConnection, raw_server

UP = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n"
)
BYE = b"\x88\x02\x03\xe8"
_KEY = re.compile(rb"(Sec-WebSocket-Key: )(\S+)")
_AGENT = re.compile(rb"(User-Agent: ).*?\r\n")


class Case(NamedTuple):
    answer: bytes = UP + b"\r\n" + BYE
    options: dict[str, Any] = {}
    session: dict[str, Any] = {}


CASES = {
    "nothing asked for": Case(),
    "protocols and origin": Case(options={"protocols": ("a", "b"), "origin": "http://o"}),
    "headers of the caller": Case(
        options={"headers": {"X": "1", "Sec-WebSocket-Protocol": "q", "upgrade": "h2c", "Sec-WebSocket-Key": "mine"}}
    ),
    "headers of the session": Case(session={"headers": {"Z": "1"}, "cookies": {"c": "d"}}),
    "skipped headers": Case(session={"skip_auto_headers": ["User-Agent", "Accept"]}),
    "parameters": Case(options={"params": {"p": "q"}}),
    "another method": Case(options={"method": "POST"}),
    "compression": Case(options={"compress": 15}),
    "a smaller window": Case(options={"compress": 10}),
    "a window that there is not": Case(options={"compress": 8}),
    "compression agreed": Case(
        UP + b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10; client_no_context_takeover\r\n"
        b"\r\n" + BYE,
        {"compress": 15},
    ),
    "compression not asked for": Case(UP + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n" + BYE),
    "a protocol agreed": Case(UP + b"Sec-WebSocket-Protocol: b\r\n\r\n" + BYE, {"protocols": ("a", "b")}),
    "a protocol not offered": Case(UP + b"Sec-WebSocket-Protocol: c\r\n\r\n" + BYE, {"protocols": ("a", "b")}),
    "not found": Case(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nX: y\r\n\r\nno"),
    "a plain answer": Case(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    "an error status": Case(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", session={"raise_for_status": True}
    ),
    "no Upgrade": Case(UP.replace(b"Upgrade: websocket\r\n", b"") + b"\r\n"),
    "no Connection": Case(UP.replace(b"Connection: upgrade\r\n", b"") + b"\r\n"),
    "a wrong key": Case(UP.replace(b"ACCEPT", b"wrong") + b"\r\n"),
    "no answer": Case(b""),
    "a wrong ssl": Case(options={"ssl": 5}),
    "verify_ssl": Case(options={"verify_ssl": False}),
    "both kinds of timeout": Case(options={"timeout": 3.0, "receive_timeout": 2.0}),
}


async def shake(library: ModuleType, case: Case) -> dict[str, Any]:
    """Make one handshake; return what both sides saw."""
    names = Names()

    async def handler(connection: RawConnection) -> None:
        request = await connection.request()
        if request is None:
            return
        key = (request.field("Sec-WebSocket-Key") or "").encode()
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
        await connection.send(case.answer.replace(b"ACCEPT", base64.b64encode(digest)))
        if case.answer:
            await connection.wait_closed_by_peer()

    seen: dict[str, Any] = {}
    async with raw_server(handler) as server:
        names.learn(server, "PORT")
        async with library.ClientSession(**case.session) as session:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                try:
                    ws = await session.ws_connect(server.url / "x", **case.options)
                    seen["agreed"] = [ws.protocol, ws.compress, ws.client_notakeover]
                    seen["message"] = names.plain((await ws.receive()).type.name)
                    await ws.close()
                    seen["code"] = ws.close_code
                except Exception as exc:
                    seen["raised"] = [c.__name__ for c in type(exc).__mro__]
                    if isinstance(exc, library.ClientResponseError):
                        seen["facts"] = [exc.status, exc.message, names.plain(sorted(exc.headers or {})), exc.history]
                    if isinstance(exc, TypeError):
                        seen["text"] = str(exc)
            seen["warned"] = [str(w.message) for w in told if w.category is DeprecationWarning]
        heads = [request.head for request in server.requests]
    hidden = [_AGENT.sub(rb"\1US\r\n", _KEY.sub(rb"\1KEY", head)) for head in heads]
    seen["sent"] = names.plain(hidden[:1])
    return seen


@pytest.mark.parametrize("name", CASES)
async def test_handshake(name: str) -> None:
    there, here = libraries()

    def ask() -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return asyncio.run(shake(there, CASES[name]))

    theirs = await asyncio.to_thread(ask)
    assert await shake(here, CASES[name]) == theirs
