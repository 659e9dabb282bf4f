"""Parity of the tracing signals, middlewares and upload trackers: which come, in which order, with which facts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.parity.compare import BRIEFLY, OK, Names, Observation, outcome, same, settle
from tests.peers.raw import RawServer, answering, chunks, raw_server, response

SIGNALS = [
    "request_start", "request_chunk_sent", "response_chunk_received", "request_end", "request_exception",
    "request_redirect", "connection_queued_start", "connection_queued_end", "connection_create_start",
    "connection_create_end", "connection_reuseconn", "dns_resolvehost_start", "dns_resolvehost_end", "dns_cache_hit",
    "dns_cache_miss", "request_headers_sent",
]  # fmt: skip


def recording(lib: Any, names: Names, heard: list[Any]) -> Any:
    """A TraceConfig that writes down every signal with the facts of its parameters."""
    config = lib.TraceConfig()

    def listener(signal: str) -> Callable[[Any, Any, Any], Awaitable[None]]:
        async def heard_it(session: Any, context: Any, params: Any) -> None:
            facts = [signal]
            for fact in ("method", "url", "chunk", "host"):
                if hasattr(params, fact):
                    facts.append(names.plain(getattr(params, fact)))
            if hasattr(params, "headers"):
                facts.append(type(params.headers).__name__)
            if hasattr(params, "response"):
                facts.append(params.response.status)
            if hasattr(params, "exception"):
                facts.append(names.failure(params.exception)["kinds"])
            facts.append(names.plain(context.trace_request_ctx))
            heard.append(facts)

        return heard_it

    for signal in SIGNALS:
        getattr(config, f"on_{signal}").append(listener(signal))
    return config


async def pieces() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"cd"


async def read_all(session: Any, server: RawServer) -> None:
    async with session.get(server.url) as r:
        await r.read()


async def two(session: Any, server: RawServer) -> None:
    await read_all(session, server)
    async with session.post(server.url, data=b"abc") as r:
        await r.read()


async def upload(session: Any, server: RawServer) -> None:
    async with session.post(server.url, data=pieces()) as r:
        await r.read()


async def not_read(session: Any, server: RawServer) -> None:
    async with session.get(server.url) as r:
        await r.content.read()


async def named(session: Any, server: RawServer) -> None:
    for _ in range(2):
        async with session.get(f"http://localhost:{server.port}/", headers={"Connection": "close"}) as r:
            await r.text()
        await settle()


async def refused(session: Any, server: RawServer) -> None:
    await session.get("http://127.0.0.1:1/")


async def bad_url(session: Any, server: RawServer) -> None:
    await session.get("http://")


async def bad_scheme(session: Any, server: RawServer) -> None:
    await session.get("ftp://x/")


async def context(session: Any, server: RawServer) -> None:
    async with session.get(server.url, trace_request_ctx={"a": 1}) as r:
        await r.read()


async def raising(session: Any, server: RawServer) -> None:
    async with session.get(server.url, raise_for_status=True):
        pass


async def json(session: Any, server: RawServer) -> None:
    async with session.post(server.url, json={"a": 1}) as r:
        await r.json(content_type=None)


REDIRECT = response(302, b"", ("Location", "/n"))
CLOSING = response(200, b"ok", ("Connection", "close"))
TRACES: dict[str, tuple[tuple[bytes | None, ...], Callable[[Any, RawServer], Awaitable[None]], dict[str, Any]]] = {
    "one": ((OK,), read_all, {}),
    "reused": ((OK,), two, {}),
    "redirect": ((REDIRECT, OK), read_all, {}),
    "chunked": ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"ok", b"z"),), read_all, {}),
    "upload": ((OK,), upload, {}),
    "content only": ((OK,), not_read, {}),
    "named": ((CLOSING,), named, {}),
    "named no cache": ((CLOSING,), named, {"use_dns_cache": False}),
    "refused": ((OK,), refused, {}),
    "bad url": ((OK,), bad_url, {}),
    "bad scheme": ((OK,), bad_scheme, {}),
    "context": ((OK,), context, {}),
    "closed": ((None,), read_all, {}),
    "closed after reuse": ((OK, None, OK), two, {}),
    "raise_for_status": ((response(404, b"no"),), raising, {}),
    "too many redirects": ((REDIRECT,), read_all, {}),
    "json": ((response(200, b"{}"),), json, {}),
}


@pytest.mark.parametrize("name", TRACES)
async def test_signals(name: str) -> None:
    answers, act, connector = TRACES[name]

    async def scenario(lib: Any) -> Observation:
        names, heard = Names(), []  # type: tuple[Names, list[Any]]
        async with raw_server(answering(*answers)) as server:
            names.learn(server, "PORT")
            async with lib.ClientSession(
                connector=lib.TCPConnector(**connector), trace_configs=[recording(lib, names, heard)]
            ) as session:
                done = await outcome(names, act(session, server))
        return {"heard": heard, "done": done}

    await same(f"trace/{name}", scenario)


async def test_signals_of_a_wait_for_the_pool() -> None:
    async def scenario(lib: Any) -> Observation:
        names, heard = Names(), []  # type: tuple[Names, list[Any]]

        async def slowly(connection: Any) -> None:
            while await connection.request():
                await asyncio.sleep(BRIEFLY)
                await connection.send(OK)

        async with raw_server(slowly) as server:
            names.learn(server, "PORT")
            async with lib.ClientSession(
                connector=lib.TCPConnector(limit=1), trace_configs=[recording(lib, names, heard)]
            ) as session:
                await asyncio.gather(read_all(session, server), read_all(session, server))
        return {"heard": sorted(facts[0] for facts in heard)}

    await same("trace/pool", scenario)


async def test_trace_config_context_factory() -> None:
    async def scenario(lib: Any) -> Observation:
        made: list[Any] = []

        def factory(**kw: Any) -> Any:
            made.append(kw)
            return "context"

        contexts: list[Any] = []

        async def started(session: Any, context: Any, params: Any) -> None:
            contexts.append(context)

        config = lib.TraceConfig(trace_config_ctx_factory=factory)
        config.on_request_start.append(started)
        async with raw_server(answering(OK)) as server:
            async with lib.ClientSession(trace_configs=[config]) as session:
                async with session.get(server.url, trace_request_ctx="mine") as r:
                    await r.read()
                frozen = await outcome(Names(), lambda: config.on_request_end.append(started))
        return {"made": made, "contexts": contexts, "frozen": frozen}

    await same("trace/factory", scenario)


async def test_a_listener_that_raises() -> None:
    async def scenario(lib: Any) -> Observation:
        async def fail(session: Any, context: Any, params: Any) -> None:
            raise KeyError("listener")

        seen = Observation()
        for signal in ("request_start", "request_headers_sent", "request_end"):
            config = lib.TraceConfig()
            getattr(config, f"on_{signal}").append(fail)
            async with raw_server(answering(OK)) as server:
                async with lib.ClientSession(trace_configs=[config]) as session:
                    seen[signal] = await outcome(Names(), read_all(session, server))
        return seen

    await same("trace/listener raises", scenario)


# --- middlewares -----------------------------------------------------------------------------------------------------


async def test_middlewares_are_nested_and_see_every_hop() -> None:
    async def scenario(lib: Any) -> Observation:
        names, order = Names(), []  # type: tuple[Names, list[Any]]

        def layer(name: str) -> Any:
            async def middleware(request: Any, handler: Any) -> Any:
                order.append([name, request.method, names.plain(request.url), "X-Layer" in request.headers])
                request.headers["X-Layer"] = name
                answer = await handler(request)
                order.append([name, answer.status])
                return answer

            return middleware

        async with raw_server(answering(REDIRECT, OK)) as server:
            names.learn(server, "PORT")
            async with lib.ClientSession(middlewares=(layer("a"), layer("b"))) as session:
                async with session.get(server.url) as r:
                    body = await r.read()
                sent = [q.field("X-Layer") for q in server.requests]
                seen = {"order": list(order), "body": body, "sent": sent}
                order.clear()
                async with session.get(server.url, middlewares=(layer("c"),)) as r:
                    await r.read()
                seen["of the request"] = list(order)
                order.clear()
                async with session.get(server.url, middlewares=()) as r:
                    await r.read()
                seen["none"] = list(order)
        return seen

    await same("middleware/nested", scenario)


async def test_a_middleware_may_ask_again_or_not_at_all() -> None:
    async def scenario(lib: Any) -> Observation:
        names, seen = Names(), Observation()

        async def again(request: Any, handler: Any) -> Any:
            first = await handler(request)
            if first.status == 401:
                first.release()
                request.headers["Authorization"] = "now"
                return await handler(request)
            return first

        async def refuse(request: Any, handler: Any) -> Any:
            raise lib.ClientConnectionError("refused by the middleware")

        async with raw_server(answering(response(401, b"no"), OK)) as server:
            names.learn(server, "PORT")
            async with lib.ClientSession(middlewares=(again,)) as session:
                async with session.post(server.url, data=b"abc") as r:
                    seen["again"] = names.plain([r.status, await r.read()])
                seen["sent"] = [[q.field("Authorization"), q.body] for q in server.requests]
                seen["refused"] = await outcome(names, lambda: session.get(server.url, middlewares=(refuse,)))
        return seen

    await same("middleware/again", scenario)


async def test_what_a_middleware_can_see_of_the_request() -> None:
    async def scenario(lib: Any) -> Observation:
        names, facts = Names(), []  # type: tuple[Names, list[Any]]

        async def look(request: Any, handler: Any) -> Any:
            facts.extend(
                [
                    request.method, names.plain(request.url), names.plain(request.headers), request.host,
                    request.is_ssl(), names.plain(request.port), request.ssl, request.auth, type(request.body).__name__,
                    request.session is session, names.plain(request.request_info.real_url), request.version.minor,
                    await request.body.as_bytes(), list(request.skip_auto_headers), request.response is None,
                ]
            )  # fmt: skip
            return await handler(request)

        async with raw_server(answering(OK)) as server:
            names.learn(server, "PORT")
            async with lib.ClientSession(middlewares=(look,)) as session:
                async with session.post(f"{server.url}p?q=1#f", data=b"abc", headers={"X": "1"}) as r:
                    await r.read()
        return {"facts": facts}

    await same("middleware/facts", scenario)


async def test_upload_trackers() -> None:
    async def scenario(lib: Any) -> Observation:
        seen = Observation()
        async with raw_server(answering(OK)) as server, lib.ClientSession() as session:
            uploads: list[tuple[str, dict[str, Any]]] = [
                ("bytes", {"method": "POST", "data": b"12345"}),
                ("generator", {"method": "POST", "data": pieces()}),
                ("none", {"method": "GET"}),
            ]
            for name, options in uploads:
                tracker = lib.UploadTracker()
                seen[f"{name} before"] = [tracker.bytes_written, tracker.attempts]
                async with session.request(url=server.url, upload_tracker=tracker, **options) as r:
                    await r.read()
                seen[name] = [tracker.bytes_written, tracker.attempts, tracker.upload_complete.done()]
        return seen

    await same("middleware/upload tracker", scenario)
