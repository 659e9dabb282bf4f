"""The access log: each atom, the lines of aiohttp, what clients try to smuggle in, and a live server."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from fairlead import web
from fairlead.codec.events import HttpVersion10, HttpVersion11
from fairlead.test_utils import RawTestServer, TestClient, TestServer
from fairlead.web import access_log
from fairlead.web.abstract import AbstractAccessLogger
from fairlead.web.access_log import AccessLogger, escaped, local_time

aiohttp_log = pytest.importorskip("aiohttp.web_log")

STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Records(logging.Handler):
    """Keeps what was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@contextmanager
def logger(name: str = "tests.access", level: int = logging.INFO) -> Iterator[tuple[logging.Logger, Records]]:
    log, records = logging.getLogger(name), Records()
    before = log.level, log.propagate
    log.addHandler(records)
    log.setLevel(level)
    log.propagate = False
    try:
        yield log, records
    finally:
        log.removeHandler(records)
        log.level, log.propagate = before


def request(**changes: Any) -> Any:
    facts = {
        "remote": "127.0.0.2",
        "method": "GET",
        "path_qs": "/a%20b?c=d",
        "version": HttpVersion11,
        "headers": CIMultiDict({"Referer": "http://r/", "User-Agent": "test", "X-Y": "z"}),
    }
    return SimpleNamespace(**facts | changes)


def response(**changes: Any) -> Any:
    facts = {"status": 201, "body_length": 42, "headers": CIMultiDict({"Content-Type": "text/plain", "X": "1"})}
    return SimpleNamespace(**facts | changes)


def logged(
    log_format: str, *, req: Any = None, resp: Any = None, time: Any = 1.23456789, cls: Any = AccessLogger
) -> Any:
    """Return the one record that a request leaves."""
    with logger() as (log, records):
        cls(log, log_format).log(req or request(), resp or response(), time)
    [record] = records.records
    return record


def extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in STANDARD}


TIME = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"


@pytest.mark.parametrize(
    ("log_format", "line"),
    [
        ("%a", "127.0.0.2"),
        ("%P", f"<{os.getpid()}>"),
        ("%r", "GET /a%20b?c=d HTTP/1.1"),
        ("%s", "201"),
        ("%b", "42"),
        ("%T", "1"),
        ("%Tf", "1.234568"),
        ("%D", "1234568"),
        ("%{X-Y}i", "z"),
        ("%{x-y}i", "z"),
        ("%{None}i", "-"),
        ("%{X}o", "1"),
        ("%{None}o", "-"),
        ("%%", "%"),
        ("%%a", "%a"),
        ("%%%a%%", "%127.0.0.2%"),
        ("%", "%"),
        ("100%", "100%"),
        ("%z %A %{X}z %{}i %{a b}i %{X}e", "%z %A %{X}z %{}i %{a b}i %{X}e"),
        ("%(name)s {braces} %s", "%(name)s {braces} 201"),
        ("plain", "plain"),
        ("", ""),
        ("%s %s", "201 201"),
        ("tab\t%s\nline", "tab\t201\nline"),
        (
            '%a "%r" %s %b "%{Referer}i" "%{User-Agent}i"',
            '127.0.0.2 "GET /a%20b?c=d HTTP/1.1" 201 42 "http://r/" "test"',
        ),
    ],
    ids=lambda text: text.replace(f"<{os.getpid()}>", "PID"),
)
def test_atoms(log_format: str, line: str) -> None:
    record = logged(log_format)
    assert record.getMessage() == line
    assert (record.levelno, record.args, record.name) == (logging.INFO, (), "tests.access")


def test_default_format() -> None:
    with logger() as (log, records):
        AccessLogger(log).log(request(), response(), 0.5)
    pattern = rf'127\.0\.0\.2 {TIME} "GET /a%20b\?c=d HTTP/1\.1" 201 42 "http://r/" "test"'
    assert re.fullmatch(pattern, records.lines[0])


# What aiohttp has no answer to, or a wrong one, stands above: %%, a lone percent sign and %{X}e.
@pytest.mark.parametrize(
    "log_format",
    [
        AccessLogger.LOG_FORMAT,
        "%a %P %r %s %b %T %Tf %D",
        "%{X-Y}i %{x-y}i %{None}i %{X}o %{None}o",
        "%{X-Y}i %{Referer}i %s %s",
        "%z %A %{X}z %{}i {x} %(a)s plain",
        "%>s %l %u",
        "",
    ],
)
@pytest.mark.parametrize("time", [0, 0.4999, 0.5, 1.5, 2.5, 1e-7, 12345.678])
def test_parity(log_format: str, time: float) -> None:
    ours = logged(log_format, time=time)
    theirs = logged(log_format, time=time, cls=aiohttp_log.AccessLogger)
    clock = re.compile(r":\d\d \+")  # the second may have passed between the two
    assert clock.sub("", ours.getMessage()) == clock.sub("", theirs.getMessage())
    mine, other = extras(ours), extras(theirs)
    assert (mine.pop("request_start_time", "") == "") == (other.pop("request_start_time", "") == "")
    assert mine == other


@pytest.mark.parametrize(
    "changes", [{"remote": None}, {"version": HttpVersion10, "method": "POST", "path_qs": "*"}], ids=str
)
def test_parity_of_requests(changes: dict[str, Any]) -> None:
    req = request(**changes)
    assert logged("%a %r", req=req).getMessage() == logged("%a %r", req=req, cls=aiohttp_log.AccessLogger).getMessage()


def test_no_request() -> None:
    with logger() as (log, records):
        for cls in (AccessLogger, aiohttp_log.AccessLogger):
            cls(log, '%a "%r" %s %{X}i %{X}o').log(None, response(), 1)
    assert records.lines == ['- "-" 201 (no headers) 1'] * 2


def test_a_failure_is_logged_and_not_raised() -> None:
    record = logged("%b", resp=SimpleNamespace())
    assert (record.getMessage(), record.levelno) == ("Error in logging", logging.ERROR)
    assert record.exc_info[0] is AttributeError


# ---- what clients send


@pytest.mark.parametrize(
    ("value", "outside", "inside"),
    [
        ("plain ü 漢", "plain ü 漢", "plain ü 漢"),
        ("a\r\n127.0.0.1 forged", r"a\r\n127.0.0.1 forged", r"a\r\n127.0.0.1 forged"),
        ("\x1b[31m\x00\x7f\x85", r"\x1b[31m\x00\x7f\x85", r"\x1b[31m\x00\x7f\x85"),
        ("\t", r"\t", r"\t"),
        ("\u2028\u202e\ufeff", r"\u2028\u202e\ufeff", r"\u2028\u202e\ufeff"),
        ("\udcff", r"\udcff", r"\udcff"),
        ("\U000e0001", r"\U000e0001", r"\U000e0001"),
        ('" 200 "', '" 200 "', r"\" 200 \""),
        ("back\\slash", "back\\slash", r"back\\slash"),
        ("", "", ""),
    ],
)
def test_values_can_not_break_out(value: str, outside: str, inside: str) -> None:
    req = request(headers=CIMultiDict(X=value), path_qs=value, remote=value or None)
    assert logged("%{X}i", req=req).getMessage() == outside
    assert logged('"%{X}i"', req=req).getMessage() == f'"{inside}"'
    assert logged('"" %{X}i', req=req).getMessage() == f'"" {outside}'
    assert logged('"" "%{X}i"', req=req).getMessage() == f'"" "{inside}"'
    assert logged("%r", req=req).getMessage() == f"GET {outside} HTTP/1.1"
    assert logged("%a", req=req).getMessage() == (outside or "-")
    assert logged('"%{X}o"', resp=response(headers=CIMultiDict(X=value))).getMessage() == f'"{inside}"'
    # Structured logs escape by themselves.
    assert logged("%{X}i", req=req).request_header == {"X": value}


def test_every_control_character_is_escaped() -> None:
    text = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
    assert escaped(text, quoted=False).isprintable()
    assert escaped(text, quoted=False).isascii()


# ---- time


@pytest.mark.parametrize(
    ("zone", "second", "text"),
    [
        ("UTC0", 0, "[01/Jan/1970:00:00:00 +0000]"),
        ("XXX-5:30", 951782400, "[29/Feb/2000:05:30:00 +0530]"),
        ("XXX3:30", 951782400, "[28/Feb/2000:20:30:00 -0330]"),
        ("XXX+12", 1794000000, "[06/Nov/2026:09:20:00 -1200]"),
    ],
)
def test_local_time(zone: str, second: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(access_log.clock, "tzset"):
        pytest.skip("the time zone can not be set on this platform")
    monkeypatch.setenv("TZ", zone)
    try:
        access_log.clock.tzset()
        monkeypatch.setattr(access_log, "_last_second", -1)
        assert local_time(second) == text
        assert local_time(second) is local_time(second)
    finally:
        monkeypatch.undo()
        access_log.clock.tzset()


def test_start_time_is_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log.clock, "time", lambda: 1000.9)
    assert logged("%t", time=0.5).getMessage() == local_time(1000)
    assert logged("%t", time=1.0).getMessage() == local_time(999)


# ---- classes


def test_enabled_follows_the_level() -> None:
    with logger(level=logging.INFO) as (log, _):
        assert AccessLogger(log).enabled
    with logger(level=logging.WARNING) as (log, _):
        assert not AccessLogger(log).enabled


def test_formats_are_parsed_once_and_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = AccessLogger._parse
    monkeypatch.setattr(AccessLogger, "_parse", lambda self, text: parsed.append(text) or parse(self, text))
    monkeypatch.setattr(AccessLogger, "_parsed", {})
    with logger() as (log, _):
        for _ in range(3):
            AccessLogger(log, "%a once")
        assert parsed == ["%a once"]
        for number in range(3 * access_log.MAX_FORMATS):
            AccessLogger(log, f"%a {number}")
    assert len(AccessLogger._parsed) <= access_log.MAX_FORMATS


def test_a_subclass_may_replace_an_atom() -> None:
    class Masked(AccessLogger):
        prefix = "masked"

        def _format_a(self, request: Any, response: Any, time: float) -> str:  # type: ignore[override]
            return f"{self.prefix} {request.remote[:3]}"

        @staticmethod
        def _format_i(key: str, request: Any, response: Any, time: float) -> str:
            return f"<{key}>"

    class Other(Masked):
        prefix = "other"

    assert logged("%a %{X}i %s", cls=Masked).getMessage() == "masked 127 <X> 201"
    assert logged("%a %{X}i %s", cls=Other).getMessage() == "other 127 <X> 201"
    assert logged("%a %{X-Y}i %s").getMessage() == "127.0.0.2 z 201"


def test_is_an_abstract_access_logger() -> None:
    assert issubclass(AccessLogger, AbstractAccessLogger)
    with logger() as (log, _):
        made = AccessLogger(log, "%a")
        assert (made.logger, made.log_format) == (log, "%a")


# ---- in a server


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    if request.path == "/fail":
        raise RuntimeError("broken")
    if request.path == "/missing":
        raise web.HTTPNotFound
    return web.Response(text="hello", headers={"X-Answer": "42"})


async def test_the_lines_of_a_server(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "fairlead.server")
    with logger() as (log, records):
        server = RawTestServer(hello)
        await server.start_server(access_log=log, access_log_format='%a "%r" %s "%{User-Agent}i" %{X-Answer}o')
        async with TestClient(server, headers={"User-Agent": 'a"b'}) as client:
            for path in ("/?q=1", "/missing", "/fail"):
                async with client.get(path) as answer:
                    await answer.read()
    assert records.lines == [
        r'127.0.0.1 "GET /?q=1 HTTP/1.1" 200 "a\"b" 42',
        r'127.0.0.1 "GET /missing HTTP/1.1" 404 "a\"b" -',
        r'127.0.0.1 "GET /fail HTTP/1.1" 500 "a\"b" -',
    ]


async def test_body_sizes_and_times_of_a_server() -> None:
    with logger() as (log, records):
        server = RawTestServer(hello)
        await server.start_server(access_log=log, access_log_format="%s %b %Tf %D %T")
        async with TestClient(server) as client, client.get("/") as answer:
            await answer.read()
    [record] = records.records
    assert record.response_status == 200  # type: ignore[attr-defined]
    assert record.response_size >= len("hello")  # type: ignore[attr-defined]
    assert 0 <= float(record.request_time_frac) < 10  # type: ignore[attr-defined]
    assert record.request_time in map(str, range(10))  # type: ignore[attr-defined]


async def test_a_disabled_log_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: AccessLogger, *args: Any) -> None:
        raise AssertionError("a line was made for a log that nobody reads")

    monkeypatch.setattr(AccessLogger, "log", never)
    with logger(level=logging.WARNING) as (log, _):
        for options in ({"access_log": log}, {"access_log": None}):
            server = RawTestServer(hello)
            await server.start_server(**options)
            async with TestClient(server) as client, client.get("/") as answer:
                assert await answer.text() == "hello"


async def test_a_class_of_ones_own() -> None:
    seen: list[tuple[str, int, bool]] = []

    class Mine(AbstractAccessLogger):
        def log(self, request: Any, response: Any, time: float) -> None:
            seen.append((request.path, response.status, time >= 0))

    app = web.Application()
    app.router.add_get("/", hello)
    server = TestServer(app)
    with logger() as (log, _):
        await server.start_server(access_log_class=Mine, access_log=log)
        async with TestClient(server) as client, client.get("/") as answer:
            await answer.read()
    assert seen == [("/", 200, True)]
