"""The opening handshake of WebSocket, both roles, without I/O and without randomness (RFC 6455 §4).

In: the fields of a request or of a response, and the key, which the caller draws.  Out: the fields to send, the
subprotocol, the parsed `Sec-WebSocket-Extensions`, or a `HandshakeError` that says which check failed, what was
expected and what came.

Where the RFC and aiohttp's practice differ: versions 8 and 7, whose frames are the same, are served as well; a
subprotocol that the client did not offer is taken as none, though §4.1 lets a client fail then, since many servers
answer with their own whatever was asked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ..errors import ProtocolError, quoted
from .grammar import TOKEN

WS_KEY: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What is hashed together with the client's key (RFC 6455 §1.3)."""

KEY_SIZE: Final = 16
"""Bytes of a client's key before base64 (RFC 6455 §4.1)."""

VERSIONS: Final = ("13", "8", "7")
"""Values of Sec-WebSocket-Version that are served."""

MAX_EXTENSIONS: Final = 32
"""Extensions in one field, and parameters of one extension, that are looked at."""

# RFC 6455 §9.1
#   extension-list  = 1#extension          extension       = extension-token *( ";" extension-param )
#   extension-param = token [ "=" (token | quoted-string) ], of which the unquoted value must be a token
_OWS: Final = r"[ \t]*+"
_NAME: Final = TOKEN.pattern + "+"
_EXTENSION: Final = re.compile(rf"{_OWS}({_NAME}){_OWS}")
_PARAMETER: Final = re.compile(rf';{_OWS}({_NAME}){_OWS}(?:={_OWS}(?:({_NAME})|"([^"\\]*+(?:\\.[^"\\]*+)*+)"){_OWS})?')
_ESCAPED: Final = re.compile(r"\\(.)")


class HandshakeError(ProtocolError):
    """One check of the handshake failed: `expected` and `got` are its two sides, `fields` go along with the status.

    Slugs: ws.handshake.method, .version, .upgrade, .connection, .key, .status, .accept, .extension, .protocol.
    """

    def __init__(
        self,
        check: str,
        message: str,
        *,
        expected: str,
        got: str | None,
        status: int = 400,
        fields: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"ws.handshake.{check}", message, fault="peer", status=status)
        self.expected = expected
        self.got = got
        self.fields = tuple(fields)


class Extension(NamedTuple):
    """One element of Sec-WebSocket-Extensions; the value of a parameter without `=` is None."""

    name: str
    parameters: tuple[tuple[str, str | None], ...]


# --------------------------------------------------------------------------------------------------------- field values


def accept_value(key: str | bytes) -> str:
    """Return the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 §4.2.2)."""
    if isinstance(key, str):
        key = key.encode("utf-8", "surrogateescape")
    digest = hashlib.sha1(key + WS_KEY, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def key_value(nonce: bytes) -> str:
    """Return the Sec-WebSocket-Key for a nonce, which must be 16 random bytes (RFC 6455 §4.1)."""
    if len(nonce) != KEY_SIZE:
        raise ValueError(f"a WebSocket key is made of {KEY_SIZE} random bytes, not of {len(nonce)}")
    return base64.b64encode(nonce).decode("ascii")


def list_items(values: Iterable[str]) -> list[str]:
    """Split the values of a comma list, which may stand in several fields, into its elements."""
    return [item for value in values for part in value.split(",") if (item := part.strip(" \t"))]


def parse_extensions(values: Iterable[str]) -> list[Extension]:
    """Parse the values of Sec-WebSocket-Extensions; raises HandshakeError for what is not in the grammar of §9.1."""
    found: list[Extension] = []
    for value in values:
        at = 0
        while at < len(value):
            if value[at] in ", \t":  # empty elements of a list are to be ignored (RFC 9110 §5.6.1)
                at += 1
                continue
            match = _EXTENSION.match(value, at)
            if match is None:
                raise _bad_extensions(value)
            name, at = match[1], match.end()
            parameters: list[tuple[str, str | None]] = []
            while (match := _PARAMETER.match(value, at)) is not None:
                at = match.end()
                unquoted = match[2] if match[3] is None else _ESCAPED.sub(r"\1", match[3])
                if match[3] is not None and TOKEN.fullmatch(unquoted) is None:
                    raise _bad_extensions(value)
                parameters.append((match[1], unquoted))
            if at < len(value) and value[at] != ",":
                raise _bad_extensions(value)
            found.append(Extension(name, tuple(parameters)))
            if len(found) > MAX_EXTENSIONS or len(parameters) > MAX_EXTENSIONS:
                raise _bad_extensions(value, f"more than {MAX_EXTENSIONS} extensions or parameters")
    return found


def _bad_extensions(value: str, what: str = "") -> HandshakeError:
    what = what or f"{quoted(value)} is not a list of extensions (RFC 6455 section 9.1)"
    return HandshakeError(
        "extension", f"Invalid Sec-WebSocket-Extensions: {what}", expected="a list of extensions", got=value
    )


def format_extensions(extensions: Iterable[Extension]) -> str:
    """Return the value of Sec-WebSocket-Extensions."""
    return ", ".join(
        "; ".join([name, *(key if value is None else f"{key}={value}" for key, value in parameters)])
        for name, parameters in extensions
    )


# ---------------------------------------------------------------------------------------------------------- the client


def request_fields(
    key: str, *, protocols: Iterable[str] = (), extensions: str = "", origin: str | None = None
) -> list[tuple[str, str]]:
    """Return the fields that make a GET request a WebSocket handshake (RFC 6455 §4.1), in the order of aiohttp."""
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", VERSIONS[0]),
        ("Sec-WebSocket-Key", key),
    ]
    offered = ",".join(protocols)
    if offered:
        fields.append(("Sec-WebSocket-Protocol", offered))
    if origin is not None:
        fields.append(("Origin", origin))
    if extensions:
        fields.append(("Sec-WebSocket-Extensions", extensions))
    return fields


def check_response(status: int, fields: Mapping[str, str], key: str) -> None:
    """Check the answer to a handshake (RFC 6455 §4.1); `fields` is a case-insensitive multidict.

    Raises HandshakeError for the first check that fails.
    """
    if status != 101:
        raise _refused("status", "Invalid response status", "101", str(status))
    if "websocket" not in _tokens(fields, "Upgrade"):
        raise _refused("upgrade", "Invalid upgrade header", "websocket", fields.get("Upgrade"))
    if "upgrade" not in _tokens(fields, "Connection"):
        raise _refused("connection", "Invalid connection header", "upgrade", fields.get("Connection"))
    expected, got = accept_value(key), fields.get("Sec-WebSocket-Accept")
    if got is None or got.strip(" \t") != expected:
        raise _refused("accept", "Invalid challenge response", expected, got)


def _refused(check: str, what: str, expected: str, got: str | None) -> HandshakeError:
    came = "none" if got is None else quoted(got)
    return HandshakeError(check, f"{what}: expected {expected!r}, got {came}", expected=expected, got=got, status=502)


def _tokens(fields: Mapping[str, str], name: str) -> list[str]:
    return [item.lower() for item in list_items(field_values(fields, name))]


def field_values(fields: Mapping[str, str], name: str) -> list[str]:
    """Return the values of all fields of that name, of a multidict or of a plain mapping."""
    getall = getattr(fields, "getall", None)
    if getall is not None:
        return list(getall(name, ()))
    return [fields[name]] if name in fields else []


def agreed_protocol(fields: Mapping[str, str], offered: Iterable[str]) -> str | None:
    """Return the first subprotocol of a response that was offered; None when there is none."""
    known = frozenset(offered)
    return next((name for name in list_items(field_values(fields, "Sec-WebSocket-Protocol")) if name in known), None)


# ---------------------------------------------------------------------------------------------------------- the server


def check_request(method: str, version: tuple[int, int], fields: Mapping[str, str]) -> str:
    """Check a handshake (RFC 6455 §4.2.1) and return the client's key; `fields` is a case-insensitive multidict.

    Raises HandshakeError with the status to answer: 400, 405 for another method than GET, 426 for a version that is not
    served; its `fields` go into that answer.
    """
    upgrade, connection = fields.get("Upgrade"), fields.get("Connection")
    if "websocket" not in _tokens(fields, "Upgrade"):
        raise _missing("upgrade", "Upgrade", "websocket", upgrade)
    if "upgrade" not in _tokens(fields, "Connection"):
        raise _missing("connection", "Connection", "upgrade", connection)
    if method != "GET":
        raise HandshakeError(
            "method",
            f"A WebSocket handshake is a GET request, not {quoted(method)}",
            expected="GET",
            got=method,
            status=405,
            fields=[("Allow", "GET")],
        )
    if version < (1, 1):
        got = f"HTTP/{version[0]}.{version[1]}"
        raise HandshakeError(
            "version", f"A WebSocket handshake needs HTTP/1.1, not {got}", expected="HTTP/1.1", got=got
        )
    asked = fields.get("Sec-WebSocket-Version")
    if asked is None or asked.strip(" \t") not in VERSIONS:
        raise HandshakeError(
            "version",
            f"Unsupported WebSocket version: {'none' if asked is None else quoted(asked)}; expected {VERSIONS[0]}",
            expected=VERSIONS[0],
            got=asked,
            status=426,
            fields=[
                ("Upgrade", "websocket"),
                ("Connection", "upgrade"),
                ("Sec-WebSocket-Version", ", ".join(VERSIONS)),
            ],
        )
    keys = field_values(fields, "Sec-WebSocket-Key")
    key = keys[0].strip(" \t") if len(keys) == 1 else ""
    try:
        nonce = base64.b64decode(key.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        nonce = b""
    if len(nonce) != KEY_SIZE:
        raise _missing("key", "Sec-WebSocket-Key", f"{KEY_SIZE} bytes in base64", ", ".join(keys) or None)
    return key


def _missing(check: str, name: str, expected: str, got: str | None) -> HandshakeError:
    came = "there is none" if got is None else f"it is {quoted(got)}"
    return HandshakeError(
        check, f"Not a WebSocket handshake: {name} must be {expected}, and {came}", expected=expected, got=got
    )


def select_protocol(fields: Mapping[str, str], supported: Iterable[str]) -> str | None:
    """Return the first subprotocol that the client offers and this server supports; None when there is none.

    The client's order counts (RFC 6455 §4.1: "ordered by preference").
    """
    known = frozenset(supported)
    return next((name for name in list_items(field_values(fields, "Sec-WebSocket-Protocol")) if name in known), None)


def response_fields(key: str, *, protocol: str | None = None, extensions: str = "") -> list[tuple[str, str]]:
    """Return the fields of the 101 that accepts a handshake (RFC 6455 §4.2.2), in the order of aiohttp."""
    fields = [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Accept", accept_value(key))]
    if extensions:
        fields.append(("Sec-WebSocket-Extensions", extensions))
    if protocol is not None:
        fields.append(("Sec-WebSocket-Protocol", protocol))
    return fields
