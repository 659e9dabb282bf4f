"""A client middleware that answers digest challenges.

In: login, password, and what passes through: requests, and responses with 401 and a WWW-Authenticate field. Out: the
same requests with an Authorization field, and each request at most twice.

Where credentials go: the first request binds the middleware to its origin. Answers go to that origin and to the URIs
that it lists in ``domain``; requests to anywhere else, such as the target of a redirect, pass untouched. Once a
challenge was answered, requests into its protection space carry an answer from the start (``preemptive``).

A new nonce comes with a 401 (then the request is sent again, whatever ``stale`` says, since the password may be right)
or as ``nextnonce`` of Authentication-Info. RFC 7616 sections 3.3 to 3.6, RFC 9110 section 11.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from yarl import URL

from ... import hdrs
from ...codec.challenge import (
    CNONCE_BYTES,
    DigestChallenge,
    DigestRequest,
    digest_authorization,
    parse_challenges,
    parse_parameters,
    read_digest_challenge,
)
from ...codec.urls import HTTP_SCHEMES, Origin, origin_form, origin_of, same_origin
from ...errors import ClientError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..request import ClientRequest
    from ..response import ClientResponse

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class _Space:
    """One protection space: where it reaches, the challenge that opened it, and how often its nonce was used."""

    __slots__ = ("challenge", "cnonce", "count", "roots")

    def __init__(self, challenge: DigestChallenge, roots: Sequence[URL]) -> None:
        self.challenge = challenge
        self.roots = roots
        self.count = 0
        self.cnonce = ""

    def covers(self, url: URL) -> bool:
        """Return whether ``url`` is one of the roots or below one, by whole path segments."""
        return any(_is_below(url, root) for root in self.roots)

    def renew(self, challenge: DigestChallenge) -> None:
        """Take over another challenge; the count goes on when its nonce is the same."""
        if challenge.nonce != self.challenge.nonce:
            self.count = 0
            self.cnonce = ""
        self.challenge = challenge

    def authorize(self, request: DigestRequest, login: str, password: str) -> str:
        """Return the next Authorization value; a -sess algorithm keeps its client nonce as long as the nonce."""
        self.count += 1
        if not self.cnonce or not self.challenge.session:
            self.cnonce = os.urandom(CNONCE_BYTES).hex()
        return digest_authorization(self.challenge, request, login, password, cnonce=self.cnonce, nc=self.count)


def _is_below(url: URL, root: URL) -> bool:
    if not same_origin(url, root):
        return False
    path, top = url.raw_path, root.raw_path
    return path == top or path.startswith(top if top.endswith("/") else f"{top}/")


class DigestAuthMiddleware:
    """Answer digest challenges with one login and password: ``ClientSession(middlewares=[DigestAuthMiddleware(...)])``.

    MD5, SHA, SHA-256, SHA-512 and SHA-512-256, each also as -sess; qop auth-int where it is offered (the whole body
    is read into memory for it), auth, or none. With ``preemptive=False`` every request waits for its own challenge.
    The constructor raises ValueError for None, for a login with a colon or a control character, TypeError for what is
    no str. A call raises ClientError when a challenge is malformed or offers only unknown algorithms; a 401 without a
    digest challenge is returned as it is. RFC 7616.
    """

    def __init__(self, login: str, password: str, preemptive: bool = True) -> None:
        """Check the credentials; nothing is sent before the first challenge."""
        for name, value in (("login", login), ("password", password)):
            if value is None:
                raise ValueError(f"None is not allowed as {name} value")
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a str, got {type(value).__name__}")
        if ":" in login:
            raise ValueError('A ":" is not allowed in username (RFC 1945#section-11.1)')
        if _CONTROLS.search(login) is not None:
            raise ValueError(f"login must not hold control characters, got {login!r}")
        self._login = login
        self._password = password
        self._preemptive = preemptive
        self._home: Origin | None = None
        self._spaces: dict[Origin, _Space] = {}

    async def __call__(
        self, request: ClientRequest, handler: Callable[[ClientRequest], Awaitable[ClientResponse]]
    ) -> ClientResponse:
        """Send the request, and once more when a challenge can be answered.

        The response to the first attempt is released before the second; cancelling ends the attempt that is running.
        """
        if self._home is None:
            self._home = origin_of(request.url)
        space = self._space_of(request.url)
        if space is None and origin_of(request.url) != self._home:
            return await handler(request)
        if space is not None and self._preemptive:
            await self._authorize(request, space)
        response = await handler(request)
        if response.status != 401:
            _take_next_nonce(space, response)
            return response
        challenge = _read_challenge(response)
        if challenge is None:
            return response
        response.release()
        space = self._enter(request.url, challenge)
        await self._authorize(request, space)
        response = await handler(request)
        if response.status != 401:
            _take_next_nonce(space, response)
        return response

    def _space_of(self, url: URL) -> _Space | None:
        """Return the space whose challenge ``url`` would get: that of its own origin, else that of home."""
        own = self._spaces.get(origin_of(url))
        if own is not None and own.covers(url):
            return own
        assert self._home is not None
        home = self._spaces.get(self._home)
        return home if home is not None and home.covers(url) else None

    def _enter(self, url: URL, challenge: DigestChallenge) -> _Space:
        """Remember a challenge from the origin of ``url``; only home may extend its space to other origins."""
        origin = origin_of(url)
        roots = _resolve_domain(url, challenge.domain)
        if origin != self._home:
            roots = [root for root in roots if origin_of(root) == origin]
        roots = roots or [url.origin()]
        space = self._spaces.get(origin)
        if space is None:
            space = self._spaces[origin] = _Space(challenge, roots)
        else:
            space.renew(challenge)
            space.roots = roots
        return space

    async def _authorize(self, request: ClientRequest, space: _Space) -> None:
        body = b""
        if space.challenge.qop == "auth-int":
            body = await _body_of(request)
        about = DigestRequest(request.method, origin_form(request.url), body)
        request.headers[hdrs.AUTHORIZATION] = space.authorize(about, self._login, self._password)


async def _body_of(request: ClientRequest) -> bytes:
    body = request.body
    return bytes(body) if isinstance(body, (bytes, bytearray)) else await body.as_bytes()


def _read_challenge(response: ClientResponse) -> DigestChallenge | None:
    """Return the first digest challenge that can be answered, None when there is none; ClientError when none can."""
    problem: ProtocolError | None = None
    for challenge in parse_challenges(response.headers.getall(hdrs.WWW_AUTHENTICATE, ())):
        if challenge.scheme != "digest" or not challenge.params:
            continue
        try:
            return read_digest_challenge(challenge.params)
        except ProtocolError as exc:
            problem = problem or exc
    if problem is None:
        return None
    response.release()
    raise ClientError(str(problem)) from problem


def _resolve_domain(url: URL, domain: Sequence[str]) -> list[URL]:
    """Return the http and https URLs that ``domain`` means at ``url``; what is no such URL is left out."""
    roots = []
    for text in domain:
        try:
            root = url.join(URL(text))
        except ValueError:
            continue
        if root.scheme in HTTP_SCHEMES and root.raw_host:
            roots.append(root)
    return roots


def _take_next_nonce(space: _Space | None, response: ClientResponse) -> None:
    value = response.headers.get(hdrs.AUTHENTICATION_INFO) if space is not None else None
    if space is None or value is None:
        return
    nonce = parse_parameters(value).get("nextnonce")
    if nonce:
        space.renew(space.challenge._replace(nonce=nonce))
