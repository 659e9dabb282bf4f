"""Parity of bad input: what is refused, with which class, and that nothing was sent when it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from multidict import MultiDict
from tests.parity.compare import OK, Names, Observation, Shot, fire, outcome, same, table
from tests.peers.raw import answering, raw_server

URLS = [
    "", "/", "foo", "http://", "http:///path", "http:/x", "ftp://h/", "file:///etc", "data:x", "http://h:99999/",
    "http://h:abc/", "http://h:-1/", "http://[::1/", "http://[zz]/", "javascript:1", "HTTPS", "mailto:a@b",
    "http://256.256.256.256/", "http://1.2.3/", "unix:/x", "http+unix://x", "http://user:@:80/", "http:", "://x", "?a",
    None, 5, b"http://x/", ["x"],
]  # fmt: skip


@pytest.mark.parametrize("url", URLS, ids=repr)
async def test_urls(url: Any) -> None:
    async def scenario(lib: Any) -> Observation:
        async with lib.ClientSession() as session:
            return {"seen": await outcome(Names(), lambda: session.get(url))}

    await same(f"url/{url!r}", scenario)


METHODS: list[Any] = ["GE T", "G\r\nX", "G\x00", "é", "GET:", "(X)", None, b"GET", 5]


@pytest.mark.parametrize("method", METHODS, ids=repr)
async def test_methods(method: Any) -> None:
    await same(f"bad method/{method!r}", lambda lib: fire(lib, Shot(method=method)))


FIELDS: list[Any] = [
    {"X": "a\r\nY: b"}, {"X": "a\nb"}, {"X": "a\rb"}, {"X": "a\x00b"}, {"X\r\n": "a"}, {"X\n": "a"}, {"X\x00": "a"},
    {"X\ry": "a"}, {"X": "a\x01"}, {"X": "a\x7f"}, {"Host": "a\r\nb"}, {"User-Agent": "a\x00"}, {"Cookie": "a\r\nb"},
    {"X": 1}, {"X": None}, {"X": b"a"}, {"X": 1.5}, {"X": True}, {"X": ["a"]}, {1: "x"}, {b"X": "a"}, {None: "x"},
    "abc", 5, [1], [("a",)], [("a", "b", "c")], [("a", 1)],
]  # fmt: skip


@pytest.mark.parametrize("where", ["session", "options"])
@pytest.mark.parametrize("fields", FIELDS, ids=repr)
async def test_fields(fields: Any, where: str) -> None:
    shot = Shot(**{where: {"headers": fields}})  # type: ignore[arg-type]
    await same(f"bad fields/{where} {fields!r}", lambda lib: fire(lib, shot))


def timeouts(*pairs: tuple[str, Any]) -> Callable[[Any], dict[str, Any]]:
    return lambda lib: {"timeout": lib.ClientTimeout(**dict(pairs))}


NOT = object()
REQUEST: dict[str, list[Any]] = {
    "timeout": [5, 0, -1, 1.5, None, "x", (1, 2), True],
    "ssl": [None, True, False, "x", 1, 0, b"x", NOT],
    "proxy": [5, False, b"x"],
    "max_redirects": [1, 0, 10],
    "params": [5, NOT, b"x", [1], [("a", "b", "c")]],
    "cookies": [5, [1], "x", None],
    "allow_redirects": [None, "x", 0],
    "chunked": ["x", 5, 0],
    "raise_for_status": [None, 5],
    "read_until_eof": [None, False],
    "read_bufsize": [0, 1, None],
    "json": [NOT, {1}, float("nan")],
    "skip_auto_headers": [5, None, "x", []],
    "auto_decompress": [None, True],
    "trace_request_ctx": [5, None],
    "middlewares": [None, ()],
    "verify_ssl": [True, False],
    "server_hostname": ["x", None],
    "ssl_context": [5],
    "fingerprint": [b"x", b"a" * 16, b"a" * 20],
    "auth": [("u", "p"), "u:p", 5],
    "foo": [1],
    "loop": [None],
    "compress": [None, ""],
    "expect100": [False, None],
    "upload_tracker": [None],
}
REQUEST_CASES = {
    f"{name}={'object' if value is NOT else repr(value)}": Shot(options={name: value})
    for name, values in REQUEST.items()
    for value in values
}


@table("request argument", REQUEST_CASES)
async def test_request_arguments(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


SESSION: dict[str, list[Any]] = {
    "base_url": ["foo", "/x", "http://h", 5, "http://h/p", "http://h/p/", "", None, "http://h/p?q", "http://h/?q"],
    "connector": [None],
    "cookies": [5, None, {"a": "b"}],
    "headers": [5, "x", None, MultiDict()],
    "skip_auto_headers": [5, None, "x"],
    "auth": [5, "u:p", None],
    "raise_for_status": [None, True],
    "timeout": [5, 1.5, None, "x", -1, 0],
    "read_bufsize": [1, 2**20],
    "trace_configs": [None, []],
    "middlewares": [()],
    "read_timeout": [5],
    "conn_timeout": [5],
    "proxy": [5, b"x"],
    "trust_env": [True, 1],
    "json_serialize": [None],
    "foo": [1],
    "requests": [1],
    "ssl_shutdown_timeout": [0, 0.1],
    "auto_decompress": [False],
    "connector_owner": [True],
    "max_headers": [0],
    "max_line_size": [0],
    "max_field_size": [0],
}
SESSION_CASES = {
    f"{name}={value!r}": Shot(session={name: value}, received=False)
    for name, values in SESSION.items()
    for value in values
}


@table("session argument", SESSION_CASES)
async def test_session_arguments(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


CONNECTOR: dict[str, list[Any]] = {
    "limit": [0, 1, None, 5],
    "limit_per_host": [0, 1, None],
    "keepalive_timeout": [0, None, 1],
    "force_close": [True, False],
    "ttl_dns_cache": [0, None, 5],
    "use_dns_cache": [True, False],
    "family": [5, "x", 0, 2],
    "ssl": [5, None, "x", True, False],
    "local_addr": [("127.0.0.1", 0), None],
    "happy_eyeballs_delay": [None, 0.1],
    "interleave": [None, 1],
    "enable_cleanup_closed": [True, False],
    "verify_ssl": [True, False],
    "fingerprint": [b"x", b"a" * 16, b"a" * 32],
    "ssl_context": [5, None],
    "socket_factory": [None],
    "ssl_shutdown_timeout": [0, 1],
    "foo": [1],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in CONNECTOR.items() for value in values],
    ids=lambda value: value if isinstance(value, str) else repr(value),
)
async def test_connector_arguments(name: str, value: Any) -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()

        async def use() -> Any:
            async with lib.ClientSession(connector=lib.TCPConnector(**{name: value})) as session:
                async with session.get(server.url) as r:
                    return r.status

        async with raw_server(answering(OK)) as server:
            names.learn(server, "PORT")
            return {"seen": await outcome(names, use())}

    await same(f"connector argument/{name}={value!r}", scenario)


async def test_connector_arguments_that_exclude_each_other() -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        return {
            "force_close": await outcome(names, lambda: lib.TCPConnector(force_close=True, keepalive_timeout=5)),
            "verify_ssl": await outcome(names, lambda: lib.TCPConnector(verify_ssl=False, ssl=False)),
            "limit": await outcome(names, lambda: lib.BaseConnector(resolver=None)),
        }

    await same("connector argument/conflicts", scenario)


async def test_client_timeout() -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        made = {
            str(kw): await outcome(names, lambda kw=kw: repr(lib.ClientTimeout(**kw)))
            for kw in [
                {},
                {"total": 5},
                {"total": 0},
                {"connect": 1, "sock_read": 2.5},
                {"ceil_threshold": 1},
                {"x": 1},
            ]
        }
        changed = attrs.evolve(lib.ClientTimeout(total=1), connect=2)
        frozen = await outcome(names, lambda: setattr(changed, "total", 5))
        return {
            "made": made,
            "positional": repr(lib.ClientTimeout(1, 2, 3, 4, 5)),
            "changed": [changed.total, changed.connect],
            "frozen": frozen["raised"]["kinds"][-1] if frozen else None,
            "equal": lib.ClientTimeout(total=1) == lib.ClientTimeout(total=1),
            "hash": hash(lib.ClientTimeout(total=1)) == hash(lib.ClientTimeout(total=1)),
        }

    await same("session argument/ClientTimeout", scenario)


async def test_fingerprints() -> None:
    async def scenario(lib: Any) -> Observation:
        names = Names()
        sizes = (0, 1, 16, 20, 32)
        return {str(n): await outcome(names, lambda n=n: lib.Fingerprint(b"a" * n).fingerprint) for n in sizes}

    await same("session argument/Fingerprint", scenario)


@pytest.mark.parametrize("name", ["ClientSession", "TCPConnector", "CookieJar", "UnixConnector"])
async def test_what_needs_a_running_loop_says_so(name: str) -> None:
    async def scenario(lib: Any) -> Observation:
        make = getattr(lib, name)
        arguments = ("/x",) if name == "UnixConnector" else ()

        def outside() -> Any:
            try:
                made = make(*arguments)
            except RuntimeError as exc:
                return type(exc).__name__
            return f"made {type(made).__name__}"

        return {"seen": await asyncio.to_thread(outside)}

    await same(f"session argument/no loop {name}", scenario)


async def test_subclassing() -> None:
    async def scenario(lib: Any) -> Observation:
        class Session(lib.ClientSession):  # type: ignore[misc]
            pass

        class Response(lib.ClientResponse):  # type: ignore[misc]
            def shout(self) -> str:
                return "ok!"

        async with raw_server(answering(OK)) as server:
            async with Session(response_class=Response) as session:
                session.added = 1
                async with session.get(server.url) as r:
                    return {"shouted": r.shout(), "body": await r.read(), "type": type(r).__name__}

    await same("session argument/subclass", scenario)
