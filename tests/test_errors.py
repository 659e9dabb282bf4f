"""The exception tree: its shape, texts and attributes, and that copies and pickles keep them.

Where aiohttp is installed every class and every text is compared with it; the exceptions to that are named here.
"""

from __future__ import annotations

import copy
import importlib
import pickle
import ssl
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from fairlead import errors
from fairlead.keys import ConnectionKey, RequestInfo

KEY = ConnectionKey("h.example", 80, False, True, None, None, None)
TLS_KEY = ConnectionKey("h.example", 443, True, False, None, None, None)
CONTEXT_KEY = ConnectionKey("h.example", 443, True, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), None, None, None)
REFUSED = ConnectionRefusedError(111, "Connection refused")
HEADERS = CIMultiDictProxy(CIMultiDict([("Server", "x"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
INFO = RequestInfo(URL("http://h/a"), "GET", HEADERS, URL("http://h/a#f"))

PLAIN = (
    "ClientError ClientConnectionError ClientConnectionResetError ClientOSError ServerConnectionError"
    " ServerTimeoutError ConnectionTimeoutError SocketTimeoutError ClientPayloadError UploadAbortedError"
    " RedirectClientError NonHttpUrlClientError NonHttpUrlRedirectClientError WSMessageTypeError"
).split()
CONNECTOR = (
    "ClientConnectorError ClientConnectorDNSError ClientProxyConnectionError ClientSSLError ClientConnectorSSLError"
).split()
RESPONSE = "ClientResponseError ContentTypeError WSServerHandshakeError ClientHttpProxyError TooManyRedirects".split()
URLS = "InvalidURL InvalidUrlClientError InvalidUrlRedirectClientError".split()
MESSAGES = (
    "BadHttpMessage HttpBadRequest PayloadEncodingError ContentEncodingError TransferEncodingError ContentLengthError"
    " DecompressSizeError InvalidURLError"
).split()

Make = Callable[[Any], BaseException]


def cases() -> dict[str, Make]:
    """Name every representative instance; each is made from either namespace, so texts can be compared."""
    found: dict[str, Make] = {}

    def add(name: str, *args: Any, label: str = "", **kwargs: Any) -> None:
        found[f"{name}{label or len(found)}"] = lambda ns: getattr(ns, name)(*args, **kwargs)  # type: ignore[no-any-return]

    for name in PLAIN:
        add(name)
        add(name, "text")
        add(name, 111, "text")
    for name in CONNECTOR:
        add(name, KEY, REFUSED)
        add(name, TLS_KEY, OSError(None, "Cannot connect"))
    add("ClientConnectorCertificateError", TLS_KEY, ssl.CertificateError("bad certificate"))
    add("ClientConnectorCertificateError", KEY, ValueError("bad certificate"))
    add("UnixClientConnectorError", "/tmp/s", KEY, REFUSED)
    add("ServerDisconnectedError")
    add("ServerDisconnectedError", "text")
    add("ServerFingerprintMismatch", b"a", b"b", "h", 1)
    for name in RESPONSE:
        add(name, INFO, ())
        add(name, INFO, (), status=404, message="Not Found", headers=HEADERS)
    add("ClientResponseError", INFO, (), status=0, headers=CIMultiDict())
    for name in URLS:
        add(name, "http:///x")
        add(name, URL("http://x"), "no host")
        add(name, "http://x", description="no host")
        add(name, "http://x", "")
    add("HttpProcessingError")
    add("HttpProcessingError", code=413, message="one\ntwo\n\nfour", headers=CIMultiDict(a="b"))
    for name in MESSAGES:
        add(name, "text")
    add("BadHttpMessage", "text", headers=CIMultiDict(a="b"))
    add("LineTooLong", "abc")
    add("LineTooLong", b"abc", 10, "20")
    add("InvalidHeader", "abc")
    add("InvalidHeader", b"a\xff:bc")
    for name in ("BadStatusLine", "BadHttpMethod"):
        add(name)
        add(name, "abc")
        add(name, "abc", "another text")
    add("BadStatusLine", b"abc")
    add("WebSocketError", 1002, "text")
    return found


CASES = cases()
OURS: dict[str, Make] = {
    "TotalTimeoutError": lambda ns: ns.TotalTimeoutError(5, "headers", 5.001),
    "ProtocolError": lambda ns: ns.ProtocolError("h1.length.conflict", "two lengths", fault="local", status=413),
    "context": lambda ns: ns.ClientConnectorError(CONTEXT_KEY, REFUSED),
}


def oracle() -> Any:
    pytest.importorskip("aiohttp")
    spaces = [importlib.import_module(f"aiohttp.{name}") for name in ("client_exceptions", "http_exceptions")]
    spaces.append(importlib.import_module("aiohttp"))
    merged: dict[str, Any] = {}
    for space in spaces:
        merged.update({name: value for name, value in vars(space).items() if isinstance(value, type)})
    return SimpleNamespace(**merged)


def facts(exc: BaseException) -> dict[str, Any]:
    """Everything public that can be read from an exception."""
    names = (
        "args errno strerror filename status message headers history os_error host port ssl url description expected"
        " got certificate_error path hdr line request_info limit phase elapsed slug fault __notes__"
    ).split()
    if not isinstance(exc, errors.ClientResponseError):
        names.append("code")
    return {name: getattr(exc, name) for name in names if hasattr(exc, name)}


def comparable(value: Any) -> Any:
    """Replace exceptions, which compare by identity, by their repr."""
    if isinstance(value, BaseException):
        return repr(value)
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(comparable(item) for item in value)
    return value


def same(one: BaseException, other: BaseException) -> None:
    assert type(one) is type(other)
    assert str(one) == str(other)
    assert repr(one) == repr(other)
    left, right = facts(one), facts(other)
    assert {k: comparable(v) for k, v in left.items()} == {k: comparable(v) for k, v in right.items()}


@pytest.mark.parametrize("name", CASES)
def test_texts_and_attributes_are_those_of_the_oracle(name: str) -> None:
    exc, theirs = CASES[name](errors), CASES[name](oracle())
    if isinstance(exc, errors.WSServerHandshakeError):
        assert str(exc).startswith(str(theirs))  # and it says what was answered
    else:
        assert str(exc) == str(theirs)
    assert repr(exc) == repr(theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ours, other = facts(exc), facts(theirs)
        other.pop("code", None) if isinstance(exc, errors.ClientResponseError) else None
    if isinstance(exc, errors.ClientConnectorCertificateError):
        # There the verification error stands in for os_error even when it is no OSError; here os_error is always one.
        for key in ("os_error", "errno", "strerror"):
            ours.pop(key), other.pop(key)
    assert {k: comparable(v) for k, v in ours.items()} == {k: comparable(v) for k, v in other.items()}


def test_every_class_of_the_oracle_is_here_with_the_same_ancestry() -> None:
    theirs = oracle()
    modules = ("aiohttp.client_exceptions", "aiohttp.http_exceptions", "aiohttp.http_websocket", "aiohttp._websocket")
    wanted = {
        name: cls
        for name, cls in vars(theirs).items()
        if issubclass(cls, BaseException) and cls.__module__.startswith(modules)
    }
    assert len(wanted) >= 45
    for name, cls in wanted.items():
        assert [c.__name__ for c in getattr(errors, name).__mro__] == [c.__name__ for c in cls.__mro__], name
        assert name in errors.__all__


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", [name for name in [*CASES, *OURS] if name != "context"])
def test_pickle_keeps_everything(name: str, protocol: int) -> None:
    exc = {**CASES, **OURS}[name](errors)
    exc.add_note("a note")
    back = pickle.loads(pickle.dumps(exc, protocol))
    same(exc, back)
    assert back.__notes__ == ["a note"]


@pytest.mark.parametrize("name", [*CASES, *OURS])
def test_copy_keeps_everything(name: str) -> None:
    exc = {**CASES, **OURS}[name](errors)
    exc.add_note("a note")
    dup = copy.copy(exc)
    assert dup is not exc
    same(exc, dup)
    for key, value in vars(exc).items():
        assert getattr(dup, key) is value, key


@pytest.mark.parametrize("name", [name for name in [*CASES, *OURS] if name != "context"])
def test_deepcopy_keeps_everything(name: str) -> None:
    same(exc := {**CASES, **OURS}[name](errors), copy.deepcopy(exc))


def test_pickle_replaces_what_is_bound_to_the_process() -> None:
    back = pickle.loads(pickle.dumps(errors.ClientConnectorError(CONTEXT_KEY, REFUSED)))
    assert back.ssl is True
    assert (back.host, back.port, back.errno) == ("h.example", 443, 111)
    assert back.args[0].ssl is True

    bound: Any = (object(),)
    exc = errors.TooManyRedirects(INFO, bound, status=302)
    assert copy.copy(exc).history is bound
    back = pickle.loads(pickle.dumps(exc))
    assert back.history == () == back.args[1]
    assert back.status == 302


class Strict(errors.ClientResponseError):
    """A subclass of a user, with a constructor of its own."""

    def __init__(self, reason: str) -> None:
        super().__init__(INFO, (), status=418)
        self.reason = reason


def test_subclasses_with_another_constructor_survive_copy_and_pickle() -> None:
    exc = Strict("teapot")
    for dup in (copy.copy(exc), pickle.loads(pickle.dumps(exc))):
        assert (dup.reason, dup.status, dup.args) == ("teapot", 418, exc.args)


def test_headers_of_a_pickled_error_are_still_a_read_only_multidict() -> None:
    back = pickle.loads(pickle.dumps(errors.ClientResponseError(INFO, (), headers=HEADERS)))
    for headers in (back.headers, back.request_info.headers):
        assert isinstance(headers, CIMultiDictProxy)
        assert headers.getall("set-cookie") == ["a=1", "b=2"]


def test_code_is_deprecated_as_argument_and_attribute() -> None:
    with pytest.warns(DeprecationWarning, match="code argument is deprecated, use status instead") as record:
        exc = errors.ClientResponseError(INFO, (), code=404)
    assert record[0].filename == __file__
    assert exc.status == 404
    with pytest.warns(DeprecationWarning, match="code property is deprecated, use status instead") as record:
        assert exc.code == 404
    assert record[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="code property is deprecated"):
        exc.code = 500
    assert exc.status == 500


def test_code_and_status_together_are_refused() -> None:
    with pytest.raises(ValueError, match="Both code and status arguments are provided"):
        errors.ClientResponseError(INFO, (), code=404, status=404)


def test_response_error_without_request_info_still_has_a_text() -> None:
    none: Any = None
    assert str(errors.ClientResponseError(none, none, status=400)) == "400, message='', url=''"


def test_connector_error_names_the_reason_even_without_strerror() -> None:
    assert str(errors.ClientConnectorError(KEY, OSError("just text"))).endswith("[just text]")


def test_certificate_error_that_is_no_oserror() -> None:
    reason = ValueError("wrong host")
    exc = errors.ClientConnectorCertificateError(TLS_KEY, reason)
    assert exc.certificate_error is reason
    assert isinstance(exc.os_error, OSError)
    assert exc.ssl is True
    assert exc.args == (TLS_KEY, reason)


def test_tls_errors_are_caught_as_what_the_ssl_module_raises() -> None:
    assert issubclass(errors.ClientConnectorSSLError, ssl.SSLError)
    assert issubclass(errors.ClientConnectorCertificateError, ssl.SSLCertVerificationError)
    assert issubclass(errors.ClientConnectorCertificateError, errors.ClientSSLError)


def test_timeouts_are_caught_as_timeout_error() -> None:
    for cls in (errors.ConnectionTimeoutError, errors.SocketTimeoutError, errors.TotalTimeoutError):
        assert issubclass(cls, TimeoutError)
    assert not issubclass(errors.TotalTimeoutError, errors.ClientError)


def test_total_timeout_says_which_limit_when_and_where() -> None:
    exc = errors.TotalTimeoutError(5, "headers", 5.001)
    assert (exc.limit, exc.phase, exc.elapsed) == (5, "headers", 5.001)
    for part in ("5 s", "ClientTimeout.total", "5.001 s", "'headers'"):
        assert part in str(exc)


def test_protocol_error_carries_rule_fault_and_status() -> None:
    exc = errors.ProtocolError("h1.length.conflict", "two lengths")
    assert (exc.slug, exc.fault, exc.status, str(exc)) == ("h1.length.conflict", "peer", 400, "two lengths")
    assert repr(exc) == "<ProtocolError h1.length.conflict (peer, 400): two lengths>"


def test_long_lines_are_quoted_in_part() -> None:
    line = b"x" * 100_000
    for exc in (errors.LineTooLong(line, 8190), errors.InvalidHeader(line), errors.BadStatusLine(line)):
        assert len(str(exc)) < 400, exc
    assert "(100000 bytes)" in str(errors.LineTooLong(line, 8190))
    assert errors.InvalidHeader(line).hdr == "x" * 100_000
    assert errors.quoted("x" * errors.MAX_QUOTED) == repr("x" * errors.MAX_QUOTED)


@pytest.mark.parametrize("line", ["\x16\x03\x01\x02", b"\x16\x03\x01\x02"])
def test_tls_on_a_plain_port_is_recognised(line: str | bytes) -> None:
    assert "ClientHello" in str(errors.BadHttpMethod(line))


def test_the_tree_in_the_docstring_is_complete() -> None:
    assert errors.__doc__ is not None
    missing = [name for name in errors.__all__ if name not in errors.__doc__.split()]
    assert missing == []
    assert sorted(errors.__all__) == sorted(
        name for name, v in vars(errors).items() if isinstance(v, type) and v.__module__ == errors.__name__
    )
