"""The same scenario with aiohttp and with fairlead, and the judgement on what was seen.

In: a scenario, a coroutine function that takes the library's module and returns an observation (a dict of plain
values). Out: an assertion error that names each key that differs, unless `differences.DIFFERENCES` says that and why.
aiohttp runs in a thread and a loop of its own, where its warnings and leftovers count for nothing; fairlead runs in the
test's loop, where whatever it leaves behind fails the test. `FAIRLEAD_PARITY_LIBRARY=aiohttp` compares aiohttp with
itself, which shows whether the scenarios repeat themselves.
"""

from __future__ import annotations

import asyncio
import builtins
import gc
import importlib
import os
import re
import ssl
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from multidict import MultiMapping
from tests.peers.raw import Handler, RawServer, answering, raw_server
from yarl import URL

Observation = dict[str, Any]
Scenario = Callable[[Any], Awaitable[Observation]]
Options = Mapping[str, Any] | Callable[[Any], Mapping[str, Any]]

HANG = 10.0
"""Seconds after which a scenario's request counts as hanging: far more than any loopback exchange takes."""

TURNS = 25
"""Turns of the loop in which both sides, which share it, notice what the other did."""

BRIEFLY = 0.004
"""Seconds that a scripted server lets others go first."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Anything:
    """Equal to whatever came: for values that a difference does not promise."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANYTHING"


ANYTHING = Anything()
ABSENT = "<absent>"


@dataclass(frozen=True)
class Difference:
    """One deliberate departure: why, and what fairlead shows at each place that differs."""

    reason: str
    shows: Mapping[str, Any]


def libraries() -> tuple[ModuleType, ModuleType]:
    """aiohttp, and the library that is compared with it."""
    reference = pytest.importorskip("aiohttp")
    return reference, importlib.import_module(os.environ.get("FAIRLEAD_PARITY_LIBRARY", "fairlead"))


async def settle() -> None:
    """Give both sides the turns to notice an end of connection before the next request."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


# --- plain values ----------------------------------------------------------------------------------------------------

_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_AGENT = re.compile(r"Python/3\.\d+ [a-z]+/[0-9][^\s'|]*")
_BOUNDARY = re.compile(r"\b[0-9a-f]{32}\b")
_MODULE = re.compile(r"\b(?:aiohttp|fairlead)(?:\.[a-z_]+)*\.(?=[A-Z_])")
_ERRNO_LINE = re.compile(r"\(_ssl\.c:\d+\)")


class Names:
    """What stands for the ports of a scenario's servers, so that two runs read the same."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def learn(self, server: RawServer, name: str) -> None:
        if server.port:
            self.known[str(server.port)] = name

    def hide(self, text: str) -> str:
        for port, name in self.known.items():
            text = re.sub(rf"(?<![0-9]){port}(?![0-9])", name, text)
        text = _AGENT.sub("AGENT", _BOUNDARY.sub("BOUNDARY", _ADDRESS.sub("ADDRESS", text)))
        return _ERRNO_LINE.sub("", _MODULE.sub("", text))

    def plain(self, value: Any) -> Any:
        """`value` as something that compares by what a user would see."""
        if isinstance(value, BaseException):
            return self.failure(value)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            name = self.known.get(str(value))
            return name if name else int(value)
        if isinstance(value, str):
            return self.hide(str(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return self.hide(bytes(value).decode("latin-1")).encode("latin-1")
        if isinstance(value, URL):
            return self.hide(str(value))
        if isinstance(value, MultiMapping):
            return [[self.plain(k), self.plain(v)] for k, v in value.items()]
        if isinstance(value, Mapping):
            return {str(k): self.plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple | frozenset):
            return [self.plain(v) for v in value]
        if isinstance(value, type):
            return value.__name__
        return self.hide(repr(value))

    def failure(self, exc: BaseException) -> Observation:
        """The facts of an exception that a caller can act on: its classes and public attributes, not its wording."""
        seen: Observation = {"kinds": kinds(exc)}
        for name in ("status", "headers", "host", "port", "ssl", "errno", "url", "expected", "limit_"):
            if hasattr(exc, name) and not isinstance(exc, UnicodeError):
                seen[name] = self.plain(getattr(exc, name))
        if "ClientResponseError" in seen["kinds"]:
            info = exc.request_info  # type: ignore[attr-defined]
            seen["request"] = self.plain([info.method, info.url, info.real_url]) if info is not None else None
            seen["history"] = [[r.status, self.plain(r.url)] for r in exc.history]  # type: ignore[attr-defined]
        if exc.__cause__ is not None and not isinstance(exc.__cause__, asyncio.CancelledError):
            seen["cause"] = kinds(exc.__cause__)
        return seen


def kinds(exc: BaseException) -> list[str]:
    """The classes of `exc` that `except` can name: builtins, ssl's and those that aiohttp has in public."""
    import aiohttp

    def public(cls: type) -> bool:
        name = cls.__name__
        return hasattr(builtins, name) or hasattr(ssl, name) or hasattr(aiohttp, name) or hasattr(aiohttp.http, name)

    skipped = ("object", "BaseException", "Exception")
    return [c.__name__ for c in type(exc).__mro__ if c.__name__ not in skipped and public(c)]


async def outcome(names: Names, what: Any) -> Any:
    """The plain value of awaiting (or calling) `what`, or its failure."""
    try:
        async with asyncio.timeout(HANG):
            if callable(what) and not hasattr(what, "__await__"):
                what = what()
            value = await what if hasattr(what, "__await__") else what
    except (Exception, asyncio.CancelledError) as exc:
        return {"raised": names.failure(exc)}
    return names.plain(value)


# --- running and judging ---------------------------------------------------------------------------------------------


async def _watched(library: ModuleType, scenario: Scenario) -> Observation:
    """One run with its deprecations recorded as part of what was seen."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("error", category=ResourceWarning)
        warnings.filterwarnings(
            "ignore", message=".*(large body|locks? the event loop|event loop)", category=ResourceWarning
        )
        if library.__name__ == "aiohttp":
            warnings.filterwarnings("ignore", category=ResourceWarning)
        seen = await scenario(library)
    told = sorted({w.category.__name__ for w in caught if issubclass(w.category, DeprecationWarning)})
    if told:
        seen["deprecations"] = told
    return seen


def _reference(library: ModuleType, scenario: Scenario) -> Observation:
    async def run() -> Observation:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        seen = await _watched(library, scenario)
        for _ in range(5):
            await asyncio.sleep(0)
        return seen

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with asyncio.Runner() as runner:
            seen = runner.run(run())
        gc.collect(1)  # what aiohttp left must not be found by the strict run; what it made is still young
    return seen


def without_extras(wanted: Any, got: Any) -> Any:
    """`got` without what an exception tells beyond aiohttp's: more classes, facts or causes are no difference."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        if "kinds" in wanted and set(wanted["kinds"]) <= set(got.get("kinds", [])):
            got = {**{k: v for k, v in got.items() if k in wanted}, "kinds": wanted["kinds"]}
        return {k: without_extras(wanted.get(k), v) for k, v in got.items()}
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [without_extras(w, g) for w, g in zip(wanted, got, strict=True)]
    return got


class Departure(NamedTuple):
    """One place where the two differ: its path in the observation, and what each showed."""

    path: str
    aiohttp: Any
    fairlead: Any


def departures(path: str, wanted: Any, got: Any) -> list[Departure]:
    """The places where the two differ, as deep as their shapes agree."""
    if wanted == got:
        return []
    if isinstance(wanted, dict) and isinstance(got, dict) and wanted.get("kinds") == got.get("kinds"):
        inner = [(f"{path}.{k}".lstrip("."), wanted.get(k, ABSENT), got.get(k, ABSENT)) for k in {**wanted, **got}]
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        inner = [(f"{path}[{i}]", w, g) for i, (w, g) in enumerate(zip(wanted, got, strict=True))]
    else:
        return [Departure(path, wanted, got)]
    return [departure for place in inner for departure in departures(*place)]


def compared(case: str, reference: Observation, ours: Observation, differences: Mapping[str, Difference]) -> str:
    """'' when the two agree or differ exactly as the table says; otherwise what is wrong."""
    listed = differences.get(case, Difference("", {}))
    found = departures("", reference, without_extras(reference, ours))
    lines = [
        f"  {d.path}:\n    aiohttp  {d.aiohttp!r}\n    fairlead {d.fairlead!r}"
        for d in found
        if d.path not in listed.shows or listed.shows[d.path] != d.fairlead
    ]
    gone = set(listed.shows) - {d.path for d in found}
    lines += [f"  {path}: listed as a difference ({listed.reason}), and there is none" for path in sorted(gone)]
    return "\n".join([f"{case} differs:", *lines]) if lines else ""


async def same(case: str, scenario: Scenario, differences: Mapping[str, Difference] | None = None) -> None:
    """Assert that aiohttp and fairlead show the same in `scenario`, but for what the table of differences says."""
    from tests.parity.differences import DIFFERENCES

    listed = DIFFERENCES if differences is None else differences
    if os.environ.get("PYTHONASYNCIODEBUG"):
        pytest.skip("aiohttp reads more strictly in asyncio's debug mode")
    reference, ours = libraries()
    expected = await asyncio.to_thread(_reference, reference, scenario)
    if ours is reference:
        seen = await asyncio.to_thread(_reference, ours, scenario)
    else:
        seen = await _watched(ours, scenario)
    verdict = compared(case, expected, seen, {} if ours is reference else listed)
    if verdict:
        pytest.fail(verdict, pytrace=False)


# --- the usual scenario ----------------------------------------------------------------------------------------------


def options_of(options: Options, library: Any) -> dict[str, Any]:
    return dict(options(library) if callable(options) else options)


def address(server: RawServer, path: str | URL) -> str | URL:
    """`path` under the server's root; `PORT` in an absolute URL becomes the port."""
    if isinstance(path, URL):
        return path
    if "://" in path:
        return path.replace("PORT", str(server.port))
    return str(server.url) + path.lstrip("/")


@dataclass(frozen=True)
class Shot:
    """One request to a scripted server: what is asked, what is answered, what is looked at."""

    answer: bytes | tuple[bytes | None, ...] | Handler | None = OK
    method: str = "GET"
    path: str | URL = ""
    session: Options = field(default_factory=dict)
    options: Options = field(default_factory=dict)
    close: bool = False
    look: Callable[[Any, Any, Names], Awaitable[Any]] | None = None
    sent: bool | str = True
    """What of the requests is compared: all bytes, nothing, or for "bodies" the heads and the bodies out of chunks."""
    received: bool = True

    def handler(self) -> Handler:
        if callable(self.answer):
            return self.answer
        answers = self.answer if isinstance(self.answer, tuple) else (self.answer,)
        return answering(*answers, close=self.close)


async def _ask(library: Any, shot: Shot, server: RawServer, names: Names, seen: Observation) -> None:
    options = options_of(shot.options, library)
    async with library.ClientSession(**options_of(shot.session, library)) as session:
        async with session.request(shot.method, address(server, shot.path), **options) as response:
            if shot.received:
                seen["head"] = names.plain([response.status, response.reason, tuple(response.version)])
                seen["fields"] = names.plain(response.raw_headers)
            if shot.look is not None:
                seen["looked"] = names.plain(await shot.look(response, session, names))
            elif shot.received:
                seen["body"] = await outcome(names, response.read())


async def fire(library: Any, shot: Shot) -> Observation:
    """Run one shot and tell what both sides saw."""
    names, seen = Names(), Observation()
    async with raw_server(shot.handler()) as server:
        names.learn(server, "PORT")
        try:
            async with asyncio.timeout(HANG) as limit:
                await _ask(library, shot, server, names, seen)
        except TimeoutError as exc:
            seen["raised"] = "hangs" if limit.expired() else names.failure(exc)
        except (Exception, asyncio.CancelledError) as exc:
            seen["raised"] = names.failure(exc)
        if shot.sent == "bodies":
            seen["sent"] = [[names.plain(r.head), names.plain(r.body)] for r in server.requests]
        elif shot.sent:
            seen["sent"] = [names.plain(bytes(c.received)) for c in server.connections if c.received]
    return seen


def table(module: str, cases: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Parametrise a test over named cases; the id is also the key in the table of differences."""
    return pytest.mark.parametrize(
        ("case", "shot"), [(f"{module}/{name}", shot) for name, shot in cases.items()], ids=list(cases)
    )
