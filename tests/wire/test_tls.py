"""wire.tls: arguments to contexts, fingerprints, and the sentence about a refused certificate."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import subprocess
import sys
import threading
from typing import Any

import pytest
import trustme

from fairlead.errors import ServerFingerprintMismatch
from fairlead.wire import tls
from fairlead.wire.tls import (
    Fingerprint,
    certificate_advice,
    check_ssl_argument,
    context_for,
    fingerprint_for,
    merge_ssl_arguments,
    prepare,
    unverified_context,
    verified_context,
)

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PIN = Fingerprint(b"p" * 32)
OTHER_PIN = Fingerprint(b"o" * 32)


# --- Contexts ---------------------------------------------------------------------------------------------------------


def test_the_verified_context_verifies_and_is_made_once() -> None:
    context = verified_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert verified_context() is context


def test_the_unverified_context_verifies_nothing_and_is_made_once() -> None:
    context = unverified_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert unverified_context() is context is not verified_context()


def test_threads_that_need_a_context_together_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_contexts", {})
    found: list[ssl.SSLContext] = []
    threads = [threading.Thread(target=lambda: found.append(unverified_context())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


async def test_the_default_context_is_made_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made_in: list[threading.Thread] = []
    real = ssl.create_default_context

    def create() -> ssl.SSLContext:
        made_in.append(threading.current_thread())
        return real()

    monkeypatch.setattr(tls, "_contexts", {})
    monkeypatch.setattr(ssl, "create_default_context", create)
    context = await prepare(True, True)
    assert made_in != []
    assert threading.main_thread() not in made_in
    assert await prepare(True, True) is context is verified_context()
    assert len(made_in) == 1


def test_importing_the_module_makes_no_context() -> None:
    code = "import fairlead.wire.tls as tls; raise SystemExit(len(tls._contexts))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0


def test_a_python_without_tls_says_so_when_https_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_contexts", {})
    monkeypatch.setattr(tls, "HAS_TLS", False)
    with pytest.raises(RuntimeError, match="https needs the ssl module"):
        verified_context()


@pytest.mark.parametrize(
    ("request_ssl", "connector_ssl", "expected"),
    [
        (True, True, verified_context),
        (False, True, unverified_context),
        (True, False, unverified_context),
        (PIN, True, unverified_context),
        (True, PIN, unverified_context),
        (CONTEXT, False, lambda: CONTEXT),
        (True, CONTEXT, lambda: CONTEXT),
        (False, CONTEXT, unverified_context),
        (CONTEXT, PIN, lambda: CONTEXT),
    ],
)
async def test_the_request_decides_before_the_connector(request_ssl: Any, connector_ssl: Any, expected: Any) -> None:
    assert context_for(request_ssl, connector_ssl) is expected()
    assert await prepare(request_ssl, connector_ssl) is expected()


@pytest.mark.parametrize(
    ("request_ssl", "connector_ssl", "expected"),
    [(True, True, None), (PIN, OTHER_PIN, PIN), (True, OTHER_PIN, OTHER_PIN), (CONTEXT, OTHER_PIN, OTHER_PIN)],
)
def test_the_fingerprint_is_the_requests_or_the_connectors(request_ssl: Any, connector_ssl: Any, expected: Any) -> None:
    assert fingerprint_for(request_ssl, connector_ssl) is expected


# --- Arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", [True, False, CONTEXT, PIN])
def test_good_ssl_arguments_pass(argument: Any) -> None:
    assert check_ssl_argument(argument) is argument


def test_none_is_the_default() -> None:
    assert check_ssl_argument(None) is True


@pytest.mark.parametrize("wrong", ["x", 1, 0, b"p" * 32, object])
def test_other_ssl_arguments_are_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"ssl should be SSLContext, bool, Fingerprint or None, got .* instead"):
        check_ssl_argument(wrong)


def test_deprecated_arguments_become_the_current_one_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="verify_ssl is deprecated, use ssl=False instead"):
        assert merge_ssl_arguments(True, False, None, None) is False
    with pytest.warns(DeprecationWarning, match="ssl_context is deprecated, use ssl=context instead"):
        assert merge_ssl_arguments(True, None, CONTEXT, None) is CONTEXT
    with pytest.warns(
        DeprecationWarning, match=r"fingerprint is deprecated, use ssl=Fingerprint\(fingerprint\) instead"
    ):
        merged = merge_ssl_arguments(None, True, None, b"p" * 32)
    assert isinstance(merged, Fingerprint)
    assert merged.fingerprint == b"p" * 32


def test_defaults_merge_without_a_warning() -> None:
    assert merge_ssl_arguments(True, True, None, None) is True
    assert merge_ssl_arguments(False, None, None, None) is False


@pytest.mark.parametrize(
    "arguments",
    [
        (CONTEXT, False, None, None),
        (False, True, CONTEXT, None),
        (False, None, None, b"p" * 32),
        (True, False, CONTEXT, None),
        (True, None, CONTEXT, b"p" * 32),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_two_answers_to_one_question_are_refused(arguments: Any) -> None:
    with pytest.raises(
        ValueError, match="verify_ssl, ssl_context, fingerprint and ssl parameters are mutually exclusive"
    ):
        merge_ssl_arguments(*arguments)


# --- Fingerprints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [16, 20])
def test_broken_digests_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"md5 and sha1 are insecure and not supported\. Use sha256\."):
        Fingerprint(b"x" * length)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="fingerprint has invalid length"):
        Fingerprint(b"x" * length)


class TransportOf(asyncio.BaseTransport):
    """Just enough transport for a fingerprint: certificate and peer."""

    def getpeercert(self, binary_form: bool) -> bytes:
        assert binary_form
        return b"certificate"

    @classmethod
    def with_tls(cls) -> TransportOf:
        transport = cls()
        transport._extra = {"sslcontext": CONTEXT, "ssl_object": transport, "peername": ("10.0.0.1", 443)}
        return transport


def test_the_pinned_certificate_passes() -> None:
    Fingerprint(hashlib.sha256(b"certificate").digest()).check(TransportOf.with_tls())


def test_another_certificate_is_reported_with_both_digests_and_the_peer() -> None:
    with pytest.raises(ServerFingerprintMismatch) as caught:
        PIN.check(TransportOf.with_tls())
    error = caught.value
    assert (error.expected, error.got) == (PIN.fingerprint, hashlib.sha256(b"certificate").digest())
    assert (error.host, error.port) == ("10.0.0.1", 443)


def test_without_tls_there_is_nothing_to_compare() -> None:
    PIN.check(TransportOf())


# --- Advice -----------------------------------------------------------------------------------------------------------


def handshake_error(
    server: ssl.SSLContext, client: ssl.SSLContext, server_hostname: str
) -> ssl.SSLCertVerificationError:
    """Shake hands in memory and return what the client's verification said."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=server_hostname)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(5):
        try:
            near.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as exc:
            return exc
        try:
            far.do_handshake()
        except ssl.SSLWantReadError:
            pass
    raise AssertionError("the certificate was accepted")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


def test_an_unknown_authority_is_explained(authority: trustme.CA) -> None:
    error = handshake_error(server_context(authority, "good.example"), verified_context(), "good.example")
    advice = certificate_advice(error, "good.example", 443)
    assert advice.startswith("The certificate of good.example:443 was refused: ")
    assert "unable to get local issuer certificate" in advice
    assert "cafile=" in advice
    assert "ssl=Fingerprint(sha256)" in advice


def test_a_certificate_for_another_name_is_explained(authority: trustme.CA) -> None:
    client = ssl.create_default_context()
    authority.configure_trust(client)
    error = handshake_error(server_context(authority, "good.example"), client, "bad.example")
    advice = certificate_advice(error, "bad.example", 443)
    assert "not valid for 'bad.example'" in advice
    assert "server_hostname=" in advice


def test_an_expired_certificate_is_explained(authority: trustme.CA) -> None:
    from datetime import UTC, datetime

    client = ssl.create_default_context()
    authority.configure_trust(client)
    expired = server_context(authority, "good.example", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    advice = certificate_advice(handshake_error(expired, client, "good.example"), "good.example", 443)
    assert "certificate has expired" in advice
    assert "the server needs a new certificate" in advice


@pytest.mark.parametrize(
    ("code", "words"), [(9, "check the clocks"), (18, "if you trust it"), (12345, "correct the certificate")]
)
def test_other_reasons_have_their_remedy(code: int, words: str) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    error.verify_message = "some reason."
    advice = certificate_advice(error, "h", 443)
    assert "refused: some reason. To go on" in advice
    assert words in advice
