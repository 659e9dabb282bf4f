"""Sessions: defaults and options, classes of one's own, middlewares, credentials, cookies, and the end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from multidict import CIMultiDict
from tests.peers.http import http_server
from tests.peers.raw import RawConnection, answering, raw_server, response
from yarl import URL

import fairlead
from fairlead.client.session import ROUTE_LIMIT, TEMPLATE_LIMIT

OK = response(200, b"ok")


async def get(session: fairlead.ClientSession, url: Any, **options: Any) -> bytes:
    async with session.get(url, **options) as answer:
        return await answer.read()


# --- classes of one's own --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own_init", [False, True])
@pytest.mark.parametrize("options", [{}, {"headers": {"X": "1"}}], ids=["short path", "long path"])
async def test_response_class(own_init: bool, options: dict[str, Any]) -> None:
    class Plain(fairlead.ClientResponse):
        async def read(self) -> bytes:
            return (await super().read()).upper()

    class WithInit(Plain):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.made = True

    kind = WithInit if own_init else Plain
    async with raw_server(answering(OK)) as server, fairlead.ClientSession(response_class=kind) as session:
        assert session.response_class is kind
        for _ in range(2):
            async with session.get(server.url, **options) as answer:
                assert type(answer) is kind
                assert await answer.read() == b"OK"
                assert (answer.status, answer.url, answer.method) == (200, server.url, "GET")
                assert answer.request_info.url == server.url
                assert getattr(answer, "made", False) is own_init


async def test_request_class() -> None:
    class Signed(fairlead.ClientRequest):
        def update_headers(self, headers: Any) -> None:
            super().update_headers(headers)
            self.headers["X-Signature"] = f"{self.method} {self.url.path}"

        async def send(self, conn: Any) -> fairlead.ClientResponse:
            self.headers["X-Sent"] = "yes"
            return await super().send(conn)

    async with raw_server(answering(OK)) as server, fairlead.ClientSession(request_class=Signed) as session:
        for _ in range(2):
            await get(session, server.url / "a")
        for request in server.requests:
            assert (request.field("X-Signature"), request.field("X-Sent")) == ("GET /a", "yes")


async def test_subclasses_of_sessions_are_discouraged_and_work() -> None:
    with pytest.warns(DeprecationWarning, match="Inheritance class Mine from ClientSession is discouraged"):

        class Mine(fairlead.ClientSession):
            async def _request(self, *args: Any, **kwargs: Any) -> fairlead.ClientResponse:
                kwargs["headers"] = {"X-Mine": "1"}
                return await super()._request(*args, **kwargs)

    async with raw_server(answering(OK)) as server, Mine() as session:
        assert await get(session, server.url) == b"ok"
        assert server.requests[0].field("X-Mine") == "1"


# --- the short path and the long one are the same --------------------------------------------------------------------


async def test_default_headers_may_be_changed_between_requests() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession(headers={"X-A": "1"}) as session:
        await get(session, server.url)
        headers = session.headers
        headers["X-A"] = "2"
        await get(session, server.url)
        headers.add("X-B", "3")
        await get(session, server.url)
        del session.headers["X-A"]
        await get(session, server.url)
        shown = [(request.field("X-A"), request.field("X-B")) for request in server.requests]
        assert shown == [("1", None), ("2", None), ("2", "3"), (None, "3")]


@pytest.mark.parametrize(
    "options",
    [{}, {"json": {"a": [1, "é"]}}, {"data": b"abc"}, {"data": "grüße"}, {"params": {"q": "a b"}}, {"data": b""}],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "ODD"])
async def test_both_paths_send_the_same(method: str, options: dict[str, Any]) -> None:
    """What the prepared lines of the short path leave out or add would be seen here."""

    async def handler(connection: RawConnection) -> None:
        while (request := await connection.request()) is not None:
            await connection.send(OK[:-2] if request.method == "HEAD" else OK)

    async with raw_server(handler) as server, fairlead.ClientSession(headers={"X-Own": "1"}) as session:
        for _ in range(2):  # the first one of a session opens a connection, which makes its way long
            async with session.request(method, server.url / "p", **options) as answer:
                await answer.read()
        config = fairlead.TraceConfig()
        connector = session.connector
        async with fairlead.ClientSession(
            headers={"X-Own": "1"}, connector=connector, connector_owner=False, trace_configs=[config]
        ) as traced:
            async with traced.request(method, server.url / "p", **options) as answer:
                await answer.read()
        first, second, third = (request.raw for request in server.requests)
        assert first == second == third


async def test_many_places_do_not_fill_the_memory() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        await get(session, server.url)
        for n in range(ROUTE_LIMIT + 100):
            session._make_route(f"{server.url}{n}", None)
        assert 0 < len(session._routes) <= ROUTE_LIMIT
        for n in range(TEMPLATE_LIMIT + 100):
            session._make_route(f"http://host{n}.test/", None)
        assert 0 < len(session._templates) <= TEMPLATE_LIMIT
        assert await get(session, server.url) == b"ok"


@pytest.mark.parametrize("serialise", ["text", "bytes"])
async def test_json_serialize(serialise: str) -> None:
    def as_text(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    options: dict[str, Any] = (
        {"json_serialize": as_text}
        if serialise == "text"
        else {"json_serialize_bytes": lambda value: as_text(value).encode()}
    )
    async with raw_server(answering(OK)) as server, fairlead.ClientSession(**options) as session:
        for own in ({}, {"headers": {"X": "1"}}):
            async with session.post(server.url, json={"a": [1, 2]}, **own) as answer:
                await answer.read()
        for request in server.requests:
            assert request.body == b'{"a":[1,2]}'
            assert request.field("Content-Type") == "application/json"


# --- middlewares -----------------------------------------------------------------------------------------------------


async def test_middlewares_of_the_call_stand_in_for_those_of_the_session() -> None:
    order: list[str] = []

    def named(name: str) -> Any:
        async def middleware(request: Any, handler: Any) -> Any:
            order.append(name)
            answer = await handler(request)
            order.append(f"/{name}")
            return answer

        return middleware

    async with raw_server(answering(OK)) as server:
        async with fairlead.ClientSession(middlewares=(named("a"), named("b"))) as session:
            await get(session, server.url)
            await get(session, server.url, middlewares=(named("c"),))
            await get(session, server.url, middlewares=())
    assert order == ["a", "b", "/b", "/a", "c", "/c"]


async def test_a_middleware_may_change_the_request() -> None:
    async def sign(request: Any, handler: Any) -> Any:
        request.headers["Authorization"] = f"Signed {request.method} {request.url.path}"
        await request.update_body(b"changed")
        return await handler(request)

    async with raw_server(answering(OK)) as server, fairlead.ClientSession(middlewares=(sign,)) as session:
        async with session.post(server.url / "p", data=b"original body") as answer:
            await answer.read()
        (request,) = server.requests
        assert request.body == b"changed"
        assert request.field("Content-Length") == "7"
        assert request.field("Authorization") == "Signed POST /p"


async def test_a_middleware_may_answer_by_itself() -> None:
    remembered: list[fairlead.ClientResponse] = []

    async def cache(request: Any, handler: Any) -> Any:
        if not remembered:
            answer = await handler(request)
            await answer.read()
            remembered.append(answer)
        return remembered[0]

    async with raw_server(answering(OK)) as server, fairlead.ClientSession(middlewares=(cache,)) as session:
        for _ in range(3):
            assert await get(session, server.url) == b"ok"
        assert len(server.requests) == 1
        assert session.connector.in_use == 0


async def test_a_middleware_that_refuses_closes_nothing_but_what_it_opened() -> None:
    class Refused(Exception):
        pass

    async def refuse(request: Any, handler: Any) -> Any:
        raise Refused

    async def look_and_refuse(request: Any, handler: Any) -> Any:
        await handler(request)
        raise Refused

    async with http_server() as server, fairlead.ClientSession() as session:
        for middleware in (refuse, look_and_refuse):
            with pytest.raises(Refused):
                await session.get(server.url / "stall/10", middlewares=(middleware,))
            assert session.connector.in_use == 0


@pytest.mark.parametrize("data", [None, b"body", "file"])
async def test_a_middleware_that_tries_again(data: Any, tmp_path: Any) -> None:
    """Twice the same request, with its body, on the same connection."""

    async def again(request: Any, handler: Any) -> Any:
        for _ in range(3):
            answer = await handler(request)
            if answer.status != 503:
                break
            answer.release()
        return answer

    answers = [response(503, b"busy", reason="Busy")] * 2 + [OK]
    async with raw_server(answering(*answers)) as server, fairlead.ClientSession(middlewares=(again,)) as session:
        if data == "file":
            path = tmp_path / "file"
            path.write_bytes(b"x" * 100_000)
            with path.open("rb") as file:
                async with session.put(server.url, data=file) as answer:
                    assert (answer.status, await answer.read()) == (200, b"ok")
        else:
            async with session.put(server.url, data=data) as answer:
                assert (answer.status, await answer.read()) == (200, b"ok")
        sizes = {len(request.body) for request in server.requests}
        assert sizes == {{None: 0, b"body": 4, "file": 100_000}[data]}
        assert len(server.requests) == 3
        assert len(server.connections) == 1


async def test_middlewares_see_each_hop() -> None:
    seen: list[str] = []

    async def look(request: Any, handler: Any) -> Any:
        answer = await handler(request)
        seen.append(f"{request.url.path} {answer.status}")
        return answer

    async with http_server() as server, fairlead.ClientSession(middlewares=(look,)) as session:
        await get(session, server.url / "redirect/2")
    assert seen == ["/redirect/2 302", "/redirect/1 302", "/echo 200"]


# --- raise_for_status ------------------------------------------------------------------------------------------------


async def test_raise_for_status_as_a_coroutine_function() -> None:
    class Mine(Exception):
        pass

    async def check(answer: fairlead.ClientResponse) -> None:
        if answer.status >= 400:
            raise Mine(await answer.text())

    async with http_server() as server, fairlead.ClientSession(raise_for_status=check) as session:
        assert session.raise_for_status is check
        assert await get(session, server.url / "status/200") == b"status 200"
        for options in ({}, {"headers": {"X": "1"}}):
            with pytest.raises(Mine, match="status 500"):
                await get(session, server.url / "status/500", **options)
            assert session.connector.in_use == 0
        assert await get(session, server.url / "status/500", raise_for_status=False) == b"status 500"
        with pytest.raises(fairlead.ClientResponseError):
            await get(session, server.url / "status/500", raise_for_status=True)


# --- cookies ---------------------------------------------------------------------------------------------------------


async def test_cookies_are_kept_across_redirects_and_calls() -> None:
    jar = fairlead.CookieJar(unsafe=True)  # the server has no name
    async with http_server() as server, fairlead.ClientSession(cookies={"base": "0"}, cookie_jar=jar) as session:
        async with session.get((server.url / "cookies/set").with_query(a="1"), cookies={"own": "2"}) as answer:
            assert await answer.json() == {"base": "0", "own": "2", "a": "1"}
            assert answer.history[0].cookies["a"].value == "1"
        async with session.get(server.url / "cookies") as answer:
            assert await answer.json() == {"base": "0", "a": "1"}
        assert {cookie.key for cookie in session.cookie_jar} == {"base", "a"}


async def test_the_cookies_of_a_call_stay_with_its_origin() -> None:
    async with http_server() as server, http_server() as other, fairlead.ClientSession() as session:
        place = str(other.url / "cookies")
        away = (server.url / "redirect-to").with_query(url=place)
        async with session.get(away, cookies={"own": "2"}) as answer:
            assert await answer.json() == {}


async def test_a_dummy_jar_keeps_nothing() -> None:
    async with http_server() as server, fairlead.ClientSession(cookie_jar=fairlead.DummyCookieJar()) as session:
        async with session.get((server.url / "cookies/set").with_query(a="1")) as answer:
            assert await answer.json() == {}


# --- credentials -----------------------------------------------------------------------------------------------------


async def test_credentials_from_the_url_the_header_and_the_argument() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        place = server.url / "basic-auth/me/secret"
        async with session.get(place.with_user("me").with_password("secret")) as answer:
            assert answer.status == 200
            assert answer.url.user is None
        async with session.get(place, headers={"Authorization": fairlead.encode_basic_auth("me", "secret")}) as answer:
            assert answer.status == 200
        with pytest.warns(DeprecationWarning, match="encode_basic_auth"):
            async with session.get(place, auth=fairlead.BasicAuth("me", "secret")) as answer:
                assert answer.status == 200
        async with session.get(place) as answer:
            assert answer.status == 401


async def test_credentials_that_contradict_each_other_are_refused() -> None:
    async with fairlead.ClientSession() as session:
        with (
            pytest.warns(DeprecationWarning, match="encode_basic_auth"),
            pytest.raises(ValueError, match="Cannot combine AUTH argument"),
        ):
            await session.get("http://me:x@any.test/", auth=fairlead.BasicAuth("me", "y"))
        with pytest.raises(ValueError, match="Cannot combine AUTHORIZATION header"):
            await session.get("http://me:x@any.test/", headers={"Authorization": "Basic eA=="})


async def test_credentials_do_not_follow_a_redirect_to_another_origin() -> None:
    async with http_server() as server, http_server() as other, fairlead.ClientSession() as session:
        for place, kept in ((server.url / "echo", True), (other.url / "echo", False)):
            url = (server.url / "redirect-to").with_query(url=str(place))
            for call in (
                session.get(url, headers={"Authorization": "Bearer x", "Cookie": "a=1", "X-Other": "2"}),
                session.get(url.with_user("me").with_password("x"), headers={"Cookie": "a=1", "X-Other": "2"}),
            ):
                async with call as answer:
                    names = {name.lower() for name, _ in (await answer.json())["fields"]}
                    assert {"authorization", "cookie"}.issubset(names) is kept
                    assert names.isdisjoint({"authorization", "cookie"}) is not kept
                    assert "x-other" in names


async def test_default_credentials_belong_to_the_base_url() -> None:
    async with http_server() as server, http_server() as other:
        with pytest.warns(DeprecationWarning, match="encode_basic_auth"):
            session = fairlead.ClientSession(server.url, auth=fairlead.BasicAuth("me", "secret"))
        async with session:
            for url, sent in (("echo", True), (other.url / "echo", False)):
                async with session.get(url) as answer:
                    names = {name for name, _ in (await answer.json())["fields"]}
                    assert ("Authorization" in names) is sent


# --- base_url --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "url", "target"),
    [
        ("", "a", "/a"),
        ("api/v1/", "a", "/api/v1/a"),
        ("api/v1/", "a/b?c=d", "/api/v1/a/b?c=d"),
        ("api/v1/", "/a", "/a"),
        ("api/v1/", "../a", "/api/a"),
        ("api/v1/", "", "/api/v1/"),
    ],
)
async def test_base_url(base: str, url: str, target: str) -> None:
    async with raw_server(answering(OK)) as server:
        async with fairlead.ClientSession(str(server.url) + base) as session:
            for _ in range(2):
                assert await get(session, url) == b"ok"
        assert [request.target for request in server.requests] == [target] * 2


@pytest.mark.parametrize(("base", "text"), [("/relative/", "absolute"), ("http://any.test/a", "trailing '/'")])
async def test_a_wrong_base_url(base: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        fairlead.ClientSession(base)


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_close_and_detach() -> None:
    session = fairlead.ClientSession()
    assert not session.closed
    await session.close()
    await session.close()
    assert (session.closed, session.connector) == (True, None)
    async with fairlead.TCPConnector() as connector:
        session = fairlead.ClientSession(connector=connector)
        session.detach()
        assert (session.closed, connector.closed) == (True, False)
        async with fairlead.ClientSession(connector=connector, connector_owner=False) as session:
            assert not session.connector_owner
        assert (session.closed, connector.closed) == (True, False)
    assert connector.closed


@pytest.mark.parametrize("how", ["close", "detach", "connector"])
@pytest.mark.parametrize("warm", [True, False])
async def test_a_closed_session_refuses_to_work(how: str, warm: bool) -> None:
    async with raw_server(answering(OK)) as server, fairlead.TCPConnector() as connector:
        session = fairlead.ClientSession(connector=connector)
        if warm:
            await get(session, server.url)
        if how == "detach":
            session.detach()
        else:
            await (session if how == "close" else connector).close()  # type: ignore[attr-defined]
        for options in ({}, {"headers": {"X": "1"}}):
            with pytest.raises(RuntimeError, match="Session is closed"):
                await get(session, server.url, **options)
        await session.close()


async def test_close_that_is_cancelled_has_closed() -> None:
    async with raw_server(answering(OK)) as server:
        session = fairlead.ClientSession()
        await get(session, server.url)
        task = asyncio.ensure_future(session.close())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert session.closed
        await session.close()


async def test_a_session_of_another_loop_is_refused() -> None:
    other = asyncio.new_event_loop()
    try:
        connector = fairlead.TCPConnector(loop=other)
        with pytest.raises(RuntimeError, match="same event loop"):
            fairlead.ClientSession(connector=connector, loop=asyncio.get_running_loop())
    finally:
        other.close()


def test_a_session_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        fairlead.ClientSession()


async def test_request_is_a_call_with_a_session_of_its_own() -> None:
    async with http_server() as server:
        async with fairlead.request("POST", server.url / "echo", json={"a": 1}) as answer:
            assert (await answer.json())["body"] == '{"a": 1}'
        async with fairlead.TCPConnector() as connector:
            async with fairlead.request("GET", server.url / "text", connector=connector) as answer:
                assert await answer.text() == "grüße\n"
            assert not connector.closed
            assert connector.idle == 1
            with pytest.raises(fairlead.InvalidURL):
                async with fairlead.request("GET", "http:///nowhere", connector=connector):
                    raise AssertionError("not reached")


async def test_what_the_verbs_return_is_a_coroutine_that_may_be_run_as_a_task() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        answer = await asyncio.create_task(session.get(server.url))
        assert await answer.read() == b"ok"
        answers = await asyncio.gather(*(session.get(server.url) for _ in range(3)))
        assert [await answer.read() for answer in answers] == [b"ok"] * 3
        call = session.get(server.url)
        call.close()  # never started, never missed


# --- facts -----------------------------------------------------------------------------------------------------------


async def test_what_a_session_says_of_itself() -> None:
    jar = fairlead.CookieJar()
    timeout = fairlead.ClientTimeout(total=1)
    async with fairlead.ClientSession(
        headers={"A": "1"}, cookie_jar=jar, timeout=timeout, skip_auto_headers=["User-Agent"], trust_env=True
    ) as session:
        assert session.headers == CIMultiDict({"A": "1"})
        assert session.cookie_jar is jar
        assert session.timeout == timeout
        assert session.skip_auto_headers == frozenset({"User-Agent"})
        assert (session.trust_env, session.auto_decompress, session.requote_redirect_url) == (True, True, True)
        assert session.loop is asyncio.get_running_loop()
        assert session.auth is None
        assert session.json_serialize is json.dumps
        assert session.trace_configs == []
        assert session.request_class is fairlead.ClientRequest
        assert session.version == fairlead.HttpVersion11
        with pytest.warns(DeprecationWarning, match="requote_redirect_url"):
            session.requote_redirect_url = False
        assert not session.requote_redirect_url


@pytest.mark.parametrize("url", ["http://", "", "http:///path", "//no-scheme", "relative", "http://:80/", 5, None])
async def test_wrong_urls_are_refused_before_anything_is_opened(url: Any) -> None:
    async with fairlead.ClientSession() as session:
        with pytest.raises((fairlead.InvalidURL, TypeError)):
            await session.get(url)
        assert session.connector.in_use == 0


async def test_urls_of_both_types() -> None:
    async with raw_server(answering(OK)) as server, fairlead.ClientSession() as session:
        for url in (str(server.url), URL(str(server.url)), f"{server.url}#part"):
            async with session.get(url) as answer:
                assert str(answer.url) == str(server.url)
                assert str(answer.real_url) == str(url)
                await answer.read()
