"""Plain requests: the short way and the full way are the same to the server and to the caller."""

from __future__ import annotations

import asyncio
import enum
import gc
import http
import re
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from multidict import CIMultiDict
from tests.peers.raw import RawConnection, answering, chunks, raw_server, response
from tests.peers.turns import until
from yarl import URL

import fairlead
from fairlead.client.session import ROUTE_LENGTH

OK = response(200, b"ok")


async def in_full(request: Any, handler: Any) -> fairlead.ClientResponse:
    """A middleware that does nothing, so that a call is made in full."""
    answer: fairlead.ClientResponse = await handler(request)
    return answer


FULL: dict[str, Any] = {"middlewares": (in_full,)}


def masked(text: object, port: int) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", str(text).replace(str(port), "PORT"))


async def facts_of(
    session: fairlead.ClientSession, method: Any, url: Any, port: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Make a call; return all that its caller can see, with the port masked."""
    facts: dict[str, Any] = {}
    try:
        async with session.request(method, url, **options) as answer:
            facts["status"] = (answer.status, answer.reason, answer.version, answer.method, answer.ok)
            facts["urls"] = [masked(value, port) for value in (answer.url, answer.real_url, answer.host)]
            facts["headers"] = list(answer.headers.items())
            facts["raw"] = answer.raw_headers
            facts["history"] = [(step.status, masked(step.url, port), step.method) for step in answer.history]
            info = answer.request_info
            facts["info"] = (info.method, masked(info.url, port), masked(info.real_url, port))
            facts["sent"] = [(name, masked(value, port)) for name, value in info.headers.items()]
            facts["cookies"] = answer.cookies.output()
            facts["type"] = (answer.content_type, answer.charset, answer.content_length)
            facts["body"] = await answer.read()
            facts["again"] = await answer.read()
            facts["at eof"] = answer.content.at_eof()
            facts["open"] = (answer.closed, answer.connection)
    except asyncio.CancelledError:
        raise
    except Exception as exc:
        facts["error"] = (type(exc), masked(exc, port), masked(repr(exc), port))
        if isinstance(exc, fairlead.ClientResponseError):
            facts["told"] = (exc.status, exc.message, exc.headers and list(exc.headers.items()))
            facts["told of"] = (masked(exc.request_info.url, port), len(exc.history), getattr(exc, "body", None))
            facts["told sent"] = [(name, masked(value, port)) for name, value in exc.request_info.headers.items()]
    return facts


Prepare = Callable[[fairlead.ClientSession, URL], None]


async def one_way(
    answers: tuple[bytes | None, ...],
    method: Any,
    target: Any,
    options: dict[str, Any],
    of_session: dict[str, Any],
    prepare: Prepare | None,
    full: bool,
    close: bool,
) -> tuple[dict[str, Any], list[bytes], list[int], int, list[str]]:
    """Make one call on a connection in use; return what the caller saw and what the server received."""
    handler = answering(OK, *answers, then_close=close)
    async with raw_server(handler) as server, fairlead.ClientSession(**of_session) as session:
        root = server.url.with_host("localhost")
        async with session.get(root / "warm-up") as first:
            await first.read()
        if prepare is not None:
            prepare(session, root)
        port = server.port
        url: Any = target(root) if callable(target) else target
        facts = await facts_of(session, method, url, port, {**options, **(FULL if full else {})})
        received = [request.raw.replace(str(port).encode(), b"PORT") for request in server.requests[1:]]
        assert session.connector is not None
        jar = sorted(f"{morsel.key}={morsel.value}" for morsel in session.cookie_jar)
        counts = [len(connection.requests) for connection in server.connections]
        return facts, received, counts, session.connector.in_use, jar


def at(path: str, **options: Any) -> Callable[[URL], URL]:
    return lambda root: URL(str(root)[:-1] + path, **options)


def with_cookies(session: fairlead.ClientSession, root: URL) -> None:
    session.cookie_jar.update_cookies({"plain": "1", "quoted": 'a "b", c;d', "empty": ""}, root)
    session.cookie_jar.update_cookies_from_headers(["own=caf\udcc3\udca9", "latin=\udce9", 'q="x y"'], root)


def with_headers(session: fairlead.ClientSession, root: URL) -> None:
    session.headers["X-Late"] = "yes"
    session.headers["User-Agent"] = "me"
    session.headers.add("X-Twice", "1")
    session.headers.add("X-Twice", "2")


def moved(status: int, to: str, *fields: tuple[str, str], body: bytes = b"moved") -> bytes:
    return response(status, body, ("Location", to), *fields)


ROOT = at("/")
Case = tuple[tuple[bytes | None, ...], Any, Any, dict[str, Any], dict[str, Any], Prepare | None]

WRONG_URLS: tuple[Any, ...] = ([], {}, 5, None, b"http://x/", "", "http://", "ftp://x/", "//x", "/x", "http://h:99999/")


class Verb(str, enum.Enum):  # noqa: UP042 - not StrEnum on purpose
    """Methods as some programs keep them; formatting one gives its name in newer versions of Python."""

    FETCH = "GET"
    STORE = "post"


CASES: dict[str, Case] = {
    **{f"method {m!r}": ((OK,), m, ROOT, {}, {}, None) for m in (*"GET POST PUT PATCH DELETE OPTIONS".split(),)},
    **{
        f"method {m!r}": ((OK,), m, ROOT, {}, {}, None)
        for m in (
            "get",
            "Post",
            "PURGE",
            "purge",
            "TRACE",
            "A B",
            "GET / HTTP/1.1\r\nX: y\r\n\r\nGET",
            "",
            "é",
            5,
            None,
        )
    },
    "method of an enum": ((OK,), Verb.FETCH, ROOT, {}, {}, None),
    "method of an enum, with a body": ((OK,), Verb.STORE, ROOT, {"json": 1}, {}, None),
    "method of http.HTTPMethod": ((OK,), http.HTTPMethod.GET, ROOT, {}, {}, None),
    **{
        f"{m} with {name}": ((OK,), m, ROOT, {name.split()[0]: value}, {}, None)
        for m in ("GET", "POST", "DELETE")
        for name, value in {
            "data bytes": b"abc",
            "data text": "abcé",
            "data empty": b"",
            "data empty text": "",
            "data form": {"a": "b"},
            "data long": b"x" * 70_000,
            "json value": {"a": [1, None, "é"]},
            "json none": None,
            "json zero": 0,
            "json wrong": {1, 2},
        }.items()
    },
    "both bodies": ((OK,), "POST", ROOT, {"data": b"a", "json": 1}, {}, None),
    "text that is no UTF-8": ((OK,), "POST", ROOT, {"data": "\ud800"}, {}, None),
    **{
        f"url {path!r}": ((OK,), "GET", at(path), {}, {}, None)
        for path in ("/a%2Fb?x=1#part", "/é ü?q=ä b", "/?", "/#", "//double", "/a/../b", "/" + "long" * 2000)
    },
    "url encoded": ((OK,), "GET", at("/a%2fb c?%41", encoded=True), {}, {}, None),
    "url with controls": ((OK,), "GET", at("/a\r\nX: y", encoded=True), {}, {}, None),
    "url as text": ((OK,), "GET", lambda root: f"{root}é?b=%2B#f", {}, {}, None),
    "url with user": ((OK,), "GET", lambda root: root.with_user("me").with_password("pw"), {}, {}, None),
    **{f"url wrong {url!r}": ((OK,), "GET", url, {}, {}, None) for url in WRONG_URLS},
    **{
        f"params {params!r}": ((OK,), "GET", at("/p?a=1#f"), {"params": params}, {}, None)
        for params in ({}, {"b": "ü &"}, [("b", 1), ("b", 2)], "c=d+e", {"b": [1, 2]}, {"b": None}, {"b": True}, 5, "")
    },
    "cookies of the jar": ((OK,), "GET", ROOT, {}, {}, with_cookies),
    "cookies and a body": ((OK,), "POST", ROOT, {"json": {}}, {}, with_cookies),
    "cookies that are set": (
        (response(200, b"ok", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/")),),
        "GET",
        ROOT,
        {},
        {},
        with_cookies,
    ),
    "late headers": ((OK,), "GET", ROOT, {}, {}, with_headers),
    "late headers and a body": ((OK,), "POST", ROOT, {"data": b"x"}, {}, with_headers),
    **{
        f"session headers {headers!r}": ((OK,), "POST", ROOT, {"data": b"x"}, {"headers": headers}, None)
        for headers in (
            {"accept": "x"},
            {"Content-Type": "text/x"},
            {"Connection": "close"},
            {"X": "é"},
            {"X": ""},
            {"X": "\udce9"},
        )
    },
    "skipped": ((OK,), "POST", ROOT, {"data": b"x"}, {"skip_auto_headers": ["Accept", "content-type", "X"]}, None),
    "json of the session": ((OK,), "POST", ROOT, {"json": 1}, {"json_serialize": lambda value: f"<{value}é>"}, None),
    "json as bytes": ((OK,), "POST", ROOT, {"json": 1}, {"json_serialize_bytes": lambda value: b"<1>"}, None),
    "base url": (
        (OK,),
        "GET",
        "sub?x",
        {},
        {},
        lambda session, root: setattr(session, "_base_url", root / "base" / ""),
    ),
    # --- answers
    "HEAD": ((response(200, b"", ("Content-Length", "5"), length=False),), "HEAD", ROOT, {}, {}, None),
    "204": ((response(204, length=False),), "GET", ROOT, {}, {}, None),
    "304": ((response(304, b"", ("ETag", '"x"'), length=False),), "GET", ROOT, {}, {}, None),
    "empty": ((response(200, b""),), "GET", ROOT, {}, {}, None),
    "chunked": (
        (response(200, b"", ("Transfer-Encoding", "chunked"), length=False) + chunks(b"ab", b"c"),),
        "GET",
        ROOT,
        {},
        {},
        None,
    ),
    "interim": ((b"HTTP/1.1 103 Early\r\nLink: <x>\r\n\r\n" + OK,), "GET", ROOT, {}, {}, None),
    "closing": ((response(200, b"ok", ("Connection", "close")),), "GET", ROOT, {}, {}, None),
    "until the end": ((response(200, b"ok", length=False),), "GET", ROOT, {}, {}, None),
    "unknown coding": ((response(200, b"ok", ("Content-Encoding", "x")),), "GET", ROOT, {}, {}, None),
    "wrong coding": ((response(200, b"ok", ("Content-Encoding", "gzip")),), "GET", ROOT, {}, {}, None),
    "coding left alone": (
        (response(200, b"ok", ("Content-Encoding", "gzip")),),
        "GET",
        ROOT,
        {"auto_decompress": False},
        {},
        None,
    ),
    "more than announced": ((OK + b"more",), "GET", ROOT, {}, {}, None),
    "two answers": ((OK + OK,), "GET", ROOT, {}, {}, None),
    "two lengths": (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",),
        "GET",
        ROOT,
        {},
        {},
        None,
    ),
    "nonsense": ((b"nonsense\r\n\r\n",), "GET", ROOT, {}, {}, None),
    "nonsense for POST": ((b"nonsense\r\n\r\n",), "POST", ROOT, {"json": 1}, {}, None),
    "long head": ((response(200, b"ok", ("X", "y" * 9000)),), "GET", ROOT, {}, {}, None),
    "limited head": ((response(200, b"ok", ("X", "y" * 200)),), "GET", ROOT, {"max_field_size": 100}, {}, None),
    "broken head": ((b"HTTP/1.1 200 OK\r\nX",), "GET", ROOT, {}, {}, None),
    "broken body": ((b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",), "GET", ROOT, {}, {}, None),
    # --- the connection is lost
    **{
        f"{m} lost, then answered": ((None, OK), m, ROOT, {}, {}, with_cookies)
        for m in ("GET", "PUT", "DELETE", "POST", "PURGE")
    },
    "PUT with a body, lost": ((None, OK), "PUT", ROOT, {"json": [1]}, {}, None),
    "POST with a body, lost": ((None, OK), "POST", ROOT, {"data": b"x"}, {}, None),
    "lost twice": ((None, None, OK), "GET", ROOT, {}, {}, None),
    "lost, then a redirect": ((None, moved(302, "/next"), OK), "GET", ROOT, {}, {}, None),
    # --- errors that are asked for
    **{
        f"raise_for_status={value!r} for {status}": (
            (response(status, b"why"),),
            "GET",
            ROOT,
            {"raise_for_status": value},
            {},
            None,
        )
        for value in (True, False, None)
        for status in (200, 404, 500)
    },
    "raise_for_status of the session": ((response(404, b"no"),), "GET", ROOT, {}, {"raise_for_status": True}, None),
    "raise_for_status after a redirect": (
        (moved(302, "/next"), response(404, b"no")),
        "GET",
        ROOT,
        {"raise_for_status": True},
        {},
        with_cookies,
    ),
    # --- redirects
    **{
        f"{m} {status}": (
            (moved(status, "/next?x=1#f", ("Set-Cookie", "late=1; Path=/")), OK),
            m,
            at("/first#g"),
            {},
            {},
            with_cookies,
        )
        for m in ("GET", "HEAD", "POST", "PUT", "DELETE")
        for status in (300, 301, 302, 303, 304, 305, 307, 308)
    },
    **{
        f"{m} {status} with {name}": ((moved(status, "/next"), OK), m, ROOT, {name: value}, {}, None)
        for m in ("POST", "PUT")
        for status in (301, 303, 307)
        for name, value in {"data": b"abc", "json": {"a": 1}}.items()
    },
    "redirect of text": ((moved(307, "/next"), OK), "POST", ROOT, {"data": "é"}, {}, None),
    "redirect with params": ((moved(302, "next"), OK), "GET", at("/p?a=1"), {"params": {"b": "2"}}, {}, None),
    "redirect to another host": (
        (moved(302, "http://127.0.0.1:1/"),),
        "GET",
        ROOT,
        {"max_redirects": 1},
        {"headers": {"Authorization": "x"}},
        None,
    ),
    "redirect with a secret": (
        (moved(302, "/next"), OK),
        "GET",
        ROOT,
        {},
        {"headers": {"Authorization": "x"}},
        with_cookies,
    ),
    "redirect to nonsense": ((moved(302, "http://"),), "GET", ROOT, {}, {}, None),
    "redirect to another scheme": ((moved(302, "ftp://x/"),), "GET", ROOT, {}, {}, None),
    "redirect to nowhere": ((response(302, b"x"),), "GET", ROOT, {}, {}, None),
    "redirect not followed": ((moved(302, "/next"),), "GET", ROOT, {"allow_redirects": False}, {}, None),
    "redirects without end": ((moved(302, "/next"),), "GET", ROOT, {}, {}, None),
    "few redirects": ((moved(302, "/next"),), "POST", ROOT, {"max_redirects": 2, "json": 1}, {}, None),
    "redirect without type": (
        (moved(307, "/next"), OK),
        "POST",
        ROOT,
        {"json": 1},
        {"skip_auto_headers": ["Content-Type"]},
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_both_ways_are_the_same(name: str) -> None:
    answers, method, target, options, of_session, prepare = CASES[name]
    close = name in ("until the end", "broken head", "broken body")
    ways = [await one_way(answers, method, target, options, of_session, prepare, full, close) for full in (False, True)]
    plain, full = ways
    assert plain[0] == full[0]
    assert plain[1:] == full[1:]
    assert plain[3] == 0


# --- what sessions remember


async def test_a_head_that_must_not_be_sent_does_not_cost_a_connection_in_use() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        assert session.connector is not None
        await (await session.get(server.url)).read()
        with pytest.raises(ValueError, match="control character"):
            await session.get(server.url, headers={"X": "a\r\nb"})
        with pytest.raises(ValueError, match="announces 5 bytes, but the body has 2"):
            await session.post(server.url, data=b"ab", headers={"Content-Length": "5"})
        assert (session.connector.in_use, session.connector.idle) == (0, 1)
        await (await session.get(server.url)).read()
        assert [len(connection.requests) for connection in server.connections] == [2]


async def test_the_request_of_a_response_is_what_was_sent() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        url = server.url.with_host("localhost")
        value = {"a": 1}
        await (await session.get(url)).read()
        bare = await session.get(url)
        posted = await session.post(url, json=value)
        session.cookie_jar.update_cookies({"late": "1"}, url)
        session.headers["X-Late"] = "1"
        value["longer"] = 2
        assert "Cookie" not in bare.request_info.headers
        assert "Cookie" not in posted.request_info.headers
        assert "X-Late" not in posted.request_info.headers
        assert posted.request_info.headers["Content-Length"] == "8"


async def test_a_body_that_changed_meanwhile_is_repeated_as_it_was() -> None:
    value = {"a": 1}

    async def handler(connection: RawConnection) -> None:
        while await connection.request() is not None:
            if connection.number == 0 and len(connection.requests) == 2:
                value["b"] = 2
                return
            await connection.send(OK)

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        await (await session.get(server.url)).read()
        await (await session.put(server.url, json=value)).read()
        assert [request.body for request in server.requests[1:]] == [b'{"a": 1}'] * 2


async def test_headers_that_were_kept_and_changed_later() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession(headers={"X": "0"}) as session:
        kept = session.headers
        for count in range(4):
            await (await session.get(server.url)).read()
            assert server.requests[-1].field("X") == str(count)
            kept["X"] = str(count + 1)
        del kept["X"]
        await (await session.get(server.url)).read()
        assert server.requests[-1].field("X") is None
        kept["Host"] = "elsewhere"
        await (await session.get(server.url)).read()
        assert server.requests[-1].field("Host") == "elsewhere"


async def test_traces_that_were_added_later() -> None:
    async def note(session: Any, context: Any, params: Any) -> None:
        seen.append(params.url)

    seen: list[URL] = []
    config = fairlead.TraceConfig()
    config.on_request_end.append(note)
    config.freeze()
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        for _ in range(2):
            await (await session.get(server.url)).read()
        session.trace_configs.append(config)
        await (await session.get(server.url)).read()
        assert seen == [server.url]


async def test_long_urls_are_not_remembered() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        for length in (ROUTE_LENGTH, ROUTE_LENGTH + 1):
            before = len(session._routes)
            for _ in range(2):
                await (await session.get(str(server.url) + "x" * (length - 1))).read()
            assert len(session._routes) - before == (length <= ROUTE_LENGTH)


async def test_a_response_class_with_a_start_of_its_own() -> None:
    class Started(fairlead.ClientResponse):
        async def start(self, connection: Any = None) -> fairlead.ClientResponse:
            await super().start(connection)
            self.reason = "mine"
            return self

    async with raw_server(answering(OK)) as server, fairlead.ClientSession(response_class=Started) as session:
        for _ in range(2):
            async with session.get(server.url) as answer:
                assert answer.reason == "mine"
                await answer.read()


# --- connections


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
async def test_a_connection_that_is_released_inside_a_response_is_closed(options: dict[str, Any]) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
    async with raw_server(answering(OK, half, OK)) as server, fairlead.ClientSession() as session:
        assert session.connector is not None
        await (await session.get(server.url)).read()
        answer = await session.get(server.url, **options)
        connection = answer.connection
        assert connection is not None
        connection.release()
        assert (session.connector.in_use, session.connector.idle) == (0, 0)
        assert await (await session.get(server.url)).read() == b"ok"
        with pytest.raises(fairlead.ClientError):
            await answer.read()
        assert session.connector.in_use == 0


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("end", ["close", "release", "del"])
async def test_the_end_of_an_old_response_leaves_the_connection_alone(end: str, options: dict[str, Any]) -> None:
    go = asyncio.Event()

    async def handler(connection: RawConnection) -> None:
        while await connection.request() is not None:
            if len(connection.requests) == 3:
                await go.wait()
            await connection.send(OK)

    async with raw_server(handler) as server, fairlead.ClientSession() as session:
        await (await session.get(server.url)).read()
        old = await session.get(server.url, **options)
        assert old.closed
        running = asyncio.create_task(session._request("GET", server.url))
        await until(lambda: len(server.requests) == 3, "the next request")
        assert old.connection is None
        if end == "del":
            del old
            gc.collect()
        else:
            getattr(old, end)()
            assert await old.content.read() == b"ok"
        go.set()
        assert await (await running).read() == b"ok"
        assert len(server.connections) == 1


async def test_a_write_that_fails_gives_the_slot_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no write today")

    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        assert session.connector is not None
        await (await session.get(server.url)).read()
        with monkeypatch.context() as patch:
            patch.setattr(type(next(iter(session.connector._links))), "begin", fail)
            with pytest.raises(RuntimeError, match="today"):
                await session.get(server.url)
        assert (session.connector.in_use, session.connector.idle) == (0, 0)
        assert await (await session.get(server.url)).read() == b"ok"


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
async def test_a_response_that_is_dropped_unread_gives_the_slot_back(options: dict[str, Any]) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"
    async with raw_server(answering(OK, half, OK)) as server, fairlead.ClientSession() as session:
        assert session.connector is not None
        await (await session.get(server.url)).read()
        gc.disable()  # no cycle may keep it alive
        try:
            answer = await session.get(server.url, **options)
            assert session.connector.in_use == 1
            loop = asyncio.get_running_loop()
            if loop.get_debug():  # it says so there
                loop.set_exception_handler(lambda _, context: None)
                warnings.simplefilter("ignore", ResourceWarning)
            del answer
            assert session.connector.in_use == 0
        finally:
            gc.enable()
        assert await (await session.get(server.url)).read() == b"ok"


async def test_a_session_that_is_dropped_open_is_freed_at_once() -> None:
    async with raw_server(answering(OK)) as server:
        session = fairlead.ClientSession()
        for _ in range(2):
            await (await session.get(server.url)).read()
        gone = weakref.ref(session)
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        gc.disable()
        try:
            with pytest.warns(ResourceWarning, match="Unclosed client session"):
                del session
            assert gone() is None
            assert told == ["Unclosed client session"]
        finally:
            gc.enable()
        await until(lambda: server.connections[0].eof, "the end of the connection")


# --- the total time


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("first", [moved(302, "/next"), None], ids=["redirect", "retry"])
async def test_the_total_time_goes_on_from_the_first_request(
    first: bytes | None, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    late = 0.0
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + late)
    silent = asyncio.Event()

    async def handler(connection: RawConnection) -> None:
        nonlocal late
        while await connection.request() is not None:
            if connection.number == 0 and len(connection.requests) == 1:
                await connection.send(OK)
            elif connection.number == 0 and len(connection.requests) == 2:
                late = 19.5
                if first is None:
                    return
                await connection.send(first)
            else:
                silent.set()

    timeout = fairlead.ClientTimeout(total=20, ceil_threshold=40)
    async with raw_server(handler) as server, fairlead.ClientSession(timeout=timeout) as session:
        await (await session.get(server.url)).read()
        running = asyncio.create_task(session._request("GET", server.url, **options))
        await silent.wait()
        assert not running.done()
        late = 21.0
        with pytest.raises(TimeoutError, match="20 s"):
            await running


async def test_headers_of_a_session_can_be_any_mapping() -> None:
    async with raw_server(answering(OK)) as server:
        given = CIMultiDict({"X": "1"})
        async with fairlead.ClientSession(headers=given) as session:
            await (await session.get(server.url)).read()
            given["X"] = "2"  # the session has a copy
            await (await session.get(server.url)).read()
            assert [request.field("X") for request in server.requests] == ["1", "1"]
