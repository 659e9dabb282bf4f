"""Parity of what goes over the wire: start line, fields, their order and defaults, and the body's framing."""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from multidict import CIMultiDict, MultiDict
from tests.parity.compare import Observation, Shot, fire, libraries, same, table
from tests.peers.raw import RawConnection, response


async def pieces() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"cd"


def plain_generator() -> Iterator[bytes]:
    yield b"ab"


def parts(lib: Any) -> Any:
    writer = lib.MultipartWriter("mixed", boundary="BB")
    with writer:
        writer.append("x")
        writer.append_json({"a": 1})
        writer.append(b"bytes", {"X-Part": "1"})
    return writer


def form(lib: Any, **options: Any) -> Any:
    data = lib.FormData(**options)
    data.add_field("a", "b c")
    data.add_field("é", "ü&")
    return data


def form_with_file(lib: Any, **options: Any) -> Any:
    data = lib.FormData(**options)
    data.add_field("a", "b")
    data.add_field("f", b"xx", filename='n é".txt', content_type="text/x")
    data.add_field("g", io.BytesIO(b"yy"))
    return data


def file(content: bytes, mode: str, suffix: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"upload{suffix}")
        path.write_bytes(content)
        return path.open(mode)  # the library closes it; the name is gone, the content is not


def morsel() -> Any:
    jar: SimpleCookie = SimpleCookie()
    jar["m"] = "v"
    return jar


def post(**options: Any) -> Shot:
    return Shot(method="POST", options=options)


def lazy(method: str = "POST", **makers: Any) -> Shot:
    return Shot(method=method, options=lambda lib: {name: make(lib) for name, make in makers.items()})


NO_BODY = response(200, b"")

METHODS = {
    f"method {method}": Shot(NO_BODY, method=method, close=method == "CONNECT")
    for method in "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT FOO get Pro-p".split()
}

BODIES = {
    "bytes": post(data=b"abc"),
    "bytearray": post(data=bytearray(b"abc")),
    "memoryview": post(data=memoryview(b"abc")),
    "str": post(data="aé"),
    "empty bytes": post(data=b""),
    "empty str": post(data=""),
    "empty dict": post(data={}),
    "json": post(json={"a": "é"}),
    "json none": post(json=None),
    "json zero": post(json=0),
    "json false": post(json=False),
    "json list on GET": Shot(options={"json": []}),
    "json serialize": Shot(method="POST", options={"json": {"a": 1}}, session={"json_serialize": lambda v: f"<{v}>"}),
    "json content type": post(json=1, headers={"content-type": "text/x"}),
    "bytes on GET": Shot(options={"data": b"abc"}),
    "bytes on HEAD": Shot(NO_BODY, method="HEAD", options={"data": b"abc"}),
    "bytes on DELETE": Shot(method="DELETE", options={"data": b"abc"}),
    "bytes content type": post(data=b"a", headers={"Content-Type": "text/x"}),
    "content type without body": post(headers={"Content-Type": "text/x"}),
    "data and json": post(data=b"x", json={}),
    "empty data and json": post(data=b"", json={}),
    "form dict": post(data={"a": "b c", "é": "ü"}),
    "form pairs": post(data=[("a", "1"), ("a", "2")]),
    "form tuple of pairs": post(data=(("a", "b"),)),
    "form multidict": post(data=MultiDict([("a", "1"), ("a", "2")])),
    "form int": post(data={"a": 1}),
    "form none": post(data={"a": None}),
    "form float": post(data={"a": 1.5}),
    "form bool": post(data={"a": True}),
    "form bytes": post(data={"a": b"x"}),
    "form content type": post(data={"a": "b"}, headers={"Content-Type": "multipart/form-data"}),
    "form plus and percent": post(data={"a+b": "100% & more = ü/?"}),
    "form newline": post(data={"a": "x\r\ny"}),
    "form file": lazy(data=lambda lib: {"f": file(b"file bin", "rb", ".bin")}),
    "form nested list": post(data={"a": ["1", "2"]}),
    "formdata": lazy(data=form),
    "formdata charset": lazy(data=lambda lib: form(lib, charset="latin-1")),
    "formdata unquoted": lazy(data=lambda lib: form(lib, quote_fields=False)),
    "formdata multipart": lazy(data=form_with_file),
    "formdata multipart unquoted": lazy(data=lambda lib: form_with_file(lib, quote_fields=False)),
    "formdata empty": lazy(data=lambda lib: lib.FormData()),
    "formdata of dict": lazy(data=lambda lib: lib.FormData({"x": "1"})),
    "multipart": lazy(data=parts),
    "multipart content type": lazy(data=parts, headers=lambda lib: {"Content-Type": "multipart/x; boundary=BB"}),
    "text file": lazy(data=lambda lib: file(b"file text", "r", ".txt")),
    "binary file": lazy(data=lambda lib: file(b"file bin", "rb", ".bin")),
    "html file": lazy(data=lambda lib: file(b"<p>", "rb", ".html")),
    "bytesio": lazy(data=lambda lib: io.BytesIO(b"xyz")),
    "stringio": lazy(data=lambda lib: io.StringIO("xyzé")),
    "bytesio half read": lazy(data=lambda lib: _advanced(io.BytesIO(b"xyz"), 1)),
    "payload": lazy(data=lambda lib: lib.BytesPayload(b"p", content_type="text/p")),
    "payload with fields": lazy(data=lambda lib: lib.BytesPayload(b"p", headers={"X-P": "1"})),
    "string payload": lazy(data=lambda lib: lib.StringPayload("é", encoding="latin-1")),
    "json payload": lazy(data=lambda lib: lib.JsonPayload({"a": 1})),
    "async generator": lazy(data=lambda lib: pieces()),
    "async generator on GET": lazy("GET", data=lambda lib: pieces()),
    "async generator with length": lazy(data=lambda lib: pieces(), headers=lambda lib: {"Content-Length": "4"}),
    "async generator not chunked": lazy(data=lambda lib: pieces(), chunked=lambda lib: False),
    "large": post(data=b"0123456789" * 30_000),
    "generator": lazy(data=lambda lib: plain_generator()),
    "int": post(data=5),
    "object": post(data=object()),
    "none in list": post(data=[None]),
    "list of str": post(data=["ab"]),
}


def _advanced(stream: io.BytesIO, n: int) -> io.BytesIO:
    stream.read(n)
    return stream


FRAMING = {
    "compress true": Shot(method="POST", options={"data": b"abc" * 10, "compress": True}, sent="bodies"),
    "compress gzip": Shot(method="POST", options={"data": b"abc" * 10, "compress": "gzip"}, sent="bodies"),
    "compress deflate": Shot(method="POST", options={"data": b"abc" * 10, "compress": "deflate"}, sent="bodies"),
    "compress false": post(data=b"abc", compress=False),
    "compress generator": Shot(
        method="POST", options=lambda lib: {"data": pieces(), "compress": "deflate"}, sent="bodies"
    ),
    "compress no body": post(compress=True),
    "compress GET": Shot(options={"compress": "gzip"}),
    "content encoding": post(data=b"a", headers={"Content-Encoding": "gzip"}),
    "content encoding and compress": post(data=b"a", headers={"Content-Encoding": "gzip"}, compress=True),
    "chunked": post(data=b"abc", chunked=True),
    "chunked str": post(data="abc", chunked=True),
    "chunked json": post(json=[1], chunked=True),
    "chunked no body": post(chunked=True),
    "transfer encoding and chunked": post(data=b"a", headers={"Transfer-Encoding": "chunked"}, chunked=True),
    "chunked and length": post(data=b"a", chunked=True, headers={"Content-Length": "1"}),
    "length given": post(data=b"abc", headers={"Content-Length": "3"}),
    "length too short": post(data=b"abc", headers={"Content-Length": "2"}),
    "length bad": post(data=b"abc", headers={"Content-Length": "x"}),
    "length on GET": Shot(options={"headers": {"Content-Length": "0"}}),
    "chunked GET": Shot(options={"chunked": True}),
    "chunked false": post(data=b"abc", chunked=False),
    "chunked large": post(data=b"0123456789" * 20_000, chunked=True),
}


async def test_a_transfer_encoding_field_of_the_caller_means_chunked() -> None:
    """aiohttp announces it beside a Content-Length and sends no chunks, so that the server waits for ever."""
    shot = post(data=b"abc", headers={"Transfer-Encoding": "chunked"})
    seen = await fire(libraries()[1], shot)
    assert seen["body"] == b"ok"
    head, _, body = seen["sent"][0].partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body == b"3\r\nabc\r\n0\r\n\r\n"


VERSIONS = {
    "version 1.0": Shot(session=lambda lib: {"version": lib.HttpVersion10}),
    "version 1.0 POST": Shot(method="POST", session=lambda lib: {"version": lib.HttpVersion10}, options={"data": b"a"}),
    "version 1.0 close": Shot(
        session=lambda lib: {"version": lib.HttpVersion10}, options={"headers": {"Connection": "close"}}
    ),
    "version per request": Shot(options=lambda lib: {"version": lib.HttpVersion10}),
}

AUTO_FIELDS = {
    **{
        f"skip {name}": post(data=b"a", skip_auto_headers=[name])
        for name in ["User-Agent", "Accept", "Accept-Encoding", "Host", "Content-Type", "user-agent"]
    },
    "skip content type of form": post(data={"a": "b"}, skip_auto_headers={"content-type"}),
    "skip content type of json": post(json=1, skip_auto_headers=["Content-Type"]),
    "skip content type without body": post(skip_auto_headers=["Content-Type"]),
    "skip session and request": Shot(
        session={"skip_auto_headers": ["user-agent"]}, options={"skip_auto_headers": ["Accept"]}
    ),
    "session pairs": Shot(session={"headers": [("X-A", "1"), ("X-A", "2")]}),
    "session multidict": Shot(session={"headers": MultiDict([("x-a", "1"), ("X-A", "2")])}),
    "session cimultidict": Shot(session={"headers": CIMultiDict([("x-a", "1"), ("X-A", "2")])}),
    "session and request": Shot(session={"headers": {"X-A": "1", "X-B": "b"}}, options={"headers": {"x-a": "3"}}),
    "session and request repeated": Shot(
        session={"headers": [("X-A", "1"), ("X-A", "2")]}, options={"headers": [("X-A", "3"), ("x-a", "4")]}
    ),
    "request multidict": Shot(options={"headers": MultiDict([("X-A", "1"), ("x-a", "2")])}),
    "request cimultidict": Shot(options={"headers": CIMultiDict([("X-A", "1"), ("x-a", "2")])}),
    "request pairs": Shot(options={"headers": [("X-A", "1"), ("X-A", "2")]}),
    "list of two letter str": Shot(options={"headers": ["ab"]}),
    "istr": Shot(options=lambda lib: {"headers": {lib.hdrs.USER_AGENT: "u"}}),
    "utf-8 value": Shot(options={"headers": {"X": "é"}}),
    "space around value": Shot(options={"headers": {"X": "  a  "}}),
    "tab in value": Shot(options={"headers": {"X": "a\tb"}}),
    "empty value": Shot(options={"headers": {"X": ""}}),
    "own user agent": Shot(options={"headers": {"user-agent": "me"}}),
    "own accept empty": Shot(options={"headers": {"Accept": ""}}),
    "own accept encoding": Shot(options={"headers": {"Accept-Encoding": "identity"}}),
    "connection close": Shot(options={"headers": {"Connection": "close"}}),
    "host": Shot(options={"headers": {"Host": "ex.com"}}),
    "host comes first": Shot(options={"headers": {"X": "1", "Host": "ex.com", "Accept": "z"}}),
    "host twice": Shot(options={"headers": [("Host", "a"), ("Host", "b")]}),
    "session host": Shot(session={"headers": {"Host": "ex.com"}}),
    "names keep their case": Shot(options={"headers": {"x-lower": "1", "X-UPPER": "2", "X-MiXed": "3"}}),
    "everything": Shot(
        sent="bodies",
        method="POST",
        session={"cookies": {"s": "1"}},
        options=lambda lib: {
            "data": b"abc",
            "chunked": True,
            "compress": "gzip",
            "headers": {"B": "1", "A": "2", "Connection": "close", "Authorization": "x"},
        },
    ),
}


def jar(lib: Any, **options: Any) -> Any:
    return lib.CookieJar(unsafe=True, **options)


COOKIES = {
    "session": Shot(session={"cookies": {"s": "1", "t": "x y"}}),
    "session unsafe jar": Shot(
        session=lambda lib: {"cookies": {"s": "1"}, "cookie_jar": jar(lib)}, options={"cookies": {"r": "2"}}
    ),
    "request": Shot(options={"cookies": {"r": "2"}}),
    "request order": Shot(options={"cookies": {"b": "1", "a": "2", "B": "3"}}),
    "request over session": Shot(
        session=lambda lib: {"cookies": {"s": "1"}, "cookie_jar": jar(lib)}, options={"cookies": {"s": "2"}}
    ),
    "field alone": Shot(options={"headers": {"X": "1", "Cookie": 'a=b; c="d e"', "Y": "2"}}),
    "field and request": Shot(options={"cookies": {"r": "2"}, "headers": {"Cookie": 'a=b; c="d e"'}}),
    "field and request same name": Shot(options={"cookies": {"a": "2"}, "headers": {"Cookie": "a=b"}}),
    "field and jar": Shot(
        session=lambda lib: {"cookies": {"s": "1"}, "cookie_jar": jar(lib)}, options={"headers": {"Cookie": "z=b"}}
    ),
    "field of session and request": Shot(session={"headers": {"Cookie": "h=1"}}, options={"cookies": {"r": "2"}}),
    "field twice": Shot(options={"headers": [("Cookie", "a=1"), ("Cookie", "b=2")]}),
    "quoted": Shot(options={"cookies": {"a": 'x y"z;,', "b": "é"}}),
    "pairs": Shot(options={"cookies": [("a", "1"), ("a", "2")]}),
    "int": Shot(options={"cookies": {"a": 1}}),
    "none": Shot(options={"cookies": {"a": None}}),
    "empty value": Shot(options={"cookies": {"a": ""}}),
    "simple cookie": lazy("GET", cookies=lambda lib: morsel()),
    "dummy jar": Shot(session=lambda lib: {"cookie_jar": lib.DummyCookieJar()}, options={"cookies": {"a": "b"}}),
    "unquoted jar": Shot(
        session=lambda lib: {"cookies": {"q": "x y"}, "cookie_jar": jar(lib, quote_cookie=False)},
        options={"cookies": {"z": "y z"}},
    ),
    "empty": Shot(options={"cookies": {}}),
    "three sources": Shot(
        session={"cookies": [("zz", "1"), ("mm", "2")]},
        options={"cookies": {"zzz": "1", "a": "2"}, "headers": {"Cookie": "y=1; x=2"}},
    ),
}


def basic(lib: Any, login: str = "u", password: str = "p", *encoding: str) -> Any:
    return lib.BasicAuth(login, password, *encoding)


AUTH = {
    "argument": lazy("GET", auth=lambda lib: basic(lib, "u", "pé")),
    "argument utf-8": lazy("GET", auth=lambda lib: basic(lib, "u", "pé", "utf-8")),
    "url": Shot(path="http://us%20er:p%40ss@127.0.0.1:PORT/x"),
    "url user only": Shot(path="http://user@127.0.0.1:PORT/"),
    "url password only": Shot(path="http://:pw@127.0.0.1:PORT/"),
    "url with colons": Shot(path="http://u:p:q@127.0.0.1:PORT/"),
    "url non-latin": Shot(path="http://ü:ñ@127.0.0.1:PORT/"),
    "session": Shot(session=lambda lib: {"auth": basic(lib)}),
    "session and argument": Shot(
        session=lambda lib: {"auth": basic(lib)}, options=lambda lib: {"auth": basic(lib, "v", "q")}
    ),
    "session and url": Shot(path="http://a:b@127.0.0.1:PORT/", session=lambda lib: {"auth": basic(lib)}),
    "url and argument": Shot(path="http://a:b@127.0.0.1:PORT/", options=lambda lib: {"auth": basic(lib)}),
    "argument and field": Shot(options=lambda lib: {"auth": basic(lib), "headers": {"Authorization": "x"}}),
    "session and field": Shot(session=lambda lib: {"auth": basic(lib)}, options={"headers": {"Authorization": "x"}}),
    "session and session field": Shot(session=lambda lib: {"auth": basic(lib), "headers": {"Authorization": "x"}}),
    "url and field": Shot(path="http://a:b@127.0.0.1:PORT/", options={"headers": {"Authorization": "x"}}),
    "field": Shot(options={"headers": {"Authorization": "Bearer t"}}),
    "encoded header": Shot(options=lambda lib: {"headers": {"Authorization": lib.encode_basic_auth("u", "pé")}}),
    "tuple": Shot(options={"auth": ("u", "p")}),
    "str": Shot(options={"auth": "u:p"}),
    "session tuple": Shot(session={"auth": ("u", "p")}),
}

PARAMS: Mapping[str, Any] = {
    "dict": {"a": "1 2", "b": "é"},
    "int": {"a": 1},
    "float": {"a": 1.5},
    "list value": {"a": ["1", "2"]},
    "pairs": [("a", "1"), ("a", "2")],
    "str": "a=b&c=d e",
    "str with question mark": "?a=b",
    "str percent": "a=%20%zz",
    "multidict": MultiDict([("a", "1"), ("a", "2")]),
    "empty": {},
    "empty str": "",
    "reserved": {"a": "1+2&=;/?#%"},
    "cr lf": {"a": "b\r\nc"},
    "none": None,
    "none value": {"a": None},
    "bool value": {"a": True},
    "nan": {"a": float("nan")},
    "bytes": b"a=b",
    "number": 5,
    "set value": {"a": {1}},
    "int key": {1: "a"},
}

TARGETS = {
    **{f"params {name}": Shot(options={"params": value}) for name, value in PARAMS.items()},
    "params added": Shot(path="x?q=1#frag", options={"params": {"a": "b"}}),
    "params same key": Shot(path="x?a=1", options={"params": {"a": "2"}}),
    "requoted": Shot(path="/a b/é/%7e/%2F/../c?x=y z&w=%3d+"),
    "fragment": Shot(path="/a#frag"),
    "no path": Shot(path="http://127.0.0.1:PORT"),
    "query without path": Shot(path="http://127.0.0.1:PORT?a"),
    "double slash": Shot(path="http://127.0.0.1:PORT//a//b"),
    "question mark": Shot(path="/a?"),
    "odd characters": Shot(path='/a;b=c*(d)[e]|f"<>`{}^\\'),
    "upper case scheme": Shot(path="HTTP://127.0.0.1:PORT/"),
    "ws scheme": Shot(path="ws://127.0.0.1:PORT/"),
    "upper case host": Shot(path="http://LOCALHOST:PORT/x"),
    "params on encoded": Shot(path="a%2Fb", options={"params": {"q": "x y"}}),
}


@table("methods", METHODS)
async def test_methods(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("bodies", BODIES)
async def test_bodies(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("framing", FRAMING)
async def test_framing(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("versions", VERSIONS)
async def test_versions(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("fields", AUTO_FIELDS)
async def test_fields(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("cookies", COOKIES)
async def test_cookies(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("auth", AUTH)
async def test_auth(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@table("targets", TARGETS)
async def test_targets(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


def expecting(interim: bytes, final: bytes) -> Any:
    async def handler(connection: RawConnection) -> None:
        while request := await connection.head():
            if interim:
                await connection.send(interim)
                await connection.body(request)
            await connection.send(final)

    return handler


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = {
    "continue": Shot(
        expecting(CONTINUE, response(200, b"ok")), method="POST", options={"data": b"abc", "expect100": True}
    ),
    "field": Shot(
        expecting(CONTINUE, response(200, b"ok")),
        method="POST",
        options={"data": b"abc", "headers": {"Expect": "100-continue"}},
    ),
    "generator": Shot(
        expecting(CONTINUE, response(200, b"ok")),
        method="POST",
        options=lambda lib: {"data": pieces(), "expect100": True},
    ),
    "refused": Shot(expecting(b"", response(417, b"no")), method="POST", options={"data": b"abc", "expect100": True}),
    "answered without": Shot(
        expecting(b"", response(200, b"ok")), method="POST", options={"data": b"abc", "expect100": True}
    ),
    "two interim": Shot(
        expecting(CONTINUE * 2, response(200, b"ok")), method="POST", options={"data": b"abc", "expect100": True}
    ),
    "GET": Shot(options={"expect100": True}),
    "other": Shot(method="POST", options={"data": b"abc", "headers": {"Expect": "foo"}}),
}


@table("expect", EXPECT)
async def test_expect(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


async def test_encoded_urls_are_sent_as_they_are() -> None:
    from tests.parity.compare import OK, Names
    from tests.peers.raw import answering, raw_server
    from yarl import URL

    async def scenario(lib: Any) -> Observation:
        names, seen = Names(), Observation()
        async with raw_server(answering(OK)) as server, lib.ClientSession() as session:
            names.learn(server, "PORT")
            for path in ("a%2Fb%20c", "%7e%2f", "a%zz", "x?q=%7e&r=a+b"):
                async with session.get(URL(f"{server.url}{path}", encoded=True)) as r:
                    seen[path] = names.plain([r.url, server.requests[-1].target])
            async with session.get(URL(f"{server.url}a%2Fb", encoded=True), params={"q": "x y"}) as r:
                seen["params"] = names.plain([r.url, server.requests[-1].target])
        return seen

    await same("targets/encoded", scenario)


async def test_hosts_are_named_as_the_resolver_and_the_peer_should_see_them() -> None:
    from tests.parity.compare import OK, Names
    from tests.peers.raw import answering, raw_server

    async def scenario(lib: Any) -> Observation:
        names, seen = Names(), Observation()
        asked: list[Any] = []
        async with raw_server(answering(OK)) as server:
            names.learn(server, "PORT")

            class Resolver(lib.abc.AbstractResolver):  # type: ignore[misc]
                async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
                    asked.append([host, port, int(family)])
                    found = {"hostname": host, "host": "127.0.0.1", "port": server.port, "family": 2}
                    return [{**found, "proto": 0, "flags": 0}]

                async def close(self) -> None:
                    asked.append("closed")

            connector = lib.TCPConnector(resolver=Resolver())
            async with lib.ClientSession(connector=connector) as session:
                for url in (
                    "http://bücher.example/",
                    "http://EX.com:80/",
                    "http://ex.com:443/",
                    "http://ex.com./x",
                    "http://ex_a.com/",
                    "http://a.ex.com:8080/",
                    "http://ex.com/again",
                ):
                    async with session.get(url) as r:
                        seen[url] = names.plain([server.requests[-1].field("Host"), r.url, r.host, r.real_url.raw_host])
            seen["asked"] = names.plain(asked)
        return seen

    await same("targets/hosts", scenario)


async def test_ipv6_hosts_are_bracketed() -> None:
    from tests.parity.compare import OK, Names
    from tests.peers.raw import answering, raw_server

    async def scenario(lib: Any) -> Observation:
        names = Names()
        async with raw_server(answering(OK), host="::1") as server, lib.ClientSession() as session:
            names.learn(server, "PORT")
            async with session.get(server.url) as r:
                return {"host": names.plain([server.requests[0].field("Host"), r.host, r.url])}

    await same("targets/ipv6", scenario)


BASES = [
    ("", "x"), ("", "/x"), ("api/", "x"), ("api/", "/x"), ("api/", "../x"), ("api/", "?q=1"), ("api/", ""),
    ("api/", "a/b?c=d#f"), ("?z=1", "x"), ("api/", "."), ("api", "x"), ("a b/", "é"), ("api/v1/", "./x/../y"),
]  # fmt: skip


async def test_base_url_joins() -> None:
    from tests.parity.compare import OK, Names, outcome
    from tests.peers.raw import answering, raw_server

    async def scenario(lib: Any) -> Observation:
        names, seen = Names(), Observation()
        async with raw_server(answering(OK)) as server:
            names.learn(server, "PORT")

            async def ask(base: str, path: str) -> Any:
                async with lib.ClientSession(base_url=f"{server.url}{base}") as session:
                    async with session.get(path) as r:
                        return [r.url, r.real_url, server.requests[-1].target]

            for base, path in BASES:
                seen[f"{base} + {path}"] = await outcome(names, ask(base, path))
            async with lib.ClientSession("http://127.0.0.1:1/api/") as session:
                async with session.get(f"{server.url}abs") as r:
                    seen["absolute"] = names.plain(r.url)
        return seen

    await same("targets/base_url", scenario)
