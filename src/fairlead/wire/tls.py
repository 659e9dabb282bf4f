"""TLS on the client's side: which context, which fingerprint, and what to say when a certificate is refused.

The two default contexts (verified, unverified) are made once for the process, when the first connection needs one:
loading the system's authorities reads files and costs milliseconds, so ``prepare`` does it off the event loop.

In: the ``ssl`` arguments of request and connector (True: verify; False: do not; a context; a fingerprint). Out: a
context, a fingerprint or a typed error. RFC 8446, RFC 9525 (names in certificates), RFC 7301 (ALPN).
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from hashlib import md5, sha1, sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ServerFingerprintMismatch, quoted

try:
    import ssl
    from ssl import SSLCertVerificationError, SSLContext, SSLError

    HAS_TLS = True
except ImportError:  # a Python built without OpenSSL still speaks plain HTTP
    HAS_TLS = False
    if not TYPE_CHECKING:

        class SSLContext:
            """Stands for ssl.SSLContext; nothing is an instance of it."""

        class SSLError(OSError):
            """Stands for ssl.SSLError; nobody raises it."""

        class SSLCertVerificationError(SSLError):
            """Stands for ssl.SSLCertVerificationError; nobody raises it."""


__all__ = (
    "ALPN_PROTOCOLS",
    "HAS_TLS",
    "Fingerprint",
    "SSLCertVerificationError",
    "SSLContext",
    "SSLError",
    "certificate_advice",
    "check_ssl_argument",
    "context_for",
    "fingerprint_for",
    "merge_ssl_arguments",
    "prepare",
    "unverified_context",
    "verified_context",
)

# What the default contexts offer to the server; a context that the caller made is used as it is.
ALPN_PROTOCOLS = ("http/1.1",)

SSLArgument = Any  # bool | SSLContext | Fingerprint; packages also pass objects that only behave like a context


class Fingerprint:
    """A pinned certificate: the SHA-256 digest of its DER form; it takes the place of verification by authorities."""

    __slots__ = ("_fingerprint",)

    HASHFUNC_BY_DIGESTLEN: ClassVar[dict[int, Any]] = {16: md5, 20: sha1, 32: sha256}

    def __init__(self, fingerprint: bytes) -> None:
        """Keep the digest; ValueError when its length is not that of SHA-256."""
        function = self.HASHFUNC_BY_DIGESTLEN.get(len(fingerprint))
        if function is None:
            raise ValueError(f"fingerprint has invalid length: expected 32 bytes (sha256), got {len(fingerprint)}")
        if function is not sha256:
            raise ValueError("md5 and sha1 are insecure and not supported. Use sha256.")
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> bytes:
        """The digest."""
        return self._fingerprint

    def check(self, transport: asyncio.BaseTransport) -> None:
        """Raise ServerFingerprintMismatch unless the peer of ``transport`` showed this certificate.

        A transport without TLS passes, because there is nothing to compare.
        """
        if not transport.get_extra_info("sslcontext"):
            return
        ssl_object = transport.get_extra_info("ssl_object")
        certificate = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        got = sha256(certificate or b"").digest()
        if not compare_digest(got, bytes(self._fingerprint)):
            host, port, *_ = transport.get_extra_info("peername") or ("", 0)
            raise ServerFingerprintMismatch(self._fingerprint, got, host, port)


# --- The contexts of the process -------------------------------------------------------------------------------------

_lock = threading.Lock()
_contexts: dict[bool, SSLContext] = {}


def verified_context() -> SSLContext:
    """Return the process-wide context that verifies certificates against the system's authorities."""
    return _contexts.get(True) or _make_context(True)


def unverified_context() -> SSLContext:
    """Return the process-wide context that accepts any certificate."""
    return _contexts.get(False) or _make_context(False)


def _make_context(verified: bool) -> SSLContext:
    if not HAS_TLS:
        raise RuntimeError("https needs the ssl module, and this Python was built without it")
    with _lock:
        context = _contexts.get(verified)
        if context is None:
            if verified:
                context = ssl.create_default_context()
            else:
                context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                context.options |= ssl.OP_NO_COMPRESSION
            context.set_alpn_protocols(ALPN_PROTOCOLS)
            _contexts[verified] = context
        return context


async def prepare(request_ssl: SSLArgument, connector_ssl: SSLArgument) -> SSLContext:
    """Return ``context_for`` the two arguments; a default context that does not exist yet is made in a thread.

    Cancellation leaves the thread to finish, for the next connection.
    """
    if _choice(request_ssl, connector_ssl) is True and True not in _contexts:
        return await asyncio.get_running_loop().run_in_executor(None, verified_context)
    return context_for(request_ssl, connector_ssl)


# --- The ssl= arguments -----------------------------------------------------------------------------------------------


def _choice(request_ssl: SSLArgument, connector_ssl: SSLArgument) -> SSLContext | bool:
    """Return the context that was passed, or whether to verify; the request's argument wins unless it is True."""
    for argument in (request_ssl, connector_ssl):
        if isinstance(argument, SSLContext):
            return argument
        if argument is not True:
            # False asks for no verification, and a fingerprint replaces it.
            return False
    return True


def context_for(request_ssl: SSLArgument, connector_ssl: SSLArgument) -> SSLContext:
    """Return the context for a request, given its own ``ssl`` argument and that of its connector."""
    choice = _choice(request_ssl, connector_ssl)
    if isinstance(choice, SSLContext):
        return choice
    return verified_context() if choice else unverified_context()


def fingerprint_for(request_ssl: SSLArgument, connector_ssl: SSLArgument) -> Fingerprint | None:
    """Return the fingerprint to check after the handshake: the request's, else the connector's, else None."""
    for argument in (request_ssl, connector_ssl):
        if isinstance(argument, Fingerprint):
            return argument
    return None


def check_ssl_argument(argument: SSLArgument) -> SSLContext | bool | Fingerprint:
    """Return the ``ssl`` argument with None as True; TypeError for anything that it cannot be."""
    if argument is None or argument is True:
        return True
    if isinstance(argument, (bool, SSLContext, Fingerprint)):
        return argument
    raise TypeError(f"ssl should be SSLContext, bool, Fingerprint or None, got {argument!r} instead.")


def merge_ssl_arguments(
    ssl_argument: SSLArgument,
    verify_ssl: bool | None,
    ssl_context: SSLContext | None,
    fingerprint: bytes | None,
    *,
    stacklevel: int = 3,
) -> SSLContext | bool | Fingerprint:
    """Return the one ``ssl`` argument that the deprecated three and the current one amount to.

    Warns with DeprecationWarning for each deprecated argument at ``stacklevel``. Raises ValueError when more than one
    is given, TypeError for a wrong type.
    """
    merged = True if ssl_argument is None else ssl_argument
    exclusive = "verify_ssl, ssl_context, fingerprint and ssl parameters are mutually exclusive"
    if verify_ssl is not None and not verify_ssl:
        warnings.warn("verify_ssl is deprecated, use ssl=False instead", DeprecationWarning, stacklevel=stacklevel)
        if merged is not True:
            raise ValueError(exclusive)
        merged = False
    if ssl_context is not None:
        warnings.warn("ssl_context is deprecated, use ssl=context instead", DeprecationWarning, stacklevel=stacklevel)
        if merged is not True:
            raise ValueError(exclusive)
        merged = ssl_context
    if fingerprint is not None:
        text = "fingerprint is deprecated, use ssl=Fingerprint(fingerprint) instead"
        warnings.warn(text, DeprecationWarning, stacklevel=stacklevel)
        if merged is not True:
            raise ValueError(exclusive)
        merged = Fingerprint(fingerprint)
    return check_ssl_argument(merged)


# --- What to say ------------------------------------------------------------------------------------------------------

# OpenSSL's X509_V_ERR_* numbers (x509_vfy.h) and what a user can do about each.
_EXPIRED = 10
_NOT_YET_VALID = 9
_SELF_SIGNED = 18
_UNTRUSTED_ISSUER = (2, 19, 20, 21)
_WRONG_NAME = (62, 64)

_PIN_OR_CONTEXT = (
    "pass ssl=ssl.create_default_context(cafile=...) with the authority's certificate, or pin this one with "
    "ssl=Fingerprint(sha256); ssl=False turns verification off"
)


def certificate_advice(error: SSLCertVerificationError, host: str, port: int | None) -> str:
    """Return one sentence: which host, what its certificate said, what the caller can do."""
    said = getattr(error, "verify_message", "") or error.reason or str(error)
    code = getattr(error, "verify_code", 0)
    if code in _WRONG_NAME:
        remedy = "request the host by a name in its certificate, or say which name to expect with server_hostname="
    elif code == _EXPIRED:
        remedy = "the server needs a new certificate; check this machine's clock if others accept it"
    elif code == _NOT_YET_VALID:
        remedy = "check the clocks of this machine and of the server"
    elif code == _SELF_SIGNED or code in _UNTRUSTED_ISSUER:
        remedy = f"if you trust it, {_PIN_OR_CONTEXT}"
    else:
        remedy = f"correct the certificate, or {_PIN_OR_CONTEXT}"
    return f"The certificate of {quoted(host)[1:-1]}:{port} was refused: {said.rstrip('.')}. To go on, {remedy}."
