"""TLS for test peers: an authority made for the run, and the contexts of both sides.

In: names a certificate is for, and what is wrong with it. Out: `ssl.SSLContext`. Keys are made once for each process,
since they are the slow part.
"""

from __future__ import annotations

import datetime
import functools
import ssl

import trustme

NAMES = ("localhost", "127.0.0.1", "::1")
"""What the ordinary test certificate is for."""


@functools.cache
def authority() -> trustme.CA:
    """The test authority that `client_context` trusts."""
    return trustme.CA()


@functools.cache
def _certificate(names: tuple[str, ...], expired: bool, foreign: bool) -> trustme.LeafCert:
    issuer = trustme.CA() if foreign else authority()
    if expired:
        now = datetime.datetime.now(datetime.UTC)
        old = now - datetime.timedelta(days=20)
        return issuer.issue_cert(*names, not_before=old, not_after=now - datetime.timedelta(days=10))
    return issuer.issue_cert(*names)


def server_context(
    *names: str, expired: bool = False, foreign: bool = False, client_certificate: bool = False
) -> ssl.SSLContext:
    """A server's context for `names` (default: loopback), with one thing wrong when asked.

    `foreign` is signed by an authority nobody trusts; `client_certificate` requires one of the test authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _certificate(names or NAMES, expired, foreign).configure_cert(context)
    if client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        authority().configure_trust(context)
    return context


def client_context(*, certificate: bool = False) -> ssl.SSLContext:
    """A client's context that trusts the test authority alone, with a client certificate when asked."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if certificate:
        _certificate(("client.test",), False, False).configure_cert(context)
    return context


def fingerprint(*names: str) -> bytes:
    """The SHA-256 of the certificate that `server_context(*names)` shows."""
    import hashlib

    pem = _certificate(names or NAMES, False, False).cert_chain_pems[0].bytes().decode()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
