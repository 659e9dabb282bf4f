"""Bytes in, bytes out: the server's HTTP/1.1 against the table of `raw_cases`, and what a table can not say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from tests.peers.turns import turns
from tests.web.raw_cases import (
    CASES,
    CLOSED,
    HELLO,
    NEXT,
    OPEN,
    Answer,
    Case,
    G,
    P,
    chunked,
    get,
    json_part,
)
from tests.web.raw_client import RawClient, RawResponse, connect
from tests.web.raw_site import LARGE, Site, web_module

PAUSE = 0.002
"""Seconds between the writes of a case that has several."""

MOST_BYTES_ONE_BY_ONE = 1500
"""A case that sends more is not sent byte by byte: that would take long and say nothing new."""

EXCERPT = 300

FLOOD = 40_000_000
"""Bytes of pipelined requests: many times what sockets of this machine buffer."""


def judge(case: Case, number: int, wanted: Answer, got: RawResponse) -> None:
    where = f"{case.name}, response {number + 1}: {got.line!r} {got.body[:EXCERPT]!r}"
    statuses = wanted.status if isinstance(wanted.status, tuple) else (wanted.status,)
    assert got.status in statuses, f"{where}: expected {statuses}"
    if wanted.interim is not None:
        assert [int(line.split()[1]) for line in got.interim] == list(wanted.interim), where
    if wanted.line is not None:
        assert got.line == wanted.line, where
    for name, value in wanted.fields.items():
        values = value if isinstance(value, tuple) else (value,)
        assert got.get(name) in values, f"{where}: {name} is {got.get(name)!r}, expected one of {values}"
    if wanted.framing is not None:
        assert got.framing == wanted.framing, where
    if isinstance(wanted.body, bytes):
        assert got.body == wanted.body, where
    elif isinstance(wanted.body, Mapping):
        assert json_part(got.body, wanted.body), f"{where}: expected {wanted.body}"
    elif wanted.body is not None:
        assert wanted.body(got.body), where
    # RFC 9110 section 6.6.1: an origin server with a clock sends Date.
    assert len(got.all("Date")) == 1, where
    assert len(got.all("Server")) <= 1, where


async def send(case: Case, client: RawClient, step: int) -> None:
    if step:
        await client.send_each(case.data, step)
    else:
        for number, data in enumerate((case.sent,) if isinstance(case.sent, bytes) else case.sent):
            if number:
                await asyncio.sleep(PAUSE)
            await client.send(data)
    if case.end:
        client.end()


async def check_end(case: Case, client: RawClient) -> None:
    """After the last response: the connection ends without a word, or it serves another request."""
    if case.then == OPEN:
        await client.send(HELLO)
        again = await client.response()
        assert (again.status, again.body) == (200, b"hello"), f"{case.name}: the connection is no longer in order"
        return
    if case.then == CLOSED:
        try:
            rest = await client.rest()
        except TimeoutError:
            pytest.fail(f"{case.name}: the connection stays open")
        assert rest == b"", f"{case.name}: after the last response came {rest[:EXCERPT]!r}"


async def run(case: Case, step: int = 0) -> None:
    async with Site(**case.site) as site, connect(site.port) as client:
        sending = asyncio.ensure_future(send(case, client, step))
        try:
            for number, wanted in enumerate(case.answers):
                try:
                    got = await client.response(wanted.method)
                except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as exc:
                    partial = getattr(exc, "partial", b"")
                    pytest.fail(f"{case.name}: no response {number + 1}: {exc!r}, came {partial[:EXCERPT]!r}")
                judge(case, number, wanted, got)
            if case.then == OPEN or case.end:
                await sending
            await check_end(case, client)
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
        handled = list(site.handled)
        if case.then == OPEN:
            assert handled.pop() == "GET /hello"
        if case.handled is not None:
            assert tuple(handled) == case.handled, case.name
        assert not [request for request in handled if "smuggled" in request], case.name


def table(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[f"{c.clause}: {c.name}" for c in cases])


@table(CASES)
async def test_case(case: Case) -> None:
    await run(case)


@table([c for c in CASES if c.byte_by_byte and len(c.data) <= MOST_BYTES_ONE_BY_ONE])
async def test_case_byte_by_byte(case: Case) -> None:
    await run(case, 1)


def test_the_table_is_large_and_its_names_are_unique() -> None:
    names = [(c.clause, c.name) for c in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 130


# ---- order, and what waits


async def test_a_pipelined_request_waits_for_its_turn() -> None:
    async with Site() as site, connect(site.port) as client:
        await client.send(get("/gate") + HELLO + get("/echo?n=3"))
        await site.entered.wait()
        await turns(50)
        assert site.handled == ["GET /gate"], "a request was begun before the one in front of it was answered"
        site.gate.set()
        assert [(await client.response()).body for _ in range(2)] == [b"open", b"hello"]
        assert b"n=3" in (await client.response()).body


@pytest.mark.parametrize("size", [100, 60_000, 200_000, 2_000_000])
async def test_a_body_that_waits_behind_a_slow_request_is_whole_and_in_order(size: int) -> None:
    body = b"".join(b"%09d," % i for i in range(size // 10))
    half = max(30, size // 2)
    for first in (0, 13):  # bytes of the body that come together with the slow request
        async with Site(application={"client_max_size": 2 * size}) as site, connect(site.port) as client:
            head = P + b"Content-Length: %d\r\n\r\n" % len(body)
            await client.send(get("/gate") + head + body[:first])
            await site.entered.wait()
            await client.send(body[first:30])
            await turns(20)
            sending = asyncio.ensure_future(client.send(body[30 : half]))
            await turns(20)
            site.gate.set()
            assert (await client.response()).body == b"open"
            await sending
            await client.send(body[half:] + HELLO)
            assert json.loads((await client.response()).body)["body"] == body.decode()
            assert (await client.response()).body == b"hello"


async def test_a_body_behind_a_slow_request_that_nobody_reads_is_bounded() -> None:
    async with Site(read_bufsize=1024) as site, connect(site.port) as client:
        second = asyncio.Event()

        async def wait(request: Any) -> Any:
            site.entered.set()
            await second.wait()
            return await site.pieces(request)

        site.wait_again = wait
        await client.send(get("/gate"))
        await site.entered.wait()
        site.entered.clear()
        client.writer.write(get("/again", b"Content-Length: %d" % FLOOD, method=b"POST") + b"x" * FLOOD)
        await turns(200)
        site.gate.set()
        assert (await client.response()).body == b"open"
        await site.entered.wait()
        left = -1
        while left != (left := client.writer.transport.get_write_buffer_size()):
            for _ in range(20):
                await turns(100)
        assert left > FLOOD // 4, "the server reads on and on while nobody reads the body"
        second.set()
        assert (await client.response()).body == str(FLOOD).encode()


async def test_what_waits_behind_a_slow_request_is_bounded() -> None:
    async with Site() as site, connect(site.port) as client:
        await client.send(get("/gate"))
        await site.entered.wait()
        client.writer.write(HELLO * (FLOOD // len(HELLO)))
        left = -1
        while left != (left := client.writer.transport.get_write_buffer_size()):
            for _ in range(20):
                await turns(100)
        assert left > FLOOD // 4, "the server reads on and on while a handler is busy"
        assert site.handled == ["GET /gate"]
        site.gate.set()
        assert (await client.response()).body == b"open"
        assert (await client.response()).body == b"hello"


async def test_a_client_that_reads_nothing_stops_the_server() -> None:
    async with Site() as site, connect(site.port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(get("/large") * 200)
        seen = -1
        while seen != (seen := len(site.handled)):
            for _ in range(20):
                await turns(100)
        assert 0 < len(site.handled) < 150, "answers pile up in memory"


async def test_100_continue_comes_before_the_body() -> None:
    async with Site() as site, connect(site.port) as client:
        for _ in range(2):
            await client.send(get("/echo", b"Content-Length: 2", b"Expect: 100-continue", method=b"POST"))
            assert (await client.raw_head()).startswith(b"HTTP/1.1 100 ")
            await client.send(b"ok")
            answer = await client.response()
            assert (answer.status, answer.interim) == (200, [])


async def test_an_answer_comes_before_the_body_is_whole() -> None:
    async with Site() as site, connect(site.port) as client:
        await client.send(get("/unread", b"Content-Length: 100000000", method=b"POST") + b"some of it")
        assert (await client.response()).body == b"unread"


async def test_an_answer_to_a_body_that_nobody_reads_is_not_lost() -> None:
    size = 20_000_000
    async with Site() as site, connect(site.port) as client:
        await client.send(get("/unread", b"Content-Length: %d" % size, method=b"POST"))
        sending = asyncio.ensure_future(client.send(b"x" * size))
        try:
            assert (await client.response()).body == b"unread"
            assert site.handled == ["POST /unread"]
        finally:
            client.writer.transport.abort()
            await sending


@pytest.mark.parametrize("behind", [1000, 300_000, 2_000_000])
async def test_an_error_is_not_lost_when_much_follows_the_malformed_request(behind: int) -> None:
    async with Site() as site, connect(site.port) as client:
        sending = asyncio.ensure_future(client.send(b"GET / HTTP/9.9\r\n\r\n" + b"x" * behind))
        try:
            answer = await client.response()
            assert (answer.status, answer.get("Connection")) == (505, "close")
            assert site.handled == []
        finally:
            client.writer.transport.abort()
            await sending


async def test_an_answer_that_ends_the_connection_is_not_lost() -> None:
    async with Site() as site, connect(site.port) as client:
        sending = asyncio.ensure_future(client.send(get("/large", b"Connection: close") + NEXT * 10_000))
        try:
            assert len((await client.response()).body) == LARGE
        finally:
            client.writer.transport.abort()
            await sending
        assert site.handled == ["GET /large"]


async def test_a_low_level_server_is_asked_for_the_asterisk() -> None:
    web = web_module()
    seen = []

    async def handler(request: Any) -> Any:
        seen.append((request.method, request.path, request.raw_path))
        return web.Response(status=204, headers={"Allow": "GET, OPTIONS"})

    server = web.Server(handler, access_log=None)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    async with connect(listening.sockets[0].getsockname()[1]) as client:
        await client.send(get("*", method=b"OPTIONS") + get("*", method=b"OPTIONS", version=b"1.0"))
        assert (await client.response("OPTIONS")).get("Allow") == "GET, OPTIONS"
        assert (await client.response("OPTIONS")).status == 204
        assert await client.rest() == b""
    assert seen == [("OPTIONS", "*", "*")] * 2
    listening.close()
    await server.shutdown(1)
    await listening.wait_closed()


async def test_malformed_requests_are_in_the_access_log(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tests.raw.access")
    with caplog.at_level(logging.INFO, "tests.raw.access"):
        async with Site(access_log=log) as site, connect(site.port) as client:
            await client.send(HELLO + b"garbage\r\n\r\n")
            assert (await client.response()).status == 200
            assert (await client.response()).status == 400
            assert await client.rest() == b""
    lines = [record.getMessage() for record in caplog.records if record.name == "tests.raw.access"]
    assert len(lines) == 2
    assert " 200 " in lines[0]
    assert " 400 " in lines[1]


async def test_a_failing_handler_is_logged_with_its_traceback_and_tells_the_client_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "tests.raw_site"):
        async with Site() as site, connect(site.port) as client:
            await client.send(get("/raise"))
            answer = await client.response()
            assert answer.status == 500
            assert b"the handler failed" not in answer.body
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the handler failed"


# ---- deadlines

SHORT = 0.05
"""Seconds of the deadlines that these tests let run out."""

LONG = 30.0


@pytest.fixture
def fine_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at deadlines more often than once in a second."""
    monkeypatch.setattr("fairlead.wire.clock.RESOLUTION", SHORT / 5)


@pytest.mark.parametrize("sent", [b"G", b"GET /hello HTTP/1.1\r\n", b"GET /hello HTTP/1.1\r\nHost: a\r\n", b"\r\n"])
@pytest.mark.usefixtures("fine_clock")
async def test_a_head_that_does_not_end_is_cut_off(sent: bytes) -> None:
    async with Site(headers_timeout=SHORT) as site, connect(site.port) as client:
        await client.send(sent)
        if sent != b"\r\n":  # an empty line is no request
            answer = await client.response()
            assert (answer.status, answer.get("Connection")) == (408, "close")
            assert await client.rest() == b""
        else:
            assert (await client.rest())[:12] in (b"", b"HTTP/1.1 408")
        assert site.handled == []


@pytest.mark.usefixtures("fine_clock")
async def test_a_head_that_comes_slowly_is_cut_off() -> None:
    async with Site(headers_timeout=SHORT) as site, connect(site.port) as client:

        async def trickle() -> None:
            await client.send(G)
            while not client.writer.is_closing():
                await client.send(b"X: a\r\n")
                await asyncio.sleep(SHORT / 10)

        sending = asyncio.ensure_future(trickle())
        try:
            assert (await client.response()).status == 408
        finally:
            client.writer.transport.abort()
            await sending
        assert site.handled == []


@pytest.mark.usefixtures("fine_clock")
async def test_a_second_head_that_does_not_end_is_cut_off() -> None:
    async with Site(headers_timeout=SHORT, keepalive_timeout=LONG) as site, connect(site.port) as client:
        await client.send(HELLO + G)
        assert (await client.response()).status == 200
        assert (await client.response()).status == 408
        assert await client.rest() == b""


@pytest.mark.usefixtures("fine_clock")
async def test_a_connection_without_a_request_is_closed() -> None:
    async with Site(headers_timeout=SHORT) as site, connect(site.port) as client:
        assert (await client.rest())[:12] in (b"", b"HTTP/1.1 408")
        assert site.handled == []


@pytest.mark.usefixtures("fine_clock")
async def test_a_connection_without_another_request_is_closed_without_a_word() -> None:
    async with Site(keepalive_timeout=SHORT) as site, connect(site.port) as client:
        for _ in range(2):
            await client.send(HELLO)
            assert (await client.response()).get("Connection") is None
        assert await client.rest() == b""
        assert len(site.handled) == 2


@pytest.mark.usefixtures("fine_clock")
async def test_a_handler_may_take_longer_than_every_deadline_of_the_client() -> None:
    limits = {"headers_timeout": SHORT, "keepalive_timeout": SHORT, "body_timeout": SHORT}
    async with Site(**limits) as site, connect(site.port) as client:
        await client.send(HELLO)
        assert (await client.response()).body == b"hello"
        await client.send(get("/gate"))
        await asyncio.sleep(4 * SHORT)
        site.gate.set()
        assert (await client.response()).body == b"open"


@pytest.mark.parametrize("sent", [P + b"Content-Length: 5\r\n\r\nok", chunked(b""), chunked(b"5\r\nok")])
@pytest.mark.usefixtures("fine_clock")
async def test_a_body_that_does_not_end_is_cut_off(sent: bytes) -> None:
    async with Site(body_timeout=SHORT) as site, connect(site.port) as client:
        await client.send(sent)
        rest = await client.rest()
        assert rest[:12] in (b"", b"HTTP/1.1 408")
        assert site.handled == ["POST /echo"]


@pytest.mark.usefixtures("fine_clock")
async def test_a_body_that_nobody_reads_and_that_does_not_end_is_cut_off() -> None:
    async with Site(body_timeout=SHORT, lingering_time=SHORT) as site, connect(site.port) as client:
        await client.send(get("/unread", b"Content-Length: 50", method=b"POST") + b"some")
        assert (await client.response()).body == b"unread"
        assert await client.rest() == b""


@pytest.mark.usefixtures("fine_clock")
async def test_a_body_that_comes_slowly_but_steadily_is_no_stall() -> None:
    async with Site(body_timeout=4 * SHORT) as site, connect(site.port) as client:
        await client.send(get("/echo", b"Content-Length: 40", method=b"POST"))
        for _ in range(40):
            await client.send(b"x")
            await asyncio.sleep(SHORT / 5)
        assert b"x" * 40 in (await client.response()).body


@pytest.mark.usefixtures("fine_clock")
async def test_a_slow_handler_is_no_stalled_body() -> None:
    async with Site(body_timeout=SHORT) as site, connect(site.port) as client:
        await client.send(get("/later", b"Content-Length: 4000000", method=b"POST"))
        sending = asyncio.ensure_future(client.send(b"x" * 4_000_000))
        await site.entered.wait()
        await asyncio.sleep(4 * SHORT)  # the server has stopped reading by now
        site.gate.set()
        assert (await client.response()).body == b"4000000"
        await sending
