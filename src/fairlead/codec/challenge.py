"""Authentication challenges as servers write them, and the digest answer to one.

In: the values of WWW-Authenticate, Proxy-Authenticate and Authentication-Info fields, credentials, a nonce of the
client (the caller brings the randomness) and its count. Out: challenges, parameters, and the value of an Authorization
field.

Reading is lenient as real servers need it: a missing comma between parameters, unquoted values that are no token, a
quote that is never closed and stray text between parameters cost only what they touch. A name that appears twice keeps
its last value. Writing is strict.

Limits: ``MAX_CHALLENGES`` in one call, ``MAX_PARAMETERS`` in each; what is beyond is ignored.
RFC 9110 section 11, RFC 7616, RFC 2069 (challenges without qop).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ..errors import ProtocolError

MAX_CHALLENGES = 32
"""Challenges read from the fields of one response; servers send one for each scheme and algorithm, so a handful."""
MAX_PARAMETERS = 32
"""Parameters kept for each challenge; RFC 7616 knows ten."""
CNONCE_BYTES = 8
"""Random bytes that the caller should put, as hex, into each client nonce: unique, not secret."""

# RFC 9110 section 5.6.2 (token), 11.2 (token68); BWS around "=" as in section 11.2.
# All runs are possessive: no text makes the parser go back over what it has read.
_SCHEME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++(?=[ \t,]|\Z)")
_TOKEN68 = re.compile(r"[ \t]++([A-Za-z0-9\-._~+/]++=*+)[ \t]*+(?=,|\Z)")
_PARAMETER = re.compile(
    r"""([!#$%&'*+\-.^_`|~0-9A-Za-z]++) [ \t]*+ = [ \t]*+
        (?: "( (?: [^"\\]++ | \\. )*+ ) (?: " | \\? \Z )  |  ( [^ \t,"]*+ ) )""",
    re.VERBOSE | re.DOTALL,
)
_SEPARATORS = re.compile(r"[ \t,]*")
_JUNK = re.compile(r"[^,]*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r'(["\\])')


class Challenge(NamedTuple):
    """One challenge: the scheme in lower case, its parameters by lower-case name, or the one opaque ``token68``."""

    scheme: str
    params: dict[str, str]
    token68: str | None = None


def unquote(text: str) -> str:
    """Undo the escapes of the inside of a quoted-string. RFC 9110 section 5.6.4."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def quote(text: str) -> str:
    """Return ``text`` as a quoted-string. RFC 9110 section 5.6.4."""
    return '"' + _TO_ESCAPE.sub(r"\\\1", text) + '"'


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Return the challenges of all field values, in order; text that is none is skipped, nothing is raised.

    Takes linear time. RFC 9110 section 11.6.1.
    """
    challenges: list[Challenge] = []
    for value in values:
        position, end = _SEPARATORS.match(value).end(), len(value)  # type: ignore[union-attr]
        current: Challenge | None = None
        while position < end and len(challenges) < MAX_CHALLENGES:
            if (parameter := _PARAMETER.match(value, position)) is not None:
                if current is not None and len(current.params) < MAX_PARAMETERS:
                    _keep(current.params, parameter)
                position = parameter.end()
            elif (scheme := _SCHEME.match(value, position)) is not None:
                token68 = _TOKEN68.match(value, scheme.end())
                current = Challenge(scheme[0].lower(), {}, token68[1] if token68 else None)
                challenges.append(current)
                position = (token68 or scheme).end()
            else:
                position = _JUNK.match(value, position).end()  # type: ignore[union-attr]
            position = _SEPARATORS.match(value, position).end()  # type: ignore[union-attr]
    return challenges


def parse_parameters(value: str) -> dict[str, str]:
    """Return the parameters of a field without a scheme, such as Authentication-Info. RFC 9110 section 11.6.3."""
    # Read as the parameters of a challenge; the comma keeps a first parameter without value from being a token68.
    challenges = parse_challenges([f"Info ,{value}"])
    return challenges[0].params


def _keep(params: dict[str, str], parameter: re.Match[str]) -> None:
    name, quoted, plain = parameter.groups()
    params[name.lower()] = plain if quoted is None else unquote(quoted)


_HASHES: dict[str, str] = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA-256": "sha256",
    "SHA256": "sha256",
    "SHA-512": "sha512",
    "SHA512": "sha512",
    "SHA-512-256": "sha512_256",
}
SUPPORTED_ALGORITHMS = tuple(sorted(f"{name}{suffix}" for name in _HASHES for suffix in ("", "-SESS")))
"""The algorithms that an answer can be computed for, in upper case; SHA-512-256 also needs an OpenSSL that has it."""


class DigestChallenge(NamedTuple):
    """A digest challenge that can be answered: what the server sent, with the one qop that was chosen.

    ``algorithm`` is written as the server wrote it ("" when it did not), ``qop`` is "auth", "auth-int" or "".
    """

    realm: str
    nonce: str
    qop: str
    algorithm: str
    opaque: str
    domain: tuple[str, ...]
    stale: bool
    userhash: bool

    @property
    def session(self) -> bool:
        """Whether the algorithm is a -sess one, for which one client nonce should serve as long as the nonce does."""
        return self.algorithm.upper().endswith("-SESS")


def read_digest_challenge(params: Mapping[str, str]) -> DigestChallenge:
    """Check the parameters of a digest challenge and choose the qop: auth-int where it is offered, else auth.

    Raises ProtocolError when realm or nonce is missing, the nonce is empty, or nothing that is offered as algorithm or
    qop is known. RFC 7616 section 3.3.
    """
    for required in ("realm", "nonce"):
        if required not in params:
            raise ProtocolError(
                "auth.digest.missing", f"Malformed Digest auth challenge: Missing '{required}' parameter"
            )
    if not params["nonce"]:
        raise ProtocolError("auth.digest.nonce", "Security issue: Digest auth challenge contains empty 'nonce' value")
    algorithm = params.get("algorithm", "")
    _hash_function(algorithm)
    offered = [option.strip().lower() for option in params.get("qop", "").split(",") if option.strip()]
    qop = next((known for known in ("auth-int", "auth") if known in offered), "")
    if offered and not qop:
        raise ProtocolError(
            "auth.digest.qop",
            f"Digest auth error: Unsupported Quality of Protection (qop) value(s): {params['qop'][:80]}",
        )
    return DigestChallenge(
        realm=params["realm"],
        nonce=params["nonce"],
        qop=qop,
        algorithm=algorithm,
        opaque=params.get("opaque", ""),
        domain=tuple(params.get("domain", "").split()),
        stale=params.get("stale", "").lower() == "true",
        userhash=params.get("userhash", "").lower() == "true",
    )


def _hash_function(algorithm: str) -> Callable[[bytes], str]:
    """Return the function from bytes to lower-case hex for an algorithm name; ProtocolError for an unknown one."""
    import hashlib  # 2 ms, and few clients ever need it

    name = _HASHES.get((algorithm or "MD5").upper().removesuffix("-SESS"), "")
    try:
        hashlib.new(name, usedforsecurity=False)
    except ValueError:
        raise ProtocolError(
            "auth.digest.algorithm",
            f"Digest auth error: Unsupported hash algorithm: {algorithm[:80].upper()}. "
            f"Supported algorithms: {', '.join(SUPPORTED_ALGORITHMS)}",
        ) from None

    def hexdigest(data: bytes) -> str:
        # The protocol fixes the algorithm, so a FIPS build must not refuse MD5 here.
        return hashlib.new(name, data, usedforsecurity=False).hexdigest()

    return hexdigest


class DigestRequest(NamedTuple):
    """What one answer is about: the method, the request target, and the body (only looked at for qop auth-int)."""

    method: str
    target: str
    body: bytes = b""


def digest_response(
    challenge: DigestChallenge, request: DigestRequest, login: str, password: str, *, cnonce: str, nc: int
) -> str:
    """Return the ``response`` parameter in hex; ``nc`` counts the requests with this nonce from 1.

    Texts are hashed as UTF-8. Without qop the RFC 2069 formula is used, which has no client nonce and no count.
    RFC 7616 section 3.4.1 to 3.4.3.
    """
    hexdigest = _hash_function(challenge.algorithm)

    def joined(*parts: str) -> str:
        return hexdigest(":".join(parts).encode("utf-8", "surrogateescape"))

    secret = joined(login, challenge.realm, password)
    if challenge.session:
        secret = joined(secret, challenge.nonce, cnonce)
    if challenge.qop == "auth-int":
        about = joined(request.method, request.target, hexdigest(request.body))
    else:
        about = joined(request.method, request.target)
    if not challenge.qop:
        return joined(secret, challenge.nonce, about)
    return joined(secret, challenge.nonce, f"{nc:08x}", cnonce, challenge.qop, about)


def digest_authorization(
    challenge: DigestChallenge, request: DigestRequest, login: str, password: str, *, cnonce: str, nc: int
) -> str:
    """Return the value of the Authorization field that answers ``challenge``.

    The login goes out hashed when the server offers ``userhash``. RFC 7616 section 3.4.
    """
    username = login
    if challenge.userhash:
        username = _hash_function(challenge.algorithm)(f"{login}:{challenge.realm}".encode("utf-8", "surrogateescape"))
    response = digest_response(challenge, request, login, password, cnonce=cnonce, nc=nc)
    # Some servers match this list by position: first what RFC 2069 had, then what RFC 2617 added.
    fields = [
        f"username={quote(username)}",
        f"realm={quote(challenge.realm)}",
        f"nonce={quote(challenge.nonce)}",
        f"uri={quote(request.target)}",
        f'response="{response}"',
        f"algorithm={challenge.algorithm or 'MD5'}",
    ]
    if challenge.opaque:
        fields.append(f"opaque={quote(challenge.opaque)}")
    if challenge.qop:
        fields += [f"qop={challenge.qop}", f"nc={nc:08x}", f'cnonce="{cnonce}"']
    elif challenge.session:
        # No RFC foresees -sess without qop, but without the nonce that went into the secret nobody can check it.
        fields.append(f'cnonce="{cnonce}"')
    if challenge.userhash:
        fields.append("userhash=true")
    return f"Digest {', '.join(fields)}"
