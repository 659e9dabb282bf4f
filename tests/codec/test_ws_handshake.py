"""The opening handshake: RFC 6455 §4 and §9.1 as tables, and what aiohttp does beside it."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp.http_websocket
import pytest
from multidict import CIMultiDict

from fairlead.codec.ws_handshake import (
    MAX_EXTENSIONS,
    WS_KEY,
    Extension,
    HandshakeError,
    accept_value,
    agreed_protocol,
    check_request,
    check_response,
    format_extensions,
    key_value,
    parse_extensions,
    request_fields,
    response_fields,
    select_protocol,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

REQUEST = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}
RESPONSE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPT}


def fields(base: dict[str, str], changes: dict[str, str | None]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in {**base, **changes}.items() if value is not None)


# ---- values


def test_the_example_of_the_rfc() -> None:
    """RFC 6455 §1.3."""
    assert accept_value(KEY) == accept_value(KEY.encode()) == ACCEPT
    assert key_value(b"the sample nonce") == KEY
    assert WS_KEY == aiohttp.http_websocket.WS_KEY


def test_a_nonce_has_sixteen_bytes() -> None:
    for size in (0, 15, 17):
        with pytest.raises(ValueError, match=f"made of 16 random bytes, not of {size}"):
            key_value(bytes(size))


def test_a_key_that_is_not_ascii_is_hashed_all_the_same() -> None:
    assert accept_value("\u00e9\udcff") == accept_value(b"\xc3\xa9\xff")


# ---- extensions


@pytest.mark.parametrize(
    ("values", "parsed"),
    [
        ([], []),
        ([""], []),
        (["  , ,,"], []),
        (["foo"], [("foo", ())]),
        (["foo, bar"], [("foo", ()), ("bar", ())]),
        (["foo", "bar; baz=2"], [("foo", ()), ("bar", (("baz", "2"),))]),
        (["foo;a;b=1;c"], [("foo", (("a", None), ("b", "1"), ("c", None)))]),
        ([' foo ; a = 1 ;\tb="2" , bar'], [("foo", (("a", "1"), ("b", "2"))), ("bar", ())]),
        (['foo; a="b\\c"'], [("foo", (("a", "bc"),))]),
        ([",foo,"], [("foo", ())]),
    ],
)
def test_extensions(values: list[str], parsed: list[tuple[str, Any]]) -> None:
    assert parse_extensions(values) == [Extension(*item) for item in parsed]
    assert parse_extensions([format_extensions(parse_extensions(values))]) == parse_extensions(values)


@pytest.mark.parametrize(
    "value",
    [
        *("foo bar", "foo;", "foo;;a", "foo; =1", "foo; a=", "foo; a=,", "=", ";a", "foo; a=1 2", "foo=1", "f\u00e9"),
        *(
            'foo; a="',
            'foo; a="b c"',
            'foo; a=""',
            'foo; a="b,c"',
            'foo; a="b"c',
            "foo; a=b=c",
            "foo\r\n",
            "foo; a=\x00",
        ),
        "foo," * (MAX_EXTENSIONS + 1),
        "foo" + ";a" * (MAX_EXTENSIONS + 1),
        'foo; a="' + "\\a" * 10_000,
        "foo;" + " " * 10_000 + "=",
    ],
)
def test_what_is_no_list_of_extensions(value: str) -> None:
    with pytest.raises(HandshakeError, match="Invalid Sec-WebSocket-Extensions") as raised:
        parse_extensions([value])
    assert raised.value.slug == "ws.handshake.extension"
    assert raised.value.status == 400
    assert len(str(raised.value)) < 500


# ---- requests


def test_fields_of_a_request() -> None:
    """The order of aiohttp."""
    assert request_fields(KEY) == [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ]
    assert request_fields(KEY, protocols=("a", "b"), extensions="permessage-deflate", origin="http://o")[4:] == [
        ("Sec-WebSocket-Protocol", "a,b"),
        ("Origin", "http://o"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ]
    assert check_request("GET", (1, 1), CIMultiDict(request_fields(KEY))) == KEY


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Upgrade": "WebSocket"},
        {"Upgrade": "h2c, websocket"},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "upgrade ,x"},
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Version": "7"},
        {"Sec-WebSocket-Version": " 13 "},
        {"Sec-WebSocket-Key": f" {KEY}\t"},
        {"Sec-WebSocket-Key": base64.b64encode(b"\xff" * 16).decode()},
    ],
)
def test_requests(changes: dict[str, str | None]) -> None:
    headers = fields(REQUEST, changes)
    assert check_request("GET", (1, 1), headers) == headers["Sec-WebSocket-Key"].strip()
    assert check_request("GET", (1, 1), dict(headers)) == headers["Sec-WebSocket-Key"].strip()


@pytest.mark.parametrize(
    ("changes", "check", "status", "expected", "text"),
    [
        ({"Upgrade": None}, "upgrade", 400, "websocket", "Upgrade must be websocket, and there is none"),
        ({"Upgrade": "h2c"}, "upgrade", 400, "websocket", "Upgrade must be websocket, and it is 'h2c'"),
        ({"Upgrade": "websockets"}, "upgrade", 400, "websocket", "it is 'websockets'"),
        ({"Connection": None}, "connection", 400, "upgrade", "Connection must be upgrade, and there is none"),
        ({"Connection": "xupgrade"}, "connection", 400, "upgrade", "it is 'xupgrade'"),
        ({"Connection": "close"}, "connection", 400, "upgrade", "it is 'close'"),
        ({"Sec-WebSocket-Version": None}, "version", 426, "13", "Unsupported WebSocket version: none; expected 13"),
        ({"Sec-WebSocket-Version": "12"}, "version", 426, "13", "Unsupported WebSocket version: '12'"),
        ({"Sec-WebSocket-Version": ""}, "version", 426, "13", "Unsupported WebSocket version: ''"),
        ({"Sec-WebSocket-Key": None}, "key", 400, "16 bytes in base64", "and there is none"),
        ({"Sec-WebSocket-Key": ""}, "key", 400, "16 bytes in base64", "16 bytes in base64, and"),
        ({"Sec-WebSocket-Key": "abcd"}, "key", 400, "16 bytes in base64", "it is 'abcd'"),
        ({"Sec-WebSocket-Key": "!" * 24}, "key", 400, "16 bytes in base64", "it is '!!!"),
        ({"Sec-WebSocket-Key": "\u00e9" * 24}, "key", 400, "16 bytes in base64", "it is"),
        ({"Sec-WebSocket-Key": "eHh4eHh4eHh4eHh4eHh4"}, "key", 400, "16 bytes in base64", "it is 'eHh4"),
        ({"Sec-WebSocket-Key": "x" * 5000}, "key", 400, "16 bytes in base64", "it is 'xxx"),
    ],
)
def test_requests_that_are_refused(
    changes: dict[str, str | None], check: str, status: int, expected: str, text: str
) -> None:
    with pytest.raises(HandshakeError) as raised:
        check_request("GET", (1, 1), fields(REQUEST, changes))
    error = raised.value
    assert (error.slug, error.status, error.expected) == (f"ws.handshake.{check}", status, expected)
    assert text in str(error)
    assert len(str(error)) < 400
    assert error.fault == "peer"
    assert error.got == next(iter(changes.values()), None) or not error.got


def test_what_a_refused_client_is_told() -> None:
    with pytest.raises(HandshakeError) as raised:
        check_request("GET", (1, 1), fields(REQUEST, {"Sec-WebSocket-Version": "25"}))
    assert ("Sec-WebSocket-Version", "13, 8, 7") in raised.value.fields  # RFC 6455 §4.4
    assert ("Upgrade", "websocket") in raised.value.fields  # RFC 9110 §15.5.22
    with pytest.raises(HandshakeError, match="is a GET request, not 'POST'") as raised:
        check_request("POST", (1, 1), fields(REQUEST, {}))
    assert (raised.value.status, raised.value.fields) == (405, (("Allow", "GET"),))
    with pytest.raises(HandshakeError, match=r"needs HTTP/1\.1, not HTTP/1\.0") as raised:
        check_request("GET", (1, 0), fields(REQUEST, {}))
    assert (raised.value.status, raised.value.slug) == (400, "ws.handshake.version")


def test_a_second_key_is_refused() -> None:
    headers = fields(REQUEST, {})
    headers.add("Sec-WebSocket-Key", KEY)
    with pytest.raises(HandshakeError, match="Sec-WebSocket-Key must be") as raised:
        check_request("GET", (1, 1), headers)
    assert raised.value.got == f"{KEY}, {KEY}"


# ---- responses


def test_fields_of_a_response() -> None:
    """The order of aiohttp."""
    assert response_fields(KEY) == [
        ("Upgrade", "websocket"),
        ("Connection", "upgrade"),
        ("Sec-WebSocket-Accept", ACCEPT),
    ]
    assert response_fields(KEY, protocol="chat", extensions="permessage-deflate")[3:] == [
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Sec-WebSocket-Protocol", "chat"),
    ]
    check_response(101, CIMultiDict(response_fields(KEY)), KEY)


@pytest.mark.parametrize(
    "changes",
    [{}, {"Upgrade": "WebSocket", "Connection": "UPGRADE"}, {"Connection": "keep-alive, Upgrade"}],
)
def test_responses(changes: dict[str, str | None]) -> None:
    check_response(101, fields(RESPONSE, changes), KEY)


@pytest.mark.parametrize(
    ("status", "changes", "check", "text", "got"),
    [
        (200, {}, "status", "Invalid response status: expected '101', got '200'", "200"),
        (404, {"Upgrade": None}, "status", "Invalid response status: expected '101', got '404'", "404"),
        (101, {"Upgrade": None}, "upgrade", "Invalid upgrade header: expected 'websocket', got none", None),
        (101, {"Upgrade": "h2c"}, "upgrade", "Invalid upgrade header: expected 'websocket', got 'h2c'", "h2c"),
        (101, {"Connection": None}, "connection", "Invalid connection header: expected 'upgrade', got none", None),
        (101, {"Connection": "close"}, "connection", "Invalid connection header: expected 'upgrade'", "close"),
        (101, {"Sec-WebSocket-Accept": None}, "accept", f"challenge response: expected '{ACCEPT}', got none", None),
        (101, {"Sec-WebSocket-Accept": "abc"}, "accept", f"challenge response: expected '{ACCEPT}', got 'abc'", "abc"),
        (101, {"Sec-WebSocket-Accept": ACCEPT.lower()}, "accept", "Invalid challenge response", ACCEPT.lower()),
    ],
)
def test_responses_that_are_refused(
    status: int, changes: dict[str, str | None], check: str, text: str, got: str | None
) -> None:
    with pytest.raises(HandshakeError) as raised:
        check_response(status, fields(RESPONSE, changes), KEY)
    assert raised.value.slug == f"ws.handshake.{check}"
    assert raised.value.got == got
    assert text in str(raised.value)


# ---- subprotocols


def test_the_client_s_order_of_subprotocols_counts() -> None:
    headers = CIMultiDict({"Sec-WebSocket-Protocol": "superchat, chat"})
    assert select_protocol(headers, ("chat", "superchat")) == "superchat"
    assert select_protocol(headers, ("chat",)) == "chat"
    assert select_protocol(headers, ("Chat",)) is None
    assert select_protocol(headers, ()) is None
    assert select_protocol(CIMultiDict(), ("chat",)) is None
    several = CIMultiDict([("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "b,c")])
    assert select_protocol(several, ("c", "b")) == "b"


def test_what_the_server_took_of_what_was_offered() -> None:
    def answered(value: str) -> CIMultiDict[str]:
        return CIMultiDict({"Sec-WebSocket-Protocol": value})

    assert agreed_protocol(answered("chat"), ("a", "chat")) == "chat"
    assert agreed_protocol(answered("z"), ("a", "chat")) is None  # as in aiohttp
    assert agreed_protocol(answered("chat"), ()) is None
    assert agreed_protocol(CIMultiDict(), ("chat",)) is None
