"""Parity of WebSockets: each scene with all four pairings of aiohttp's and fairlead's ends.

What aiohttp at both ends shows is the reference. Where a fairlead end makes a difference on purpose, `CHANGES` says
which, where and why; anything else that differs fails, and so does a change that is no longer true.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import warnings
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from tests.parity.compare import libraries as without_web
from tests.parity.ws_scenes import SCENES, play

Logs = dict[str, list[Any]]


class Change(NamedTuple):
    """A place in a log that differs when the client, the server or both are fairlead's."""

    where: str  # "client" or "server": whose log
    line: int
    shows: Any
    client: bool = False
    server: bool = False


TOO_BIG = "Message size 101 exceeds limit 100 (option max_msg_size)"
INFLATED = "Decompressed message exceeds size limit 100 (option max_msg_size)"
ERROR_1009 = ["closed", 1009, ["WebSocketError", 1009]]
LEFT_1011 = [
    Change("client", 0, ["receive", ["CLOSE", 1011, ""]], server=True),
    Change("client", 1, ["closed", 1011, None], server=True),
    Change("client", 4, ["closed", 1011, None], server=True),
]

CHANGES: dict[str, list[Change]] = {
    # A close frame is answered with its own code, which RFC 6455 §5.5.1 calls typical, so that both ends and whoever
    # reads their logs see why it ended; aiohttp answers 1000.
    "the client closes": [Change("client", 1, ["closed", 4001, None], server=True)],
    "the server closes": [Change("server", 1, ["closed", 4001, None], client=True)],
    # The close frame for a broken rule says which one, and the end that found it has the error in `exception()` and
    # its code in `close_code` on either side; aiohttp's client has no exception, its server the code 1006.
    "too much for the client": [
        Change("client", 1, ERROR_1009, client=True),
        Change("client", 4, ERROR_1009, client=True),
        Change("server", 0, ["receive", ["CLOSE", 1009, TOO_BIG]], client=True),
    ],
    "too much for the server": [
        Change("client", 0, ["receive", ["CLOSE", 1009, TOO_BIG]], server=True),
        Change("server", 1, ERROR_1009, server=True),
        Change("server", 4, ERROR_1009, server=True),
    ],
    "too much when inflated": [
        Change("client", 1, ERROR_1009, client=True),
        Change("client", 4, ERROR_1009, client=True),
        Change("server", 0, ["receive", ["CLOSE", 1009, INFLATED]], client=True),
    ],
    # The code is known as soon as the end is, not only when it is received.
    "the client is lost": [Change("client", 0, ["open", 1006, ["ClientConnectionResetError"]], client=True)],
    "wrong arguments": [Change("server", 7, ["open", 1000, None], server=True)],
    # A handler that fails closes with 1011; aiohttp drops the connection, or sends an HTTP response into it.
    "the handler fails": LEFT_1011,
    "the handler raises a response": [
        *LEFT_1011,
        Change("client", 1, ["closed", 1002, ["WebSocketError", 1002]], client=True),
        Change("client", 4, ["closed", 1002, ["WebSocketError", 1002]], client=True),
    ],
}

PAIRINGS = {"client": (1, 0), "server": (0, 1), "both": (1, 1)}

_references: dict[str, Logs] = {}


def libraries() -> tuple[ModuleType, ModuleType]:
    """aiohttp and fairlead, with their servers loaded."""
    both = without_web()
    for library in both:
        importlib.import_module(f"{library.__name__}.web")
    return both


def apart(name: str, client: int, server: int) -> Logs:
    """Play a scene in a loop of its own, where what aiohttp leaves behind counts for nothing."""
    both = libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return asyncio.run(play(SCENES[name], both[client], both[server]))


async def reference(name: str) -> Logs:
    """What aiohttp shows at both ends, asked once."""
    if name not in _references:
        _references[name] = await asyncio.to_thread(apart, name, 0, 0)
    return _references[name]


def expected(name: str, logs: Logs, client: int, server: int) -> Logs:
    """Apply the changes that a pairing makes; where both ends make one at the same place, the server's comes last."""
    logs = copy.deepcopy(logs)
    changes = CHANGES.get(name, ())
    for change in sorted(changes, key=lambda change: change.server):
        if (change.client and client) or (change.server and server):
            assert logs[change.where][change.line] != change.shows or len(changes) > 1, "no longer a difference"
            logs[change.where][change.line] = change.shows
    return logs


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("name", SCENES)
async def test_scene(name: str, pairing: str) -> None:
    client, server = PAIRINGS[pairing]
    theirs = await reference(name)
    if client and server:
        both = libraries()
        ours = await play(SCENES[name], both[1], both[1])
    else:
        ours = await asyncio.to_thread(apart, name, client, server)
    assert ours == expected(name, theirs, client, server)


def test_changes_belong_to_scenes() -> None:
    assert CHANGES.keys() <= SCENES.keys()
