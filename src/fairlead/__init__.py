"""fairlead: HTTP for asyncio, with the public API of aiohttp."""

from .client.auth import BasicAuth, encode_basic_auth
from .client.connector import BaseConnector, Connection
from .client.cookiejar import AbstractCookieJar, CookieJar, DummyCookieJar
from .client.local import NamedPipeConnector, UnixConnector
from .client.middlewares import DigestAuthMiddleware
from .client.reconnect import Backoff, Reconnection
from .client.request import ClientHandlerType, ClientMiddlewareType, ClientRequest, UploadTracker
from .client.response import ClientResponse, ContentDisposition
from .client.session import ClientSession, request
from .client.tcp import TCPConnector
from .client.timeouts import ClientTimeout, ClientWSTimeout
from .client.tracing import (
    TraceConfig,
    TraceConnectionCreateEndParams,
    TraceConnectionCreateStartParams,
    TraceConnectionQueuedEndParams,
    TraceConnectionQueuedStartParams,
    TraceConnectionReuseconnParams,
    TraceDnsCacheHitParams,
    TraceDnsCacheMissParams,
    TraceDnsResolveHostEndParams,
    TraceDnsResolveHostStartParams,
    TraceRequestChunkSentParams,
    TraceRequestEndParams,
    TraceRequestExceptionParams,
    TraceRequestHeadersSentParams,
    TraceRequestRedirectParams,
    TraceRequestStartParams,
    TraceResponseChunkReceivedParams,
)
from .client.ws import ClientWebSocketResponse
from .codec.coding import set_zlib_backend
from .codec.conditional import ETag
from .codec.disposition import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    content_disposition_filename,
    parse_content_disposition,
)
from .codec.events import HttpVersion, HttpVersion10, HttpVersion11
from .codec.ws_frames import WSCloseCode, WSMessage, WSMsgType
from .errors import (
    ClientConnectionError,
    ClientConnectionResetError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientHttpProxyError,
    ClientOSError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientResponseError,
    ClientSSLError,
    ConnectionTimeoutError,
    ContentTypeError,
    InvalidURL,
    InvalidUrlClientError,
    InvalidUrlRedirectClientError,
    NonHttpUrlClientError,
    NonHttpUrlRedirectClientError,
    RedirectClientError,
    ServerConnectionError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
    ServerTimeoutError,
    SocketTimeoutError,
    TooManyRedirects,
    TotalTimeoutError,
    UploadAbortedError,
    WebSocketError,
    WSMessageTypeError,
    WSServerHandshakeError,
)
from .keys import ConnectionKey, RequestInfo
from .message.body import (
    PAYLOAD_REGISTRY,
    BytesPayload,
    JsonPayload,
    Payload,
    StringIOPayload,
    StringPayload,
    get_payload,
    payload_type,
)
from .message.files import BufferedReaderPayload, BytesIOPayload, IOBasePayload, TextIOPayload
from .message.formdata import FormData
from .message.multipart import MultipartReader, MultipartWriter
from .message.parts import BodyPartReader
from .message.payload import AsyncIterablePayload, streamer
from .version import __version__
from .wire.dns import AsyncResolver, DefaultResolver, ThreadedResolver
from .wire.queues import DataQueue, FlowControlDataQueue
from .wire.sockets import AddrInfoType, SocketFactoryType
from .wire.streams import EMPTY_PAYLOAD, EofStream, StreamReader
from .wire.tls import Fingerprint

__all__ = (
    "EMPTY_PAYLOAD",
    "PAYLOAD_REGISTRY",
    "AbstractCookieJar",
    "AddrInfoType",
    "AsyncIterablePayload",
    "AsyncResolver",
    "Backoff",
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "BaseConnector",
    "BasicAuth",
    "BodyPartReader",
    "BufferedReaderPayload",
    "BytesIOPayload",
    "BytesPayload",
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientError",
    "ClientHandlerType",
    "ClientHttpProxyError",
    "ClientMiddlewareType",
    "ClientOSError",
    "ClientPayloadError",
    "ClientProxyConnectionError",
    "ClientRequest",
    "ClientResponse",
    "ClientResponseError",
    "ClientSSLError",
    "ClientSession",
    "ClientTimeout",
    "ClientWSTimeout",
    "ClientWebSocketResponse",
    "Connection",
    "ConnectionKey",
    "ConnectionTimeoutError",
    "ContentDisposition",
    "ContentTypeError",
    "CookieJar",
    "DataQueue",
    "DefaultResolver",
    "DigestAuthMiddleware",
    "DummyCookieJar",
    "ETag",
    "EofStream",
    "Fingerprint",
    "FlowControlDataQueue",
    "FormData",
    "HttpVersion",
    "HttpVersion10",
    "HttpVersion11",
    "IOBasePayload",
    "InvalidURL",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",
    "JsonPayload",
    "MultipartReader",
    "MultipartWriter",
    "NamedPipeConnector",
    "NonHttpUrlClientError",
    "NonHttpUrlRedirectClientError",
    "Payload",
    "Reconnection",
    "RedirectClientError",
    "RequestInfo",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "ServerTimeoutError",
    "SocketFactoryType",
    "SocketTimeoutError",
    "StreamReader",
    "StringIOPayload",
    "StringPayload",
    "TCPConnector",
    "TextIOPayload",
    "ThreadedResolver",
    "TooManyRedirects",
    "TotalTimeoutError",
    "TraceConfig",
    "TraceConnectionCreateEndParams",
    "TraceConnectionCreateStartParams",
    "TraceConnectionQueuedEndParams",
    "TraceConnectionQueuedStartParams",
    "TraceConnectionReuseconnParams",
    "TraceDnsCacheHitParams",
    "TraceDnsCacheMissParams",
    "TraceDnsResolveHostEndParams",
    "TraceDnsResolveHostStartParams",
    "TraceRequestChunkSentParams",
    "TraceRequestEndParams",
    "TraceRequestExceptionParams",
    "TraceRequestHeadersSentParams",
    "TraceRequestRedirectParams",
    "TraceRequestStartParams",
    "TraceResponseChunkReceivedParams",
    "UnixConnector",
    "UploadAbortedError",
    "UploadTracker",
    "WSCloseCode",
    "WSMessage",
    "WSMessageTypeError",
    "WSMsgType",
    "WSServerHandshakeError",
    "WebSocketError",
    "__version__",
    "content_disposition_filename",
    "encode_basic_auth",
    "get_payload",
    "parse_content_disposition",
    "payload_type",
    "request",
    "set_zlib_backend",
    "streamer",
)


# What is loaded when it is first asked for: clients do without a server, and few programs need all of it.
_LATER = {
    "ChainMapProxy": "fairlead.web.chain",
    "GunicornUVLoopWebWorker": "fairlead.web.worker",
    "GunicornWebWorker": "fairlead.web.worker",
}
_MODULES = frozenset(("abc", "pytest_plugin", "test_utils", "web"))


def __getattr__(name: str) -> object:
    """Load the edges of the package and the server when they are first asked for."""
    import importlib

    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_LATER})
