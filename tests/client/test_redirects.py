"""Redirects: the decision as a table (RFC 9110 section 15.4), and what the loop makes of it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from multidict import CIMultiDict
from tests.peers.http import http_server
from tests.peers.raw import answering, raw_server, response
from yarl import URL

import fairlead
from fairlead.client.redirects import REDIRECTS, Follow, decide

HERE = URL("http://a.test/x/y?q=1")


def to(location: str | None, *, method: str = "GET", status: int = 302, here: URL = HERE) -> Follow | None:
    headers = CIMultiDict({} if location is None else {"Location": location})
    return decide(method, here, status, headers, requote=True)


@pytest.mark.parametrize("status", sorted(REDIRECTS))
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ODD"])
def test_method_and_body(status: int, method: str) -> None:
    step = to("/z", method=method, status=status)
    assert step is not None
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    assert step.method == ("GET" if becomes_get else method)
    assert step.keep_body is not becomes_get


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/z", "http://a.test/z"),
        ("z", "http://a.test/x/z"),
        ("../z", "http://a.test/z"),
        ("?r=2", "http://a.test/x/y?r=2"),
        ("//b.test/z", "http://b.test/z"),
        ("http://b.test", "http://b.test"),
        ("https://a.test:8443/z#part", "https://a.test:8443/z#part"),
        ("/a b", "http://a.test/a%20b"),
        ("/é", "http://a.test/%C3%A9"),
        ("/%7Euser", "http://a.test/~user"),
    ],
)
def test_targets(location: str, target: str) -> None:
    step = to(location)
    assert step is not None
    assert str(step.url) == target


@pytest.mark.parametrize(
    ("here", "location", "same"),
    [
        ("http://a.test/", "/z", True),
        ("http://a.test/", "http://a.test:80/z", True),
        ("http://a.test/", "http://A.TEST/z", True),
        ("http://a.test/", "https://a.test/z", False),
        ("https://a.test/", "http://a.test/z", False),
        ("http://a.test/", "http://a.test:8080/z", False),
        ("http://a.test/", "http://b.test/z", False),
        ("http://a.test/", "http://sub.a.test/z", False),
    ],
)
def test_origins(here: str, location: str, same: bool) -> None:
    step = to(location, here=URL(here))
    assert step is not None
    assert step.same_origin is same


@pytest.mark.parametrize("location", [None, ""])
def test_no_place_to_go_is_an_answer(location: str | None) -> None:
    assert to(location) is None


@pytest.mark.parametrize("location", ["http://", "http://[", "http:///x", "http://a:b:c/"])
def test_a_place_that_can_not_be(location: str) -> None:
    with pytest.raises(fairlead.InvalidUrlRedirectClientError):
        to(location)


@pytest.mark.parametrize("location", ["ftp://a.test/", "file:///etc/passwd", "javascript:alert(1)", "data:,x"])
def test_a_place_that_is_not_for_http(location: str) -> None:
    with pytest.raises(fairlead.NonHttpUrlRedirectClientError):
        to(location)


# --- the loop --------------------------------------------------------------------------------------------------------


async def test_a_redirect_that_can_not_be_followed_leaves_nothing_open() -> None:
    for location, kind in (("ftp://a.test/", fairlead.NonHttpUrlRedirectClientError), ("http://", fairlead.InvalidURL)):
        half = b"HTTP/1.1 302 Found\r\nLocation: " + location.encode() + b"\r\nContent-Length: 10\r\n\r\nhalf"
        async with raw_server(answering(half)) as server, fairlead.ClientSession() as session:
            for options in ({}, {"headers": {"X": "1"}}, {}):
                with pytest.raises(kind):
                    await session.get(server.url, **options)
                assert session.connector.in_use == 0


async def test_too_many() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        for options in ({}, {"headers": {"X": "1"}}):
            with pytest.raises(fairlead.TooManyRedirects) as caught:
                await session.get(server.url / "redirect/5", max_redirects=3, **options)
            error = caught.value
            assert [answer.url.path for answer in error.history] == ["/redirect/5", "/redirect/4", "/redirect/3"]
            assert error.request_info.url.path == "/redirect/5"
            assert session.connector.in_use == 0
        async with session.get(server.url / "redirect/5", max_redirects=6) as answer:
            assert len(answer.history) == 5


async def test_redirects_are_read_or_let_go_so_that_connections_are_kept() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        async with session.get(server.url / "redirect/4") as answer:
            assert answer.status == 200
            for hop in answer.history:
                assert (hop.status, hop.closed) == (302, True)
                assert await hop.read() == b"moved"  # it was received whole
        assert len(server.connections) == 1


async def test_not_followed() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        async with session.get(server.url / "redirect/2", allow_redirects=False) as answer:
            assert (answer.status, answer.history, answer.headers["Location"]) == (302, (), "/redirect/1")
        async with session.head(server.url / "redirect/2") as answer:
            assert answer.status == 302  # HEAD follows only if asked
        async with session.head(server.url / "redirect/2", allow_redirects=True) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", ["bytes", "file", "form", "json"])
async def test_the_body_goes_along_or_not(status: int, kind: str) -> None:
    make: dict[str, Any] = {
        "bytes": lambda: {"data": b"abc" * 30_000},
        "file": lambda: {"data": io.BytesIO(b"abc" * 30_000)},
        "form": lambda: {"data": {"a": "b"}},
        "json": lambda: {"json": {"a": "b"}},
    }
    async with http_server() as server, fairlead.ClientSession() as session:
        url = (server.url / "redirect/2").with_query(status=str(status))
        async with session.post(url, **make[kind]()) as answer:
            seen = await answer.json()
        kept = status in (307, 308)
        assert seen["method"] == ("POST" if kept else "GET")
        assert (seen["length"] > 0) is kept
        names = {name for name, _ in seen["fields"]}
        assert ("Content-Length" in names) is kept
        assert "Transfer-Encoding" not in names


async def test_a_stream_can_not_be_sent_again() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"

    async with http_server() as server, fairlead.ClientSession() as session:
        url = (server.url / "redirect/1").with_query(status="307")
        with pytest.raises(fairlead.ClientPayloadError, match="Cannot follow redirect with a consumed request body"):
            await session.post(url, data=pieces())
        assert session.connector.in_use == 0
        # With 303 there is nothing to send again.
        async with session.post(url.with_query(status="303"), data=pieces()) as answer:
            assert (await answer.json())["method"] == "GET"


async def test_params_and_json_are_for_the_first_request_only() -> None:
    async with http_server() as server, fairlead.ClientSession() as session:
        async with session.get(server.url / "redirect-to", params={"url": "/echo"}) as answer:
            assert (await answer.json())["target"] == "/echo"
            assert answer.url.query_string == ""


async def test_requote() -> None:
    answers = [response(302, b"", ("Location", "/%61%2Fb%20c"), reason="Found"), response(200, b"ok")]
    for requote, target in ((True, "/a%2Fb%20c"), (False, "/%61%2Fb%20c")):
        async with raw_server(answering(*answers)) as server:
            async with fairlead.ClientSession(requote_redirect_url=requote) as session:
                async with session.get(server.url) as answer:
                    await answer.read()
            assert server.requests[1].target == target
