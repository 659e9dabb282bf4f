"""Where fairlead departs from aiohttp 3.14 on purpose: the case, the reason, and what fairlead shows instead.

Each entry names the places in the observation that differ and what fairlead shows there; anything else that differs
fails, and so does an entry that is no longer true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.parity.compare import ABSENT, ANYTHING, Difference

DIFFERENCES: dict[str, Difference] = {}


def differ(reason: str, cases: Iterable[str], shows: Mapping[str, Any]) -> None:
    for case in cases:
        assert case not in DIFFERENCES, case
        DIFFERENCES[case] = Difference(reason, shows)


def raised(*kinds: str, **facts: Any) -> dict[str, Any]:
    return {"kinds": list(kinds), **facts}


PAYLOAD_ERROR = raised("ClientPayloadError", "ClientError", cause=["HttpProcessingError"])
CHUNKED = [[b"Transfer-Encoding", b"chunked"]]
ANSWERED = [200, "OK", [1, 1]]
BAD_HEAD = raised(
    "ClientResponseError",
    "ClientError",
    status=400,
    headers=None,
    request=["GET", "http://127.0.0.1:PORT/", "http://127.0.0.1:PORT/"],
    history=[],
    cause=["HttpProcessingError"],
)

# --- arguments -------------------------------------------------------------------------------------------------------

differ(
    "the error's url is the whole URL that was given",
    ["url/'http://256.256.256.256/'"],
    {"seen.raised.url": "http://256.256.256.256/"},
)
differ("the error's url is the whole URL that was given", ["url/'http://1.2.3/'"], {"seen.raised.url": "http://1.2.3/"})
differ(
    "a method of a wrong type is a TypeError that names the argument, not an AttributeError from within",
    ["bad method/None", "bad method/5"],
    {"raised": raised("TypeError")},
)
differ(
    "a value that can not work is refused before anything is sent",
    ["request argument/timeout=True", "request argument/raise_for_status=5"],
    {"raised": raised("TypeError"), "head": ABSENT, "fields": ABSENT, "body": ABSENT, "sent": []},
)
differ(
    "a value that can not work is refused before anything is sent",
    ["request argument/read_bufsize=0"],
    {"raised": raised("ValueError"), "head": ABSENT, "fields": ABSENT, "body": ABSENT, "sent": []},
)
differ(
    "a limit that lets no response through is refused when the session is made",
    [f"session argument/{name}=0" for name in ("max_headers", "max_line_size", "max_field_size")],
    {"raised": raised("ValueError"), "sent": []},
)
differ(
    "a cookie jar needs no running loop",
    ["session argument/no loop CookieJar"],
    {"seen": "made CookieJar"},
)
differ(
    "chunked takes any true value without a word",
    ["request argument/chunked='x'", "request argument/chunked=5"],
    {"deprecations": ABSENT},
)
differ(
    "no chunk framing without a Transfer-Encoding field",
    ["request argument/chunked=0"],
    {"deprecations": ABSENT, "sent[0]": ANYTHING},
)

# --- what is sent ----------------------------------------------------------------------------------------------------

differ(
    "Transfer-Encoding has one place among the fields, with or without a body",
    ["framing/chunked no body"],
    {"sent[0]": ANYTHING},
)
differ("no chunk framing without a Transfer-Encoding field", ["framing/chunked false"], {"sent[0]": ANYTHING})
differ(
    "the bytes of a Location that are not UTF-8 are escaped, not dropped",
    ["redirect location/'/é'"],
    {
        "answer[2]": "http://127.0.0.1:SELF/%E9",
        "answer[3]": "http://127.0.0.1:SELF/%E9",
        "server[0]": ANYTHING,
    },
)

# --- what is accepted ------------------------------------------------------------------------------------------------

differ(
    "a fold is one space (RFC 9112 section 5.2)",
    ["field/obs-fold"],
    {"fields[1][1]": b"a b c"},
)
differ(
    "space before the first field is refused (RFC 9112 section 2.2)",
    ["field/fold on first line"],
    {"raised": BAD_HEAD, "head": ABSENT, "fields": ABSENT, "body": ABSENT},
)
differ(
    "a bad chunk fails the reading of the body, not the request if it came in one piece with the head",
    [
        f"chunk/{name}"
        for name in (
            "letters", "negative", "0x", "space before size", "underscore", "huge", "empty size", "extension with LF",
            "data too long", "bare LF", "CR CR", "trailer bad", "trailers 300", "trailer of 20000",
        )
    ],
    {"raised": ABSENT, "head": ANSWERED, "fields": CHUNKED, "body": {"raised": PAYLOAD_ERROR}},
)  # fmt: skip
differ(
    "spaces around an extension are bad white space, which a recipient removes (RFC 9112 section 7.1.1), and framing "
    "fields in a trailer are ignored (RFC 9110 section 6.5.1)",
    ["chunk/extension with spaces", "chunk/trailer Content-Length"],
    {"raised": ABSENT, "head": ANSWERED, "fields": CHUNKED, "body": b"ok"},
)
differ(
    "extensions are bounded (RFC 9112 section 7.1.1)", ["chunk/extension of 20000"], {"body": {"raised": PAYLOAD_ERROR}}
)
differ(
    "what follows a complete response ends the connection, not the response",
    ["bodiless/extra bytes"],
    {"raised": ABSENT, "head": ANSWERED, "fields": [[b"Content-Length", b"2"]], "body": b"ok"},
)
differ(
    "what follows a complete response ends the connection, not the response",
    ["bodiless/extra bytes after chunks"],
    {"raised": ABSENT, "head": ANSWERED, "fields": CHUNKED, "body": b"ok"},
)
differ(
    "what follows a complete response ends the connection, not the response",
    ["bodiless/204 with body"],
    {"raised": ABSENT, "head": [204, "N", [1, 1]], "fields": [], "body": b""},
)
differ(
    "what follows a complete response ends the connection, not the response",
    ["bodiless/HEAD with body"],
    {"raised": ABSENT, "head": ANSWERED, "fields": [[b"Content-Length", b"2"]], "body": b""},
)
differ(
    "a compressed body that is cut short is an error, not a short body",
    ["content coding/gzip truncated", "content coding/gzip half"],
    {"body": {"raised": PAYLOAD_ERROR}},
)
differ(
    "x-gzip is gzip, and several codings are undone in turn (RFC 9110 section 8.4)",
    ["content coding/x-gzip", "content coding/gzip, gzip"],
    {"body": b"hello" * 10},
)
differ(
    "a bad coding fails the reading of the body whatever the coding is",
    ["content coding/deflate bad"],
    {"raised": ABSENT, "head": ANSWERED, "fields": ANYTHING, "body": {"raised": PAYLOAD_ERROR}},
)
differ(
    "cookie name prefixes are enforced (RFC 6265bis section 4.1.3)",
    ["set-cookie/__Host-a=b; Path=/"],
    {"looked[1]": []},
)

# --- responses -------------------------------------------------------------------------------------------------------

CLOSED = {"raised": raised("ClientConnectionError", "ClientError")}
differ(
    "what was received whole stays readable after the response was given back",
    ["closing/release whole"],
    {
        "looked[4]": b"abc",
        "looked[5]": "abc",
        "looked[6].raised": raised(
            "ContentTypeError",
            "ClientResponseError",
            "ClientError",
            status=200,
            headers=[["Content-Length", "3"]],
            request=["GET", "http://127.0.0.1:PORT/", "http://127.0.0.1:PORT/"],
            history=[],
        ),
        "looked[7]": b"",
    },
)
differ(
    "what was received whole stays readable after the response was given back",
    ["closing/close whole"],
    {"looked[3]": b"abc", "looked[4]": "abc", "looked[5]": b"", "looked[6]": b"", "looked[7]": b""},
)
differ(
    "what was received whole stays readable after the response was given back",
    ["closing/context whole"],
    {"looked[1]": b"abc", "looked[2]": b""},
)
differ(
    "what was received whole stays readable after the response was given back",
    ["closing/read then context"],
    {"looked[1]": b"abc", "looked[3]": b""},
)
differ(
    "closing the session closes its responses, with the error that every closed response has",
    ["closing/session closed part"],
    {"looked[0]": True, "looked[1].raised": raised("ClientConnectionError", "ClientError")},
)
differ("Connection.loop is there without a warning", ["closing/connection"], {"deprecations": ABSENT})
differ(
    "closing the session closes its responses, with the error that every closed response has",
    ["life/open response"],
    {"read.raised": raised("ClientConnectionError", "ClientError")},
)
differ(
    "nothing is asked for, and nothing is missing",
    ["stream/empty HEAD"],
    {"looked[5]": b""},
)
differ(
    "a chunk ends once, however the bytes were cut",
    ["stream/split 1"],
    {"looked": [b"abc", b"de", b""]},
)

# --- redirects, pool, tracing ----------------------------------------------------------------------------------------

differ(
    "what was received whole stays readable after the response was given back",
    ["redirect history/bodies"],
    {"looked[0]": b"hist"},
)
differ(
    "what was received whole stays readable after the response was given back",
    ["redirect history/three"],
    {"looked[0]": b""},
)
differ(
    "the error of raise_for_status tells the redirects that led there",
    ["redirect limit/raise_for_status 404"],
    {"raised.history": [[302, "http://127.0.0.1:SELF/"]]},
)
differ(
    "only a reused connection makes a request worth repeating: a fresh one that ends says something about the server",
    ["dead/fresh GET"],
    {"served": [["GET / HTTP/1.1"], ["GET / HTTP/1.1"]]},
)
differ(
    "only a reused connection makes a request worth repeating: a fresh one that ends says something about the server",
    ["trace/closed"],
    {"heard": ANYTHING},
)
differ(
    "a request is repeated only if no byte of a response came",
    ["dead/GET half a status line"],
    {
        "results[1]": {
            "raised": raised("ServerDisconnectedError", "ServerConnectionError", "ClientConnectionError", "ClientError")
        },
        "served": [["GET / HTTP/1.1"]],
    },
)
differ(
    "a name without addresses is a name that was not resolved",
    ["lookup/none"],
    {
        "seen.raised": raised(
            "ClientConnectorDNSError",
            "ClientConnectorError",
            "ClientOSError",
            "ClientConnectionError",
            "ClientError",
            "OSError",
            host="a.example",
            port=80,
            ssl=True,
            errno=None,
        )
    },
)

# --- multipart -------------------------------------------------------------------------------------------------------

differ(
    "a file name that is not ASCII is no reason to fail",
    ["multipart written/unicode names"],
    {
        "raised": ABSENT,
        "sent": ANYTHING,
        "head": ANSWERED,
        "fields": [[b"Content-Length", b"2"]],
        "body": b"ok",
    },
)
differ(
    "a boundary is not empty and does not end in a space (RFC 2046 section 5.1.1)",
    ["multipart boundary/''", "multipart boundary/'tail '"],
    {"made": {"raised": raised("ValueError")}},
)
differ(
    "an address family that no connector can use is a wrong value",
    ["connector argument/family=5", "connector argument/family='x'"],
    {"seen.raised": raised("ValueError")},
)
