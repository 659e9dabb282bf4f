"""Every exception that the client raises, and the protocol errors that come from parsing.

The tree (a class under several parents is drawn under its first; the others stand in brackets)::

    ClientError
    ├── ClientResponseError                   an answer came, and it is the problem: status, message, headers
    │   ├── ContentTypeError                  json() met another content type
    │   ├── WSServerHandshakeError            the WebSocket upgrade was refused
    │   ├── ClientHttpProxyError              the proxy answered CONNECT with an error
    │   └── TooManyRedirects
    ├── ClientConnectionError                 the connection is the problem
    │   ├── ClientConnectionResetError        [ConnectionResetError]
    │   ├── ClientOSError                     [OSError]
    │   │   └── ClientConnectorError          no connection was made: host, port, ssl, os_error
    │   │       ├── ClientConnectorDNSError
    │   │       ├── ClientProxyConnectionError
    │   │       ├── UnixClientConnectorError  path
    │   │       └── ClientSSLError
    │   │           ├── ClientConnectorSSLError          [ssl.SSLError]
    │   │           └── ClientConnectorCertificateError  [ssl.SSLCertVerificationError] certificate_error
    │   └── ServerConnectionError
    │       ├── ServerDisconnectedError       message
    │       ├── ServerFingerprintMismatch     expected, got, host, port
    │       └── ServerTimeoutError            [TimeoutError]
    │           ├── ConnectionTimeoutError    ClientTimeout.connect and .sock_connect
    │           └── SocketTimeoutError        ClientTimeout.sock_read
    ├── ClientPayloadError                    the body ended early or cannot be decoded
    ├── UploadAbortedError
    ├── InvalidURL                            [ValueError] url, description
    │   └── InvalidUrlClientError
    │       └── InvalidUrlRedirectClientError [RedirectClientError]
    ├── NonHttpUrlClientError
    │   └── NonHttpUrlRedirectClientError     [RedirectClientError]
    └── RedirectClientError

    TotalTimeoutError                         (TimeoutError) ClientTimeout.total; not a ClientError
    WSMessageTypeError                        (TypeError) receive_str() met another kind of message
    WebSocketError                            code

    HttpProcessingError                       code, message, headers
    └── BadHttpMessage
        ├── HttpBadRequest
        ├── PayloadEncodingError
        │   ├── ContentEncodingError
        │   ├── TransferEncodingError
        │   ├── ContentLengthError
        │   └── DecompressSizeError
        ├── LineTooLong
        ├── InvalidHeader                     hdr
        ├── BadStatusLine                     line
        │   └── BadHttpMethod
        └── InvalidURLError

    ProtocolError                             slug, fault, status: what the codec raises

All of them can be copied and pickled. What is bound to this process does not survive pickling: the responses in
``history`` are left out and an ``ssl.SSLContext`` becomes True (see ``__reduce__`` of each class).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

try:
    from ssl import SSLCertVerificationError as _SSLCertVerificationError
    from ssl import SSLError as _SSLError
except ImportError:  # a Python built without OpenSSL still speaks plain HTTP

    class _SSLError(OSError):  # type: ignore[no-redef]
        """Stands for ssl.SSLError, so that the tree is the same."""

    class _SSLCertVerificationError(_SSLError, ValueError):  # type: ignore[no-redef]
        """Stands for ssl.SSLCertVerificationError, so that the tree is the same."""


if TYPE_CHECKING:
    from typing import Self

    from .client.response import ClientResponse
    from .keys import ConnectionKey, RequestInfo
    from .typedefs import StrOrURL

__all__ = (
    "BadHttpMessage",
    "BadHttpMethod",
    "BadStatusLine",
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientError",
    "ClientHttpProxyError",
    "ClientOSError",
    "ClientPayloadError",
    "ClientProxyConnectionError",
    "ClientResponseError",
    "ClientSSLError",
    "ConnectionTimeoutError",
    "ContentEncodingError",
    "ContentLengthError",
    "ContentTypeError",
    "DecompressSizeError",
    "HttpBadRequest",
    "HttpProcessingError",
    "InvalidHeader",
    "InvalidURL",
    "InvalidURLError",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",
    "LineTooLong",
    "NonHttpUrlClientError",
    "NonHttpUrlRedirectClientError",
    "PayloadEncodingError",
    "ProtocolError",
    "RedirectClientError",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "ServerTimeoutError",
    "SocketTimeoutError",
    "TooManyRedirects",
    "TotalTimeoutError",
    "TransferEncodingError",
    "UnixClientConnectorError",
    "UploadAbortedError",
    "WSMessageTypeError",
    "WSServerHandshakeError",
    "WebSocketError",
)

# Characters of a peer's line that an error message repeats; the rest is noise in a log.
MAX_QUOTED = 200


def quoted(text: str | bytes, limit: int = MAX_QUOTED) -> str:
    """Return ``text`` escaped as repr() does, cut after ``limit`` characters with the full length noted."""
    if len(text) <= limit:
        return repr(text)
    return f"{text[:limit]!r}... ({len(text)} {'bytes' if isinstance(text, bytes) else 'characters'})"


def _restore(
    cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any], os_fields: tuple[Any, Any] | None = None
) -> BaseException:
    """Rebuild an exception without calling ``__init__``, whose signature subclasses are free to change."""
    exc = cls.__new__(cls, *args)
    exc.args = args
    exc.__dict__.update(state)
    if os_fields is not None and isinstance(exc, OSError) and os_fields != (exc.errno, exc.strerror):
        # Only then: an errno that was set, even to None, changes what str() shows.
        exc.errno, exc.strerror = os_fields
    return exc


class ClientError(Exception):
    """Base of everything that goes wrong with a client call, apart from the total timeout and cancellation."""

    def __copy__(self) -> Self:
        """Return an exception of the same class with the same args and attributes, whatever ``__init__`` takes."""
        os_fields = (self.errno, self.strerror) if isinstance(self, OSError) else None
        dup: Any = _restore(type(self), self.args, self.__dict__, os_fields)
        return dup  # type: ignore[no-any-return]


# --- An answer came ---------------------------------------------------------------------------------------------------


class ClientResponseError(ClientError):
    """A response came and is itself the problem.

    ``request_info`` and ``history`` say what was asked, ``status``, ``message`` and ``headers`` what was answered;
    status is 0 when the failure has none. ``code`` is the deprecated name of ``status``. ``body`` holds the first bytes
    of the response's body, as far as they had come, when ``raise_for_status`` made the error.
    """

    body: bytes = b""

    def __init__(
        self,
        request_info: RequestInfo,
        history: tuple[ClientResponse, ...],
        *,
        code: int | None = None,
        status: int | None = None,
        message: str = "",
        headers: MultiMapping[str] | None = None,
    ) -> None:
        """Record the facts; ValueError when both ``code`` and ``status`` are given."""
        if code is not None:
            if status is not None:
                raise ValueError("Both code and status arguments are provided; code is deprecated, use status instead")
            warnings.warn("code argument is deprecated, use status instead", DeprecationWarning, stacklevel=2)
            status = code
        self.request_info = request_info
        self.status = 0 if status is None else status
        self.message = message
        self.headers = headers
        self.history = history
        self.args = (request_info, history)

    @property
    def code(self) -> int:
        """The status, under its deprecated name."""
        warnings.warn("code property is deprecated, use status instead", DeprecationWarning, stacklevel=2)
        return self.status

    @code.setter
    def code(self, value: int) -> None:
        warnings.warn("code property is deprecated, use status instead", DeprecationWarning, stacklevel=2)
        self.status = value

    def __str__(self) -> str:
        """Show status, message and the URL that was asked for."""
        url = "" if self.request_info is None else str(self.request_info.real_url)
        return f"{self.status}, message={self.message!r}, url={url!r}"

    def __repr__(self) -> str:
        """Show the constructor call, without the arguments that have their default."""
        shown = [repr(self.request_info), repr(self.history)]
        if self.status != 0:
            shown.append(f"status={self.status!r}")
        if self.message:
            shown.append(f"message={self.message!r}")
        if self.headers is not None:
            shown.append(f"headers={self.headers!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle everything but ``history``, whose responses are bound to their connections."""
        state = dict(self.__dict__, history=())
        headers = state.get("headers")
        if isinstance(headers, CIMultiDictProxy):
            state["headers"] = None
            return _restore_response_error, (type(self), state, tuple(headers.items()))
        return _restore_response_error, (type(self), state, None)


def _restore_response_error(
    cls: type[ClientResponseError], state: dict[str, Any], fields: tuple[tuple[str, str], ...] | None
) -> BaseException:
    if fields is not None:
        # A proxy cannot be pickled, so it travelled as pairs.
        state["headers"] = CIMultiDictProxy(CIMultiDict(fields))
    return _restore(cls, (state["request_info"], state["history"]), state)


class ContentTypeError(ClientResponseError):
    """The content type is not the expected one."""


class WSServerHandshakeError(ClientResponseError):
    """The server did not accept the WebSocket upgrade (RFC 6455 section 4.1); ``body`` is the start of its answer."""

    def __str__(self) -> str:
        """Show what was answered as well: it nearly always says why."""
        fields = "" if self.headers is None else "; ".join(f"{name}: {value}" for name, value in self.headers.items())
        body = f", body={quoted(self.body)}" if self.body else ""
        return f"{super().__str__()}, headers={quoted(fields, 4 * MAX_QUOTED)}{body}"


class ClientHttpProxyError(ClientResponseError):
    """The proxy answered CONNECT with something other than 200 (RFC 9110 section 9.3.6)."""


class TooManyRedirects(ClientResponseError):
    """More redirects than ``max_redirects`` allows."""


# --- The connection is the problem ------------------------------------------------------------------------------------


class ClientConnectionError(ClientError):
    """Base of the errors that concern the connection."""


class ClientConnectionResetError(ClientConnectionError, ConnectionResetError):
    """The connection was closed while something was being written to it."""


class ClientOSError(ClientConnectionError, OSError):
    """An OSError, with its errno, that happened on behalf of a request."""


class ClientConnectorError(ClientOSError):
    """No connection could be made; ``os_error`` says why, ``host``, ``port`` and ``ssl`` say where to."""

    def __init__(self, connection_key: ConnectionKey, os_error: OSError) -> None:
        """Take errno and strerror over from ``os_error``."""
        self._conn_key = connection_key
        self._os_error = os_error
        super().__init__(os_error.errno, os_error.strerror)
        self.args = (connection_key, os_error)

    @property
    def os_error(self) -> OSError:
        """The error of the operating system or of TLS."""
        return self._os_error

    @property
    def host(self) -> str:
        """The host that was asked for."""
        return self._conn_key.host

    @property
    def port(self) -> int | None:
        """The port that was asked for."""
        return self._conn_key.port

    @property
    def ssl(self) -> Any:
        """The ``ssl`` argument of the request: True, False, a context or a fingerprint."""
        return self._conn_key.ssl

    def __str__(self) -> str:
        """Name the peer, the TLS setting and the reason."""
        ssl = "default" if self.ssl is True else self.ssl
        reason = self.strerror if self.strerror is not None else (str(self._os_error) or None)
        return f"Cannot connect to host {self.host}:{self.port} ssl:{ssl} [{reason}]"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle everything, with True in place of an SSLContext, which cannot leave its process."""
        key = _portable_key(self._conn_key)
        args = tuple(key if arg is self._conn_key else arg for arg in self.args)
        state = dict(self.__dict__, _conn_key=key)
        return _restore, (type(self), args, state, (self.errno, self.strerror))


def _portable_key(key: ConnectionKey) -> ConnectionKey:
    if isinstance(key.ssl, bool) or hasattr(key.ssl, "fingerprint"):
        return key
    return key._replace(ssl=True)


class ClientConnectorDNSError(ClientConnectorError):
    """The name of the host could not be resolved."""


class ClientProxyConnectionError(ClientConnectorError):
    """The proxy could not be reached."""


class UnixClientConnectorError(ClientConnectorError):
    """The Unix domain socket at ``path`` could not be reached."""

    def __init__(self, path: str, connection_key: ConnectionKey, os_error: OSError) -> None:
        """Record the path besides what every connector error has."""
        self._path = path
        super().__init__(connection_key, os_error)

    @property
    def path(self) -> str:
        """The path of the socket."""
        return self._path

    def __str__(self) -> str:
        """Name the path, the TLS setting and the reason."""
        ssl = "default" if self.ssl is True else self.ssl
        return f"Cannot connect to unix socket {self.path} ssl:{ssl} [{self.strerror}]"


class ClientSSLError(ClientConnectorError):
    """TLS could not be established."""


class ClientConnectorSSLError(ClientSSLError, _SSLError):
    """The TLS handshake failed."""


class ClientConnectorCertificateError(ClientSSLError, _SSLCertVerificationError):
    """The peer's certificate was not accepted; ``ssl`` tells whether the URL asked for TLS."""

    def __init__(self, connection_key: ConnectionKey, certificate_error: Exception) -> None:
        """Record the verification error."""
        self._certificate_error = certificate_error
        reason = certificate_error if isinstance(certificate_error, OSError) else OSError(str(certificate_error))
        super().__init__(connection_key, reason)
        self.args = (connection_key, certificate_error)

    @property
    def certificate_error(self) -> Exception:
        """What the verification said."""
        return self._certificate_error

    @property
    def ssl(self) -> bool:
        """Whether the URL asked for TLS."""
        return self._conn_key.is_ssl

    def __str__(self) -> str:
        """Name the peer and the verification error."""
        reason = self._certificate_error
        return f"Cannot connect to host {self.host}:{self.port} ssl:{self.ssl} [{type(reason).__name__}: {reason.args}]"


class ServerConnectionError(ClientConnectionError):
    """Base of the errors for which the server is responsible."""


class ServerDisconnectedError(ServerConnectionError):
    """The server closed the connection before the response was complete."""

    def __init__(self, message: Any = None) -> None:
        """Keep ``message`` as it is; it defaults to "Server disconnected"."""
        if message is None:
            message = "Server disconnected"
        self.message = message
        self.args = (message,)


class ServerTimeoutError(ServerConnectionError, TimeoutError):
    """A limit of ClientTimeout other than ``total`` ran out."""


class ConnectionTimeoutError(ServerTimeoutError):
    """ClientTimeout.connect or .sock_connect ran out."""


class SocketTimeoutError(ServerTimeoutError):
    """ClientTimeout.sock_read ran out: nothing came for that long."""


class ServerFingerprintMismatch(ServerConnectionError):
    """The peer's certificate has another fingerprint than the pinned one."""

    def __init__(self, expected: bytes, got: bytes, host: str, port: int) -> None:
        """Record both digests and the peer."""
        self.expected = expected
        self.got = got
        self.host = host
        self.port = port
        self.args = (expected, got, host, port)

    def __repr__(self) -> str:
        """Show both digests and the peer."""
        return (
            f"<{type(self).__name__} expected={self.expected!r} got={self.got!r} host={self.host!r} port={self.port!r}>"
        )


# --- Bodies and URLs --------------------------------------------------------------------------------------------------


class ClientPayloadError(ClientError):
    """The body ended early, has a broken framing or cannot be decoded; the cause is chained."""


class UploadAbortedError(ClientError):
    """The upload of the request body was aborted."""


class InvalidURL(ClientError, ValueError):
    """The URL cannot be used for a request; ``url`` is what was given, ``description`` the reason."""

    def __init__(self, url: StrOrURL, description: str | None = None) -> None:
        """Record the URL as it was given."""
        self._url = url
        self._description = description
        self.args = (url, description) if description else (url,)

    @property
    def url(self) -> StrOrURL:
        """The URL as it was given."""
        return self._url

    @property
    def description(self) -> str | None:
        """What is wrong with it."""
        return self._description

    def __repr__(self) -> str:
        """Show the URL and the reason."""
        return f"<{type(self).__name__} {self}>"

    def __str__(self) -> str:
        """Show the URL and the reason."""
        return f"{self._url} - {self._description}" if self._description else str(self._url)


class InvalidUrlClientError(InvalidURL):
    """The URL that the caller gave is not valid."""


class RedirectClientError(ClientError):
    """Base of the errors about where a redirect leads."""


class NonHttpUrlClientError(ClientError):
    """The URL is valid but its scheme is not one of HTTP."""


class InvalidUrlRedirectClientError(InvalidUrlClientError, RedirectClientError):
    """A redirect leads to a URL that is not valid."""


class NonHttpUrlRedirectClientError(NonHttpUrlClientError, RedirectClientError):
    """A redirect leads to a URL whose scheme is not one of HTTP."""


# --- Outside the ClientError tree -------------------------------------------------------------------------------------


class TotalTimeoutError(TimeoutError):
    """ClientTimeout.total ran out: ``limit`` and ``elapsed`` in seconds, ``phase`` is what was going on."""

    def __init__(self, limit: float, phase: str, elapsed: float, detail: str = "") -> None:
        """Say which limit ran out, when, and in which phase (pool, dns, connect, tls, proxy, headers, body).

        ``detail`` adds what the call was about and what was still pending.
        """
        super().__init__(
            f"the call did not end within {limit:g} s (ClientTimeout.total): "
            f"after {elapsed:.3f} s it was still in phase {phase!r}" + (f": {detail}" if detail else "")
        )
        self.limit = limit
        self.phase = phase
        self.elapsed = elapsed

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with all attributes."""
        return _restore, (type(self), self.args, self.__dict__)


class WSMessageTypeError(TypeError):
    """A WebSocket message came that is not of the kind that was asked for."""


class WebSocketError(Exception):
    """The peer broke the WebSocket protocol; ``code`` is the close code to send (RFC 6455 section 7.4)."""

    def __init__(self, code: int, message: str) -> None:
        """Record the close code."""
        self.code = code
        super().__init__(code, message)

    def __str__(self) -> str:
        """Return the message alone."""
        return str(self.args[1])


# --- Messages that cannot be parsed -----------------------------------------------------------------------------------


class HttpProcessingError(Exception):
    """A message that breaks HTTP: ``code`` is the status that fits, ``headers`` what to send along."""

    code: int = 0
    message: str = ""
    headers: CIMultiDict[str] | None = None

    def __init__(self, *, code: int | None = None, message: str = "", headers: CIMultiDict[str] | None = None) -> None:
        """Record the facts; ``code`` defaults to that of the class."""
        if code is not None:
            self.code = code
        self.headers = headers
        self.message = message

    def __str__(self) -> str:
        """Show the code, then the message indented below it."""
        lines = self.message.splitlines(keepends=True)
        return f"{self.code}, message:\n" + "".join("  " + line if line.strip() else line for line in lines)

    def __repr__(self) -> str:
        """Show the code and the message."""
        return f"<{type(self).__name__}: {self.code}, message={self.message!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with all attributes."""
        return _restore, (type(self), self.args, self.__dict__)


class BadHttpMessage(HttpProcessingError):
    """The message breaks the grammar of HTTP (RFC 9112)."""

    code = 400
    message = "Bad Request"

    def __init__(self, message: str, *, headers: CIMultiDict[str] | None = None) -> None:
        """Record what is wrong."""
        super().__init__(message=message, headers=headers)
        self.args = (message,)


class HttpBadRequest(BadHttpMessage):
    """The request is to be answered with 400."""

    code = 400
    message = "Bad Request"


class PayloadEncodingError(BadHttpMessage):
    """Base of the errors in the framing or coding of a body."""


class ContentEncodingError(PayloadEncodingError):
    """The body does not follow its Content-Encoding (RFC 9110 section 8.4)."""


class TransferEncodingError(PayloadEncodingError):
    """The body does not follow its Transfer-Encoding (RFC 9112 section 6.1 and 7)."""


class ContentLengthError(PayloadEncodingError):
    """The body has not the length that Content-Length promised (RFC 9112 section 6.2)."""


class DecompressSizeError(PayloadEncodingError):
    """The decompressed body is larger than its limit."""


class LineTooLong(BadHttpMessage):
    """A line is longer than its limit; the message quotes its beginning only."""

    def __init__(self, line: str | bytes, limit: str | int = "Unknown", actual_size: str | int = "Unknown") -> None:
        """Record the line and the limit in bytes."""
        super().__init__(f"Got more than {limit} bytes when reading: {quoted(line)}.")
        self.args = (line, limit, actual_size)


class InvalidHeader(BadHttpMessage):
    """A field line is not valid (RFC 9112 section 5); ``hdr`` is the line or the name."""

    def __init__(self, hdr: bytes | str) -> None:
        """Record the line as text."""
        super().__init__(f"Invalid HTTP header: {quoted(hdr)}")
        self.hdr = hdr.decode("utf-8", "backslashreplace") if isinstance(hdr, bytes) else hdr
        self.args = (hdr,)


class BadStatusLine(BadHttpMessage):
    """A start line is not valid (RFC 9112 sections 3 and 4); ``line`` is what came."""

    def __init__(self, line: str | bytes = "", error: str | None = None) -> None:
        """Record the line as text; ``error`` replaces the default message."""
        if not isinstance(line, str):
            line = repr(line)
        super().__init__(error or f"Bad status line {quoted(line)}")
        self.line = line
        self.args = (line,)


class BadHttpMethod(BadStatusLine):
    """The method of a request line is not a token (RFC 9110 section 9.1)."""

    def __init__(self, line: str | bytes = "", error: str | None = None) -> None:
        """Record the line; ``error`` replaces the default message."""
        if error is None:
            if line[:2] in ("\x16\x03", b"\x16\x03"):  # a TLS record of type handshake (RFC 8446 section 5.1)
                error = f"A TLS ClientHello came where an HTTP request was expected: {quoted(line)}"
            else:
                error = f"Bad HTTP method in status line {quoted(line)}"
        super().__init__(line, error)


class InvalidURLError(BadHttpMessage):
    """The target of a request line is not valid (RFC 9112 section 3.2)."""


class ProtocolError(Exception):
    """What every codec raises: one rule of one RFC was broken.

    ``slug`` names the rule and never changes (``h1.length.conflict``), ``fault`` says who broke it (``peer`` or
    ``local``), ``status`` is the response status that a server would answer with.
    """

    def __init__(self, slug: str, message: str, *, fault: Literal["peer", "local"] = "peer", status: int = 400) -> None:
        """Record the facts; the message is the text."""
        super().__init__(message)
        self.slug = slug
        self.message = message
        self.fault = fault
        self.status = status

    def __repr__(self) -> str:
        """Show slug and message."""
        return f"<{type(self).__name__} {self.slug} ({self.fault}, {self.status}): {self.message}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with all attributes, also for subclasses that take other arguments."""
        return _restore, (type(self), self.args, self.__dict__)
