"""TCPConnector: connections to the hosts of http:// and https:// URLs, directly or through an HTTP proxy.

aiohttp's face on ``wire.dns``, ``wire.dial``, ``wire.tls`` and ``wire.proxy``: it takes the constructor's arguments,
turns OSError into the typed errors of ``fairlead.errors``, and keeps the underscored methods that packages override
(``_resolve_host``, ``_wrap_create_connection`` and those around them). It does not pool; BaseConnector does.

A host that cannot be connected to is dropped from the DNS cache. If its addresses came from there, the resolver is
asked once more, and addresses that are new in its answer get one attempt.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict, CIMultiDictProxy

from .. import hdrs
from ..errors import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
    ConnectionTimeoutError,
    InvalidUrlClientError,
    ProtocolError,
    ServerFingerprintMismatch,
    quoted,
)
from ..keys import RequestInfo
from ..wire import tls
from ..wire.dial import (
    PHASE_DNS,
    PHASE_PROXY,
    PHASE_TLS,
    Dialling,
    connect_deadline,
    open_connection,
    start_tls,
)
from ..wire.dns import AbstractResolver, HostLookup, ResolveResult
from ..wire.eyeballs import ATTEMPT_DELAY
from ..wire.proxy import PROXY_SCHEMES, TUNNEL_STATUS, TunnelProtocol, tunnel_authority
from ..wire.sockets import AddrInfoType, SocketFactoryType, local_addr_infos, numeric_addr_info
from .connector import CLOSE_TIMEOUT, BaseConnector
from .options import UNSET
from .request import ClientRequest

if TYPE_CHECKING:
    from ssl import SSLContext

    from ..wire.h1_link import H1ClientLink
    from .connector import Connection
    from .timeouts import ClientTimeout
    from .tracing import Trace

# Addresses kept in the DNS cache, and for how many seconds.
DNS_CACHE_MAX_SIZE = 1000
DNS_CACHE_TTL = 10

_FAMILY_NAMES: dict[int, str] = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}

_Made = tuple[Any, Any]  # a transport and its protocol


class TCPConnector(BaseConnector):
    """Pools TCP and TLS connections, and opens them directly or through HTTP proxies.

    ``ssl`` True verifies certificates, False does not, or it is a context or a Fingerprint; ``family`` restricts to
    IPv4 or IPv6; ``local_addr`` is bound first; ``ttl_dns_cache`` in seconds, None for ever; ``happy_eyeballs_delay``
    in seconds between attempts (RFC 8305), None for one after the other; ``interleave`` is how many addresses of the
    first family come before another one; ``socket_factory`` makes the sockets. ``verify_ssl``, ``fingerprint``,
    ``ssl_context`` and ``ssl_shutdown_timeout`` are deprecated. Raises ValueError for arguments that exclude each
    other, TypeError for an ``ssl`` or ``local_addr`` of a wrong type, RuntimeError outside a running loop.
    """

    allowed_protocol_schema_set = BaseConnector.allowed_protocol_schema_set | {"tcp"}

    def __init__(
        self,
        *,
        verify_ssl: bool = True,
        fingerprint: bytes | None = None,
        use_dns_cache: bool = True,
        ttl_dns_cache: float | None = DNS_CACHE_TTL,
        dns_cache_max_size: int = DNS_CACHE_MAX_SIZE,
        family: socket.AddressFamily = socket.AddressFamily.AF_UNSPEC,
        ssl_context: SSLContext | None = None,
        ssl: bool | tls.Fingerprint | SSLContext = True,
        local_addr: tuple[str, int] | None = None,
        resolver: AbstractResolver | None = None,
        keepalive_timeout: float | None = UNSET,
        force_close: bool = False,
        limit: int = 100,
        limit_per_host: int = 0,
        enable_cleanup_closed: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout_ceil_threshold: float = 5,
        happy_eyeballs_delay: float | None = ATTEMPT_DELAY,
        interleave: int | None = None,
        socket_factory: SocketFactoryType | None = None,
        ssl_shutdown_timeout: float | None = UNSET,
    ) -> None:
        """Take the settings; nothing is opened or resolved."""
        local_addrs = local_addr_infos(local_addr)
        self._ssl = tls.merge_ssl_arguments(ssl, verify_ssl, ssl_context, fingerprint)
        if ssl_shutdown_timeout is UNSET:
            ssl_shutdown_timeout = 0
        else:
            text = "The ssl_shutdown_timeout parameter is deprecated"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        super().__init__(
            keepalive_timeout=keepalive_timeout,
            force_close=force_close,
            limit=limit,
            limit_per_host=limit_per_host,
            enable_cleanup_closed=enable_cleanup_closed,
            loop=loop,
            timeout_ceil_threshold=timeout_ceil_threshold,
        )
        self._use_dns_cache = use_dns_cache
        if family not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
            raise ValueError(f"family must be AF_UNSPEC, AF_INET or AF_INET6 of the socket module, got {family!r}")
        self._family = family
        self._lookup = HostLookup(
            resolver,
            self._loop,
            family=family,
            use_cache=use_dns_cache,
            ttl=ttl_dns_cache,
            max_size=dns_cache_max_size,
        )
        self._ssl_shutdown_timeout = ssl_shutdown_timeout
        self._dialling = Dialling(
            local_addrs=local_addrs,
            attempt_delay=happy_eyeballs_delay,
            first_family_count=interleave,
            socket_factory=socket_factory,
            tls_shutdown_timeout=ssl_shutdown_timeout,
        )

    @property
    def family(self) -> int:
        """The address family that is used, AF_UNSPEC for both."""
        return self._family

    @property
    def use_dns_cache(self) -> bool:
        """Whether answers of the resolver are cached."""
        return self._use_dns_cache

    def clear_dns_cache(self, host: str | None = None, port: int | None = None) -> None:
        """Drop the cached addresses of ``host`` and ``port``, or all; ValueError when only one of the two is given."""
        if host is not None and port is not None:
            self._lookup.forget(host, port)
        elif host is not None or port is not None:
            raise ValueError("either both host and port or none of them are allowed")
        else:
            self._lookup.clear()

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections, end lookups that are under way, and close the resolver if this connector made it.

        ``abort_ssl`` closes TLS connections without the closing handshake, which is the default here as well.
        """
        ending = self.shut_down(abort_ssl=abort_ssl or self._ssl_shutdown_timeout == 0)
        if ending:
            await asyncio.wait(ending, timeout=CLOSE_TIMEOUT)
        await self._lookup.close_resolver()

    def shut_down(self, *, abort_ssl: bool = False) -> list[asyncio.Future[None]]:
        if not self._loop.is_closed():
            self._lookup.close()
        return super().shut_down(abort_ssl=abort_ssl)

    def _shut(self, link: H1ClientLink) -> None:
        """Close a connection; TLS without waiting for the peer's part of the closing handshake, unless told to."""
        if self._ssl_shutdown_timeout == 0 and link.get_extra_info("sslcontext") is not None:
            link.abort()
        else:
            link.close()

    # --- Use ----------------------------------------------------------------------------------------------------------

    def reuse(self, req: ClientRequest) -> Connection | None:
        """Return an idle connection at once, but leave requests to proxies to ``connect``, which adds credentials."""
        return None if req.proxy else BaseConnector.reuse(self, req)

    async def _connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        if req.proxy:
            # The proxy looks for its credentials in each request that it forwards, whatever the connection.
            self._update_proxy_auth_header_and_build_proxy_req(req)
        return await super()._connect(req, traces, timeout)

    # --- Names --------------------------------------------------------------------------------------------------------

    async def _resolve_host(self, host: str, port: int, traces: Sequence[Trace] | None = None) -> list[ResolveResult]:
        """Return the addresses of ``host``, from the cache or the resolver; OSError when there are none."""
        return await self._lookup.resolve(host, port, traces or ())

    def _convert_hosts_to_addr_infos(self, hosts: list[ResolveResult]) -> list[AddrInfoType]:
        """Return the addresses to dial, those of another family than the connector's left out."""
        infos = [numeric_addr_info(entry["host"], entry["port"]) for entry in hosts]
        if self._family == socket.AF_UNSPEC:
            return infos
        return [info for info in infos if info[0] == self._family]

    async def _addresses(self, req: ClientRequest, host: str, traces: Sequence[Trace]) -> list[AddrInfoType]:
        """Return where to dial for ``req``; ClientConnectorDNSError when the name leads nowhere."""
        assert req.port is not None
        try:
            hosts = await self._resolve_host(host, req.port, traces=traces)
        except TimeoutError as exc:
            if exc.errno is None:
                raise  # a limit that ran out, not an answer
            raise ClientConnectorDNSError(req.connection_key, exc) from exc
        except OSError as exc:
            raise ClientConnectorDNSError(req.connection_key, exc) from exc
        except UnicodeError as exc:
            # What the standard library's IDNA codec says of labels that no name server could know.
            raise ClientConnectorDNSError(req.connection_key, OSError(None, str(exc))) from exc
        if not hosts:
            raise ClientConnectorDNSError(req.connection_key, OSError(None, "the resolver found no address"))
        infos = self._convert_hosts_to_addr_infos(hosts)
        if not infos:
            kind = _FAMILY_NAMES.get(self._family, str(self._family))
            found = ", ".join(entry["host"] for entry in hosts)
            text = f"no {kind} address among {found}, and the connector's family allows no other"
            raise ClientConnectorError(req.connection_key, OSError(errno.EAFNOSUPPORT, text))
        return infos

    # --- TLS ----------------------------------------------------------------------------------------------------------

    def _get_ssl_context(self, req: ClientRequest) -> SSLContext | None:
        """Return the context for ``req``, None when its URL asks for no TLS."""
        return tls.context_for(req.ssl, self._ssl) if req.is_ssl() else None

    def _get_fingerprint(self, req: ClientRequest) -> tls.Fingerprint | None:
        """Return the fingerprint that the peer of ``req`` must have, if any."""
        return tls.fingerprint_for(req.ssl, self._ssl)

    # --- Connections --------------------------------------------------------------------------------------------------

    async def _create_connection(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> H1ClientLink:
        """Open a connection for ``req`` and return its protocol."""
        create = self._create_proxy_connection if req.proxy else self._create_direct_connection
        link: H1ClientLink
        _, link = await create(req, traces, timeout)
        return link

    async def _create_direct_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: ClientTimeout,
        *,
        client_error: type[ClientConnectorError] = ClientConnectorError,
        factory: Callable[[], asyncio.BaseProtocol] | None = None,
    ) -> _Made:
        """Open a connection to the host of ``req``; a cached address that fails is resolved anew, once."""
        if req.is_ssl():
            req.phase = PHASE_TLS
            await tls.prepare(req.ssl, self._ssl)
        host = req.url.raw_host
        assert host is not None
        if host.endswith(".."):
            # One dot says that the name is complete; more would be refused as empty labels.
            host = host.rstrip(".") + "."
        port = req.port
        if port is None:
            raise InvalidUrlClientError(req.url, f"there is no port, and scheme {req.url.scheme!r} has no default")
        req.phase = PHASE_DNS
        was_cached = self._lookup.holds(host, port)
        tried = await self._addresses(req, host, traces)
        try:
            return await self._dial(req, host, tried, timeout, client_error, factory)
        except (ClientConnectorError, ServerFingerprintMismatch):
            self._lookup.forget(host, port)
            if not was_cached:
                raise
            req.phase = PHASE_DNS
            try:
                fresh = await self._addresses(req, host, traces)
            except ClientConnectorError:
                fresh = []
            new = [info for info in fresh if info not in tried]
            if not new:
                raise
        except ConnectionTimeoutError:
            self._lookup.forget(host, port)
            raise
        return await self._dial(req, host, new, timeout, client_error, factory)

    async def _dial(
        self,
        req: ClientRequest,
        host: str,
        addr_infos: list[AddrInfoType],
        timeout: ClientTimeout,
        client_error: type[ClientConnectorError],
        factory: Callable[[], asyncio.BaseProtocol] | None,
    ) -> _Made:
        context = self._get_ssl_context(req)
        transport, protocol = await self._wrap_create_connection(
            self._factory if factory is None else factory,
            timeout=timeout,
            ssl=context,
            addr_infos=addr_infos,
            server_hostname=_verified_name(req, host) if context is not None else None,
            req=req,
            client_error=client_error,
        )
        fingerprint = self._get_fingerprint(req) if req.is_ssl() else None
        if fingerprint is not None:
            try:
                fingerprint.check(transport)
            except ServerFingerprintMismatch:
                transport.abort()
                raise
        return transport, protocol

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[AddrInfoType],
        req: ClientRequest,
        timeout: ClientTimeout,
        client_error: type[ClientConnectorError] = ClientConnectorError,
        **kwargs: Any,
    ) -> _Made:
        """Dial within ``timeout.sock_connect``: takes a protocol factory, ``ssl`` and ``server_hostname``.

        Raises ``client_error``, its TLS relatives, or ConnectionTimeoutError, all with what went wrong where.
        """

        def on_phase(phase: str) -> None:
            req.phase = phase

        deadline = connect_deadline(self._loop, timeout.sock_connect, timeout.ceil_threshold)
        try:
            async with deadline:
                return await open_connection(
                    self._loop,
                    args[0],
                    addr_infos,
                    self._dialling,
                    tls=kwargs.get("ssl"),
                    server_hostname=kwargs.get("server_hostname"),
                    on_phase=on_phase,
                )
        except OSError as exc:
            if deadline.expired():
                raise _too_late(req, timeout, addr_infos) from exc
            raise _typed_error(req, exc, client_error) from exc

    # --- Proxies ------------------------------------------------------------------------------------------------------

    async def _create_proxy_connection(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> _Made:
        """Open a connection to the proxy of ``req``, and for https URLs a tunnel through it with TLS inside."""
        proxy_req = self._update_proxy_auth_header_and_build_proxy_req(req)
        if proxy_req.url.scheme not in PROXY_SCHEMES:
            text = f"expected an http:// or https:// proxy, got {quoted(proxy_req.url.scheme)}"
            raise ClientProxyConnectionError(proxy_req.connection_key, OSError(None, text))
        req.phase = PHASE_PROXY
        if not req.is_ssl():
            return await self._create_direct_connection(proxy_req, [], timeout, client_error=ClientProxyConnectionError)
        transport, tunnel = await self._create_direct_connection(
            proxy_req, [], timeout, client_error=ClientProxyConnectionError, factory=TunnelProtocol
        )
        try:
            await self._open_tunnel(tunnel, req, proxy_req)
        except BaseException:
            transport.abort()
            raise
        return await self._start_tls_connection(transport, req, timeout)

    def _update_proxy_auth_header_and_build_proxy_req(self, req: ClientRequest) -> ClientRequest:
        """Return the request that the proxy sees, and put the proxy's credentials where it will look for them.

        That is the Proxy-Authorization of the CONNECT request for https, of ``req`` itself for http.
        """
        assert req.proxy is not None
        headers: CIMultiDict[str] = CIMultiDict(req.proxy_headers or {})
        headers[hdrs.HOST] = req.headers[hdrs.HOST]
        proxy_req = ClientRequest(
            hdrs.METH_GET, req.proxy, headers=headers, auth=req.proxy_auth, loop=self._loop, ssl=req.ssl
        )
        credentials = proxy_req.headers.pop(hdrs.AUTHORIZATION, None)
        if credentials is None:
            credentials = proxy_req.headers.get(hdrs.PROXY_AUTHORIZATION)
        if credentials is not None:
            target = proxy_req if req.is_ssl() else req
            target.headers[hdrs.PROXY_AUTHORIZATION] = credentials
        return proxy_req

    async def _open_tunnel(self, tunnel: TunnelProtocol, req: ClientRequest, proxy_req: ClientRequest) -> None:
        """Let the proxy connect to the host of ``req``; ClientHttpProxyError when it does not (RFC 9110 9.3.6)."""
        host, port = req.url.raw_host, req.port
        assert host is not None
        assert port is not None
        asked = RequestInfo(req.url, hdrs.METH_CONNECT, CIMultiDictProxy(proxy_req.headers), proxy_req.url)
        try:
            head = await tunnel.connect(tunnel_authority(host, port), proxy_req.headers.items())
        except ProtocolError as exc:
            text = f"The proxy's answer to CONNECT is not usable: {exc.message}"
            raise ClientHttpProxyError(asked, (), status=400, message=text) from exc
        if head.status != TUNNEL_STATUS:
            raise ClientHttpProxyError(
                asked, (), status=head.status, message=head.reason, headers=CIMultiDictProxy(head.headers)
            )

    async def _start_tls_connection(
        self,
        underlying_transport: asyncio.Transport,
        req: ClientRequest,
        timeout: ClientTimeout,
        client_error: type[ClientConnectorError] = ClientConnectorError,
    ) -> _Made:
        """Start TLS with the host of ``req`` inside an open tunnel, within ``timeout.sock_connect``."""
        req.phase = PHASE_TLS
        context = self._get_ssl_context(req)
        assert context is not None
        host = req.url.raw_host
        assert host is not None
        protocol = self._factory()
        deadline = connect_deadline(self._loop, timeout.sock_connect, timeout.ceil_threshold)
        try:
            async with deadline:
                transport = await start_tls(
                    self._loop,
                    underlying_transport,
                    protocol,
                    context,
                    server_hostname=_verified_name(req, host),
                    shutdown_timeout=self._ssl_shutdown_timeout,
                )
        except OSError as exc:
            if deadline.expired():
                raise _too_late(req, timeout, []) from exc
            raise _typed_error(req, exc, client_error) from exc
        except TypeError as exc:
            text = (
                f"Cannot start TLS to {host}:{req.port} inside the TLS connection to the proxy {req.proxy}: the "
                f"transport of this event loop does not nest TLS [{exc}]"
            )
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            raise ClientConnectionError(text) from exc
        fingerprint = self._get_fingerprint(req)
        if fingerprint is not None:
            try:
                fingerprint.check(transport)
            except ServerFingerprintMismatch:
                transport.abort()
                raise
        return transport, protocol


def _verified_name(req: ClientRequest, host: str) -> str:
    """Return the name that the certificate must have; the root's dot is no part of it (RFC 9525 section 6.3)."""
    return (req.server_hostname or host).rstrip(".")


def _too_late(req: ClientRequest, timeout: ClientTimeout, addr_infos: Sequence[AddrInfoType]) -> ConnectionTimeoutError:
    doing = "the TLS handshake was not done" if req.phase == PHASE_TLS else "no connection was made"
    where = ", ".join(info[4][0] for info in addr_infos)
    tried = f" (addresses: {where})" if where else ""
    limit = timeout.sock_connect or 0.0
    return ConnectionTimeoutError(
        f"Connection timeout to host {req.url}: {doing} within ClientTimeout.sock_connect={limit:g} seconds{tried}"
    )


def _typed_error(req: ClientRequest, exc: OSError, client_error: type[ClientConnectorError]) -> ClientConnectorError:
    """Return the error that a caller of the client sees for ``exc``."""
    if isinstance(exc, tls.SSLCertVerificationError):
        refused = ClientConnectorCertificateError(req.connection_key, exc)
        host = req.server_hostname or req.url.raw_host or ""
        refused.add_note(tls.certificate_advice(exc, host, req.port))
        return refused
    if isinstance(exc, tls.SSLError):
        return ClientConnectorSSLError(req.connection_key, exc)
    return client_error(req.connection_key, exc)
