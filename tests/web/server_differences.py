"""Where the answers of fairlead.web depart from those of aiohttp.web 3.14 on purpose: scene, reason, what shows.

The rules are those of `tests.parity.differences`: each entry names the places that differ and what fairlead shows
there; anything else that differs fails, and so does an entry that is no longer true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.parity.compare import ABSENT, ANYTHING, Difference

DIFFERENCES: dict[str, Difference] = {}


def differ(reason: str, scenes: Iterable[str], shows: Mapping[str, Any]) -> None:
    for scene in scenes:
        known = DIFFERENCES.get(scene, Difference("", {}))
        assert not set(known.shows) & set(shows), scene
        reasons = "; ".join(filter(None, (known.reason, reason)))
        DIFFERENCES[scene] = Difference(reasons, {**known.shows, **shows})


# --- framing ---------------------------------------------------------------------------------------------------------

NO_BODY = "a response to HEAD has no body (RFC 9110 section 9.3.2)"
NO_END = "a body without length or chunks ends with the connection, whatever was asked for (RFC 9112 section 6.3)"

WRITING = {
    "one piece": 0, "pieces": 0, "no eof": None, "eof with data": 0, "only eof with data": 0, "eof twice": 0,
    "write before prepare": 1, "prepared twice": 0, "write memoryview": 0, "drain": 0, "with a length": 0,
    "length in headers": 0, "chunked": 0, "a type": 0, "force close": 0, "force close after prepare": 0, "cookie": 0,
    "large": 0, "many": 0,
}  # fmt: skip
for name, note in WRITING.items():
    counted = {} if note is None else {f"HEAD.notes[{note}][3]": ANYTHING}
    differ(NO_BODY, [f"stream: {name}"], {"HEAD.answers[0].body": b"", **counted})
differ(
    NO_BODY,
    [f"compress: {name}" for name in ("stream", "stream with a length", "stream in chunks")],
    {"HEAD.answers[0].body": b""},
)

ENDLESS = {
    "nothing written": 0, "one piece": 0, "pieces": 0, "no eof": 0, "eof with data": 0, "only eof with data": 0,
    "eof twice": 0, "write before prepare": 1, "prepared twice": 0, "write memoryview": 0, "drain": 0, "status 205": 0,
    "a type": 0, "cookie": 0, "large": 0, "many": 0,
}  # fmt: skip
for name, note in ENDLESS.items():
    differ(
        NO_END,
        [f"stream: {name}"],
        {"1.0 keep-alive.then": "closed", f"1.0 keep-alive.notes[{note}][1]": False},
    )
differ(
    NO_END,
    [
        "generator", "StreamReader as body", "stream: nothing at all", "compress: generator", "compress: stream",
        "compress: stream with a length", "compress: empty stream", "compress: BytesIO",
    ],
    {"1.0 keep-alive.then": "closed"},
)  # fmt: skip
differ(
    "a response without a body has none, whatever is written (RFC 9110 section 6.4.1)",
    ["stream: status 204 with data"],
    {"GET.answers[0].body": b"", "GET.notes[0][3]": ANYTHING},
)
differ(
    "a connection whose end was announced is closed (RFC 9112 section 9.6)",
    ["Connection: close", "Connection: Close"],
    {f"{request}.then": "closed" for request in ("GET", "HEAD", "POST", "1.0 keep-alive")},
)
differ(
    "keep_alive(False) of the protocol counts for the request that is being answered",
    ["keep_alive(False) on the protocol"],
    {"GET.answers[0].fields": ANYTHING, "GET.then": "closed"},
)
differ(
    "no status below 200 has a body, those that do not exist included",
    ["status 0", "status 1", "status 99"],
    {"GET.answers[0].fields": [["Date", "DATE"], ["Server", "AGENT"]]},
)
differ(
    "what a client could take for something else is not sent",
    ["header name with a space"],
    {"GET.answers": [], "GET.then": "closed"},
)

differ(
    "what follows an answer that is shorter than announced would be taken for its rest",
    ["stream: with a length that is too large"],
    {"GET.then": "closed"},
)

# --- compression -----------------------------------------------------------------------------------------------------

BR = ANYTHING
differ(
    "br and zstd are sent to clients that name them, where they are installed",
    [
        f"compress: {name}"
        for name in (
            "text", "short", "empty", "bytes", "large", "json", "with Content-Length", "with Vary", "HTTP exception",
            "in a thread",
        )
    ],
    {"other.answers[0].fields": BR, "other.answers[0].body": BR},
)  # fmt: skip
differ(
    "br and zstd are sent to clients that name them, where they are installed",
    ["compress: with Content-Encoding"],
    {"other.answers[0].fields[1][1]": BR, "other.answers[0].body": BR},
)
differ(
    "br and zstd are sent to clients that name them, where they are installed",
    [f"compress: {name}" for name in ("BytesIO", "generator", "stream", "stream with a length", "empty stream")],
    {"other.answers[0].fields": BR, "other.answers[0].body": BR, "other.answers[0].chunks": BR},
)
differ(
    "compression of what has no body is no failure",
    ["compress: nothing", "compress: 204", "compress: 304"],
    {
        **{f"{request}.answers": ANYTHING for request in ("gzip", "deflate", "both", "HEAD", "1.0", "1.0 keep-alive")},
        **{f"{request}.then": "open" for request in ("gzip", "deflate", "both", "HEAD", "1.0 keep-alive")},
    },
)
differ(
    "a coding that the client does not accept, by its weight or because it is another one, is not sent (RFC 9110 "
    "section 12.5.3)",
    [f"compress: Accept-Encoding {value!r}" for value in ("gzip;q=0", "x-gzip", "gzipped")],
    {
        "GET.answers[0].fields": [
            ["Content-Type", "text/plain; charset=utf-8"],
            ["Content-Length", "300"],
            ["Date", "DATE"],
            ["Server", "AGENT"],
        ]
    },
)

# --- responses -------------------------------------------------------------------------------------------------------

USUAL = ("GET", "HEAD", "POST", "1.0", "1.0 keep-alive", "close")
WITH_BODY = ("GET", "POST", "1.0", "1.0 keep-alive", "close")
differ(
    "the text can be taken away again",
    ["set text to None"],
    {
        "HEAD.answers[0].fields": ANYTHING,
        **{f"{request}.notes": ABSENT for request in USUAL},
        **{f"{request}.answers[0].fields[1][1]": "0" for request in WITH_BODY},
        **{f"{request}.answers[0].body": b"" for request in WITH_BODY},
    },
)
differ(
    "Partitioned is sent on every version of Python",
    ["cookie with everything"],
    {
        **{
            f"{request}.answers[0].fields[2][1]": 'a="b c"; Domain=a.example; expires=Thu, 01 Jan 1970 00:00:00 GMT; '
            "HttpOnly; Max-Age=5; Path=/p; SameSite=Lax; Secure; Partitioned"
            for request in USUAL
        },
        **{f"{request}.notes": ABSENT for request in USUAL},
    },
)
differ(
    "an HTTP exception may be returned",
    ["return an exception", "return a redirect", "compress: HTTP exception"],
    {"deprecations": ABSENT},
)
TEXT = ["Content-Type", "text/plain; charset=utf-8"]
ENDS = [["Date", "DATE"], ["Server", "AGENT"]]
differ(
    "nothing is sent behind an answer that was begun: the client would take it for a part of that one",
    ["raise 404 after prepare", "return another response than the prepared one"],
    {
        "GET.answers": [
            {
                "line": "HTTP/1.1 200 OK",
                "fields": [["Transfer-Encoding", "chunked"], ["Content-Type", "application/octet-stream"], *ENDS],
                "body": b"3\r\none\r\n",
            }
        ],
        "GET.then": "closed",
    },
)
differ(
    "whatever a handler returns that is no response is answered with 500",
    ["return the class"],
    {
        "GET.answers": [
            {
                "line": "HTTP/1.1 500 Internal Server Error",
                "fields": [TEXT, ["Content-Length", "26"], *ENDS],
                "body": b"500: Internal Server Error",
            }
        ],
        "GET.then": "open",
    },
)
KEPT = {"line": "HTTP/1.1 200 OK", "fields": [TEXT, ["Content-Length", "4"], *ENDS], "body": b"kept"}
differ(
    "a response whose body is in memory may be returned for several requests",
    ["the same response for several requests"],
    {"GET.answers": [KEPT, KEPT], "again.answers": [KEPT]},
)
