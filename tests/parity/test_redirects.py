"""Parity of redirects: methods, bodies and fields after each status, origins, locations, limits and history."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.parity.compare import HANG, Names, Observation, Options, options_of, outcome, same, table
from tests.peers.raw import answering, raw_server, response

OK = response(200, b"ok")
NO_BODY = response(200, b"")


def moved(status: int, location: str | None, *fields: tuple[str, str], body: bytes = b"") -> bytes:
    place = [("Location", location)] if location is not None else []
    return response(status, body, *place, *fields, reason="R")


@dataclass(frozen=True)
class Trip:
    """One call through two servers: `SELF` and `OTHER` in an answer become their URLs, `NAMED` is SELF by its name."""

    answers: tuple[bytes, ...]
    method: str = "GET"
    path: str = ""
    userinfo: str = ""
    session: Options = field(default_factory=dict)
    options: Options = field(default_factory=dict)
    look: Callable[[Any, Any, Names], Awaitable[Any]] | None = None


async def travel(library: Any, trip: Trip) -> Observation:
    """Make the call and tell what was answered, what each server received and what the history holds."""
    names, seen = Names(), Observation()
    first = answering(OK)
    async with raw_server(answering(OK)) as other, raw_server(lambda connection: first(connection)) as server:
        names.learn(server, "SELF")
        names.learn(other, "OTHER")
        here, there = str(server.url).encode(), str(other.url).encode()
        named = here.replace(b"127.0.0.1", b"localhost")
        first = answering(
            *(a.replace(b"SELF", here).replace(b"OTHER", there).replace(b"NAMED", named) for a in trip.answers)
        )
        url = f"{server.url}{trip.path}".replace("://", f"://{trip.userinfo}")
        options = options_of(trip.options, library)
        try:
            async with asyncio.timeout(HANG) as limit:
                async with library.ClientSession(**options_of(trip.session, library)) as session:
                    async with session.request(trip.method, url, **options) as r:
                        seen["answer"] = names.plain([r.status, r.method, r.url, r.real_url, await r.read()])
                        seen["history"] = names.plain([[h.status, h.method, h.url, h.closed] for h in r.history])
                        if trip.look is not None:
                            seen["looked"] = names.plain(await trip.look(r, session, names))
        except TimeoutError as exc:
            seen["raised"] = "hangs" if limit.expired() else names.failure(exc)
        except Exception as exc:
            seen["raised"] = names.failure(exc)
        seen["server"] = [names.plain(bytes(c.received)) for c in server.connections if c.received]
        seen["other"] = [names.plain(bytes(c.received)) for c in other.connections if c.received]
    return seen


METHODS = {
    f"{status} {method}": Trip(
        (moved(status, "/n"), NO_BODY),
        method=method,
        options={
            "data": b"abc" if method not in ("GET", "HEAD") else None,
            "headers": {"X-K": "1", "Content-Language": "y"},
            "allow_redirects": True,
        },
    )
    for status in (301, 302, 303, 307, 308)
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "FOO")
} | {f"{status} not followed": Trip((moved(status, "/n"), OK)) for status in (300, 304, 305, 306, 309, 399, 200, 404)}


async def pieces() -> AsyncIterator[bytes]:
    yield b"ab"


SENT: list[tuple[str, str, Options]] = [
    ("json", "POST", {"json": {"a": 1}}),
    ("form", "POST", {"data": {"a": 1}}),
    ("str", "POST", {"data": "é"}),
    ("chunked", "POST", {"data": b"ab", "chunked": True}),
    ("bytesio", "POST", lambda lib: {"data": io.BytesIO(b"xyz")}),
    ("generator", "POST", lambda lib: {"data": pieces()}),
    ("content type", "POST", {"data": b"x", "headers": {"Content-Type": "text/x", "Content-Length": "1"}}),
    ("multipart", "POST", lambda lib: {"data": {"f": io.BytesIO(b"xyz")}}),
    ("PUT bytesio", "PUT", lambda lib: {"data": io.BytesIO(b"xyz")}),
    ("PUT generator", "PUT", lambda lib: {"data": pieces()}),
    ("empty", "POST", {}),
]
BODIES = {
    f"{status} {name}": Trip((moved(status, "/n"), OK), method=method, options=options)
    for status in (302, 307)
    for name, method, options in SENT
}


def basic(lib: Any) -> Any:
    return lib.BasicAuth("u", "p")


def unsafe(**options: Any) -> Options:
    return lambda lib: {"cookie_jar": lib.CookieJar(unsafe=True), **options}


SECRETS = {
    "headers": {
        "Authorization": "Bearer t",
        "Cookie": "h=1",
        "Proxy-Authorization": "P",
        "X-Api": "k",
        "Referer": "r",
        "Origin": "o",
    }
}
TARGETS = {"same": "/n", "other": "OTHER", "named": "NAMEDx"}

CARRIED: list[tuple[str, Options, Options, str]] = [
    ("fields", {}, SECRETS, ""),
    ("auth", {}, lambda lib: {"auth": basic(lib)}, ""),
    ("session auth", lambda lib: {"auth": basic(lib)}, {}, ""),
    ("session fields", {"headers": {"Authorization": "z", "Cookie": "q=1"}}, {}, ""),
    ("userinfo", {}, {}, "u:p@"),
    ("session cookies", {"cookies": {"s": "1"}}, {}, ""),
    ("request cookies", {}, {"cookies": {"r": "1"}}, ""),
    ("host", {}, {"headers": {"Host": "foo.example"}}, ""),
]
ORIGINS = {
    f"{name} {where}": Trip((moved(302, target), OK), session=session, options=options, userinfo=userinfo)
    for where, target in TARGETS.items()
    for name, session, options, userinfo in CARRIED
} | {
    "there and back": Trip((moved(302, "NAMEDb"), moved(302, "SELFc"), OK), options=SECRETS),
    "userinfo in location": Trip((moved(302, "SELFx").replace(b"SELF", b"SELF"), OK), options={}),
    "cookie set": Trip((moved(302, "/n", ("Set-Cookie", "a=b; Path=/")), OK), session=unsafe()),
    "cookie set beside request cookie": Trip(
        (moved(302, "/n", ("Set-Cookie", "a=b; Path=/")), OK), session=unsafe(), options={"cookies": {"r": "1"}}
    ),
    "cookie set over request cookie": Trip(
        (moved(302, "/n", ("Set-Cookie", "r=new; Path=/")), OK), session=unsafe(), options={"cookies": {"r": "old"}}
    ),
    "cookie set beside cookie field": Trip(
        (moved(302, "/n", ("Set-Cookie", "a=b; Path=/")), OK),
        session=unsafe(),
        options={"headers": {"Cookie": "f=1"}},
    ),
    "cookie set dummy jar": Trip(
        (moved(302, "/n", ("Set-Cookie", "a=b; Path=/")), OK),
        session=lambda lib: {"cookie_jar": lib.DummyCookieJar()},
        options={"cookies": {"r": "1"}},
    ),
}

LOCATIONS = {
    repr(place): Trip((moved(302, place), OK), path="d/e?old=1#frag")
    for place in [
        "n", "?q=2", "#f", "", "../up", "./x", "http://", "http:///x", "ftp://h/", "mailto:x", "javascript:1",
        "http://h:99999/", "http://[zz/", "data:,x", "/n#new", "  /n  ", "/a b", "\\\\x", "/x\\y", ":80", "http:n",
        "//", "///x", "ws://127.0.0.1:1/", "/é", "/%7e?q=%2B", "//127.0.0.1:1/", "HTTP://127.0.0.1:1/", "/a;b?c;d",
        "https://", "file:///etc/passwd", "/..//x",
    ]
} | {
    "none": Trip((moved(302, None), OK)),
    "URI": Trip((moved(302, None, ("URI", "/n")), OK)),
    "Refresh": Trip((moved(302, None, ("Refresh", "0;url=/n")), OK)),
    "two": Trip((moved(302, "/a", ("Location", "/b")), OK)),
    "query": Trip((moved(302, "/n?x=1&y=a b"), OK)),
    "params are not repeated": Trip((moved(302, "/n"), OK), options={"params": {"a": "b"}}),
    "no requote": Trip((moved(302, "/a%20b/%7e?q=%2B"), OK), session={"requote_redirect_url": False}),
    "requote": Trip((moved(302, "/a%20b/%7e?q=%2B"), OK)),
    "not allowed": Trip((moved(302, "/n"), OK), options={"allow_redirects": False}),
    "absolute": Trip((moved(302, "SELFabs"), OK)),
    "base url": Trip((moved(302, "rel"), OK), path="a/b/c"),
}  # fmt: skip

CHAIN = (moved(302, "/1"), moved(302, "/2"), moved(302, "/3"), OK)
LIMITS = {
    **{f"max {n} endless": Trip((moved(302, "/n"),), options={"max_redirects": n}) for n in (1, 2, 10)},
    "default endless": Trip((moved(302, "/n"),)),
    "max 3 of 3": Trip(CHAIN, options={"max_redirects": 3}),
    "max 4 of 3": Trip(CHAIN, options={"max_redirects": 4}),
    "raise_for_status": Trip((moved(302, "/n"), OK), options={"raise_for_status": True}),
    "raise_for_status 404": Trip((moved(302, "/n"), response(404, b"no")), options={"raise_for_status": True}),
    "large body": Trip((moved(302, "/n", body=b"x" * 100_000), OK)),
    "chunked body": Trip(
        (b"HTTP/1.1 302 R\r\nLocation: /n\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", OK)
    ),
    "connection close": Trip((moved(302, "/n", ("Connection", "close"), body=b"x"), OK)),
    "refused": Trip((moved(302, "http://127.0.0.1:1/"), OK)),
}


async def history_bodies(r: Any, session: Any, names: Names) -> Any:
    first = r.history[0]
    return [
        await outcome(names, first.read),
        first.headers,
        first.cookies,
        r.cookies,
        first.reason,
        first.real_url,
        len(first.history),
        first.request_info.url,
    ]


HISTORY = {
    "bodies": Trip((moved(302, "/n", ("Set-Cookie", "a=b"), body=b"hist"), OK), look=history_bodies),
    "three": Trip(CHAIN, look=history_bodies),
}


@table("redirect method", METHODS)
async def test_methods(case: str, shot: Trip) -> None:
    await same(case, lambda lib: travel(lib, shot))


@table("redirect body", BODIES)
async def test_bodies(case: str, shot: Trip) -> None:
    await same(case, lambda lib: travel(lib, shot))


@table("redirect origin", ORIGINS)
async def test_origins(case: str, shot: Trip) -> None:
    await same(case, lambda lib: travel(lib, shot))


@table("redirect location", LOCATIONS)
async def test_locations(case: str, shot: Trip) -> None:
    await same(case, lambda lib: travel(lib, shot))


@table("redirect limit", LIMITS)
async def test_limits(case: str, shot: Trip) -> None:
    await same(case, lambda lib: travel(lib, shot))


@table("redirect history", HISTORY)
async def test_history(case: str, shot: Trip) -> None:
    await same(case, lambda lib: travel(lib, shot))


@pytest.mark.parametrize("method", ["head", "get", "options", "post", "put", "patch", "delete"])
async def test_default_of_each_verb(method: str) -> None:
    async def scenario(lib: Any) -> Observation:
        async with raw_server(answering(moved(302, "/n"), NO_BODY)) as server, lib.ClientSession() as session:
            async with getattr(session, method)(server.url) as r:
                return {"status": r.status, "lines": [q.line for q in server.requests]}

    await same(f"redirect verb/{method}", scenario)
