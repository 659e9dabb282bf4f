"""Body length and persistence by RFC 9112 §6 and §9, as tables."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from fairlead.codec.events import HttpVersion, HttpVersion10, HttpVersion11
from fairlead.codec.framing import (
    CHUNKED,
    MAX_CONTENT_LENGTH,
    TUNNEL,
    UNTIL_CLOSE,
    declared_length,
    keeps_alive,
    request_length,
    response_length,
)
from fairlead.errors import ProtocolError


def headers(text: str) -> CIMultiDict[str]:
    """Read `Name: value | Name: value`; L and T stand for Content-Length and Transfer-Encoding."""
    names = {"L": "Content-Length", "T": "Transfer-Encoding", "C": "Connection", "P": "Proxy-Connection"}
    pairs = [item.split(":", 1) for item in text.split("|") if item]
    return CIMultiDict([(names.get(name.strip(), name.strip()), value.strip(" ")) for name, value in pairs])


DECLARED: list[tuple[str, int | str | None]] = [
    ("", None),
    ("X: 5", None),
    ("L: 0", 0),
    ("L: 10", 10),
    ("content-LENGTH: 10", 10),
    ("L: 007", 7),
    (f"L: {MAX_CONTENT_LENGTH}", MAX_CONTENT_LENGTH),
    (f"L: {MAX_CONTENT_LENGTH + 1}", "overflow"),
    ("L: 9999999999999999999", "overflow"),
    ("L: 99999999999999999999999", "overflow"),
    ("L: 00000000000000000001", "overflow"),
    ("L: ", "empty"),
    ("L: +5", "syntax"),
    ("L: -5", "syntax"),
    ("L: 0x5", "syntax"),
    ("L: 5_0", "syntax"),
    ("L: 5.0", "syntax"),
    ("L: 5e1", "syntax"),
    ("L: 5 5", "syntax"),
    ("L: 5,5", "syntax"),
    ("L: 5, 5", "syntax"),
    ("L: 5\n", "syntax"),
    ("L: five", "syntax"),
    ("L: ٥", "syntax"),
    ("L: ²", "syntax"),
    ("L: 5\xa0", "syntax"),
    ("L: 5|L: 5", "duplicate"),
    ("L: 5|content-length: 6", "duplicate"),
    ("L: 5|L:", "duplicate"),
    ("T: chunked", CHUNKED),
    ("T: CHUNKED", CHUNKED),
    ("T: \tchunked\t", CHUNKED),
    ("T: gzip, chunked", CHUNKED),
    ("T: gzip|T: chunked", CHUNKED),
    ("T: ,chunked", CHUNKED),
    ("T: chunked,", UNTIL_CLOSE),
    ("T: chunked|T: gzip", UNTIL_CLOSE),
    ("T: chunked, identity", UNTIL_CLOSE),
    ("T: identity", UNTIL_CLOSE),
    ("T: ", UNTIL_CLOSE),
    ("T: xchunked", UNTIL_CLOSE),
    ("T: chunked;q=1", UNTIL_CLOSE),
    ("T: chun\u212aed", UNTIL_CLOSE),
    ("T: \x0bchunked", UNTIL_CLOSE),
    ("T: \xa0chunked", UNTIL_CLOSE),
    ("T: chunked|L: 5", "conflict"),
    ("L: 5|T: chunked", "conflict"),
    ("L: 5|T: identity", "conflict"),
    ("L: 5|T: ", "conflict"),
]


@pytest.mark.parametrize(("text", "expected"), DECLARED)
def test_declared_length(text: str, expected: int | str | None) -> None:
    if isinstance(expected, str):
        with pytest.raises(ProtocolError) as caught:
            declared_length(headers(text))
        assert caught.value.slug == f"h1.length.{expected}"
        assert caught.value.status == 400
    else:
        assert declared_length(headers(text)) == expected


# clause, method, status, fields, length
RESPONSES: list[tuple[str, str, int, str, int]] = [
    ("9112 6.3 rule 1", "HEAD", 200, "L: 5", 0),
    ("9112 6.3 rule 1", "HEAD", 404, "T: chunked", 0),
    ("9112 6.3 rule 1", "HEAD", 200, "", 0),
    ("9112 6.3 rule 1", "GET", 100, "L: 5", 0),
    ("9112 6.3 rule 1", "GET", 199, "T: chunked", 0),
    ("9112 6.3 rule 1", "GET", 204, "L: 5", 0),
    ("9112 6.3 rule 1", "GET", 304, "L: 5", 0),
    ("9112 6.3 rule 1", "CONNECT", 100, "", 0),
    ("9112 6.3 rule 1", "CONNECT", 204, "", 0),
    ("9110 15.2.2", "GET", 101, "L: 5", TUNNEL),
    ("9112 6.3 rule 2", "CONNECT", 200, "", TUNNEL),
    ("9112 6.3 rule 2", "CONNECT", 299, "L: 5", TUNNEL),
    ("9112 6.3 rule 2", "CONNECT", 300, "L: 5", 5),
    ("9112 6.3 rule 2", "CONNECT", 407, "", UNTIL_CLOSE),
    ("9112 6.3 rule 2: methods are case-sensitive", "connect", 200, "L: 5", 5),
    ("9112 6.3 rule 4", "GET", 200, "T: chunked", CHUNKED),
    ("9112 6.3 rule 4", "GET", 200, "T: gzip", UNTIL_CLOSE),
    ("9112 6.3 rule 6", "GET", 200, "L: 5", 5),
    ("9112 6.3 rule 6", "GET", 205, "L: 5", 5),
    ("9112 6.3 rule 8", "GET", 200, "", UNTIL_CLOSE),
    ("no status of RFC 9110", "GET", 99, "L: 5", 5),
    ("no status of RFC 9110", "CONNECT", 99, "L: 5", 5),
    ("no status of RFC 9110", "GET", 999, "L: 5", 5),
]


@pytest.mark.parametrize(("clause", "method", "status", "text", "expected"), RESPONSES)
def test_response_length(clause: str, method: str, status: int, text: str, expected: int) -> None:
    assert response_length(method, status, headers(text)) == expected


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 100), ("CONNECT", 200)])
def test_contradictions_count_without_a_body_as_well(method: str, status: int) -> None:
    with pytest.raises(ProtocolError, match="Transfer-Encoding"):
        response_length(method, status, headers("L: 5|T: chunked"))


REQUESTS: list[tuple[str, HttpVersion, int | tuple[str, int]]] = [
    ("", HttpVersion11, 0),
    ("L: 5", HttpVersion11, 5),
    ("L: 5", HttpVersion10, 5),
    ("T: chunked", HttpVersion11, CHUNKED),
    ("T: Chunked", HttpVersion11, CHUNKED),
    ("T: chunked", HttpVersion10, ("coding-1.0", 400)),
    ("T: gzip, chunked", HttpVersion11, ("coding", 501)),
    ("T: chunked, chunked", HttpVersion11, ("coding", 501)),
    ("T: chunked|T: chunked", HttpVersion11, ("coding", 501)),
    ("T: ,chunked", HttpVersion11, ("coding", 501)),
    ("T: identity", HttpVersion11, ("coding", 400)),
    ("T: gzip", HttpVersion10, ("coding", 400)),
    ("T: chunked|L: 5", HttpVersion11, ("conflict", 400)),
]


@pytest.mark.parametrize(("text", "version", "expected"), REQUESTS)
def test_request_length(text: str, version: HttpVersion, expected: int | tuple[str, int]) -> None:
    if isinstance(expected, int):
        assert request_length(headers(text), version) == expected
        return
    with pytest.raises(ProtocolError) as caught:
        request_length(headers(text), version)
    assert (caught.value.slug, caught.value.status) == (f"h1.length.{expected[0]}", expected[1])


# fields, whether HTTP/1.1 and HTTP/1.0 keep the connection
PERSISTENCE: list[tuple[str, bool, bool]] = [
    ("", True, False),
    ("C: close", False, False),
    ("C: Close", False, False),
    ("C: keep-alive", True, True),
    ("C: Keep-Alive", True, True),
    ("C: foo, keep-alive", True, True),
    ("C: keep-alive, close", False, False),
    ("C: keep-alive|C: close", False, False),
    ("C: foo", True, False),
    ("C: closed", True, False),
    ("C: upgrade,close", False, False),
    ("C: \tclose\t", False, False),
    ("C: ", True, False),
    ("C: \u212aeep-alive", True, False),
    ("P: close", False, False),
    ("P: keep-alive", True, False),
    ("C: keep-alive|P: close", True, True),
    ("C: keep-alive|T: chunked", True, False),
]


@pytest.mark.parametrize(("text", "new", "old"), PERSISTENCE)
def test_keeps_alive(text: str, new: bool, old: bool) -> None:
    assert keeps_alive(HttpVersion11, headers(text)) is new
    assert keeps_alive(HttpVersion10, headers(text)) is old
    for version in (HttpVersion(0, 9), HttpVersion(2, 0)):
        assert not keeps_alive(version, headers(text))
