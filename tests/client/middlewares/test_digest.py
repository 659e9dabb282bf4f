"""The digest middleware between a scripted handler and fake messages; the original plays the same scripts."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import pytest
from multidict import CIMultiDict
from yarl import URL

from fairlead.client.middlewares import DigestAuthMiddleware
from fairlead.codec.challenge import DigestRequest, digest_response, parse_challenges, read_digest_challenge
from fairlead.errors import ClientError

needs_oracle = pytest.mark.skipif(importlib.util.find_spec("aiohttp") is None, reason="aiohttp is not installed")

Answer = tuple[int, Sequence[tuple[str, str]]]
OK: Answer = (200, ())


def challenge(text: str, status: int = 401, field: str = "WWW-Authenticate") -> Answer:
    return status, [(field, text)]


C = challenge('Digest realm="r", nonce="n", qop="auth"')
PLAIN = challenge('Digest realm="r", nonce="n"')


class Body:
    """A payload that counts how often it is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self.reads += 1
        return self.data


class Request:
    def __init__(self, url: str, method: str = "GET", body: Any = b"") -> None:
        self.url = URL(url)
        self.method = method
        self.headers: CIMultiDict[str] = CIMultiDict()
        self.body = body


class Response:
    def __init__(self, answer: Answer, url: URL) -> None:
        self.status = answer[0]
        self.headers = CIMultiDict(answer[1])
        self.url = url
        self.released = False

    def release(self) -> None:
        self.released = True


class Play:
    """One middleware and what it sends: ``await play(url, answers...)`` returns the Authorization of each attempt."""

    def __init__(self, middleware: Any = None, **options: Any) -> None:
        self.middleware: Any = middleware or DigestAuthMiddleware("u", "p", **options)
        self.responses: list[Response] = []
        self.status = 0

    async def __call__(
        self, url: str, *answers: Answer, method: str = "GET", body: Any = b"", authorization: str | None = None
    ) -> list[str | None]:
        request = Request(url, method, body)
        if authorization is not None:
            request.headers["Authorization"] = authorization
        script: Iterable[Answer] = iter(answers)
        sent: list[str | None] = []
        self.responses = []

        async def handler(received: Any) -> Any:
            assert received is request
            sent.append(received.headers.get("Authorization"))
            self.responses.append(Response(next(script), request.url))  # type: ignore[call-overload]
            return self.responses[-1]

        self.status = (await self.middleware(cast(Any, request), handler)).status
        return sent


def params(value: str | None) -> dict[str, str]:
    assert value is not None
    (found,) = parse_challenges([value])
    assert found.scheme == "digest"
    return found.params


def counts(sent: Iterable[str | None]) -> list[str | None]:
    """Nonce and count of each attempt, None where nothing was sent."""
    return [value and f"{params(value)['nonce']}:{int(params(value)['nc'], 16)}" for value in sent]


async def test_a_challenge_is_answered_once() -> None:
    play = Play()
    first, second = await play("http://h/p?q=1", C, OK)
    assert first is None
    assert play.status == 200
    found = params(second)
    assert re.fullmatch("[0-9a-f]{16}", found["cnonce"])
    expected = digest_response(
        read_digest_challenge({"realm": "r", "nonce": "n", "qop": "auth"}),
        DigestRequest("GET", "/p?q=1"),
        "u",
        "p",
        cnonce=found["cnonce"],
        nc=1,
    )
    assert second == (
        f'Digest username="u", realm="r", nonce="n", uri="/p?q=1", response="{expected}", algorithm=MD5, '
        f'qop=auth, nc=00000001, cnonce="{found["cnonce"]}"'
    )


async def test_the_first_response_is_released_and_the_last_is_not() -> None:
    play = Play()
    await play("http://h/", C, OK)
    assert [response.released for response in play.responses] == [True, False]
    await play("http://h/", challenge("Basic realm=x"))
    assert [response.released for response in play.responses] == [False]


async def test_never_more_than_two_attempts() -> None:
    for again in (C, challenge('Digest realm="r", nonce="n2", qop="auth", stale=true')):
        play = Play()
        assert len(await play("http://h/", C, again, OK)) == 2
        assert play.status == 401
        assert [response.released for response in play.responses] == [True, False]


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        (401, ()),
        challenge("Basic realm=x"),
        challenge("Digest"),
        challenge("Negotiate abc="),
        challenge('Digest realm="r", nonce="n"', status=403),
        challenge('Digest realm="r", nonce="n"', status=407, field="Proxy-Authenticate"),
    ],
)
async def test_what_is_no_digest_challenge_is_returned(answer: Answer) -> None:
    play = Play()
    assert await play("http://h/", answer) == [None]
    assert play.status == answer[0]


@pytest.mark.parametrize(
    "fields",
    [
        ['Basic realm="x", Digest realm="r", nonce="n"'],
        ["Basic realm=x", 'Digest realm="r", nonce="n"'],
        ['Digest realm="r", nonce="bad", algorithm=FOO', 'Digest realm="r", nonce="n"'],
        ['Digest realm="r", nonce="n", algorithm=SHA-256, Digest realm="r", nonce="other"'],
    ],
)
async def test_the_first_digest_challenge_that_is_understood_counts(fields: list[str]) -> None:
    sent = await Play()("http://h/", (401, [("WWW-Authenticate", field) for field in fields]), OK)
    assert params(sent[1])["nonce"] == "n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('Digest realm="r"', "Malformed Digest auth challenge: Missing 'nonce' parameter"),
        ('Digest nonce="n"', "Malformed Digest auth challenge: Missing 'realm' parameter"),
        ('Digest realm="r", nonce=""', "Security issue: Digest auth challenge contains empty 'nonce' value"),
        ('Digest realm="r", nonce="n", qop="x"', r"Unsupported Quality of Protection \(qop\) value\(s\): x"),
        ('Digest realm="r", nonce="n", algorithm=FOO', "Unsupported hash algorithm: FOO. Supported algorithms: MD5, "),
    ],
)
async def test_challenges_that_cannot_be_answered(text: str, message: str) -> None:
    play = Play()
    with pytest.raises(ClientError, match=message):
        await play("http://h/", challenge(text))
    assert play.responses[0].released


async def test_later_requests_carry_an_answer() -> None:
    play = Play()
    assert counts(await play("http://h/a", C, OK)) == [None, "n:1"]
    assert counts(await play("http://h/b/c?d", OK)) == ["n:2"]
    assert counts(await play("http://h:80/", OK)) == ["n:3"]
    fresh = challenge('Digest realm="r", nonce="n2", qop="auth", stale=true')
    assert counts(await play("http://h/a", fresh, OK)) == ["n:4", "n2:1"]
    assert counts(await play("http://h/a", OK)) == ["n2:2"]
    same = challenge('Digest realm="r", nonce="n2", qop="auth"')
    assert counts(await play("http://h/a", same, OK)) == ["n2:3", "n2:4"]


async def test_each_answer_has_its_own_client_nonce() -> None:
    play = Play()
    sent = await play("http://h/", C, OK) + await play("http://h/", OK)
    assert params(sent[1])["cnonce"] != params(sent[2])["cnonce"]


async def test_session_algorithms_keep_their_client_nonce() -> None:
    """RFC 7616 section 3.4.2: the secret is made once, from the first client nonce."""
    play = Play()
    text = 'Digest realm="r", nonce="{}", qop="auth", algorithm=MD5-sess'
    sent = await play("http://h/", challenge(text.format("n")), OK) + await play("http://h/", OK)
    sent += await play("http://h/", challenge(text.format("m")), OK)
    cnonces = [params(value)["cnonce"] for value in sent if value is not None]
    assert cnonces[0] == cnonces[1] == cnonces[2] != cnonces[3]


async def test_without_preemptive_each_request_waits_for_its_challenge() -> None:
    play = Play(preemptive=False)
    assert counts(await play("http://h/", C, OK)) == [None, "n:1"]
    assert counts(await play("http://h/", OK)) == [None]
    assert counts(await play("http://h/", C, OK)) == [None, "n:2"]


async def test_a_field_of_the_caller_stands_until_there_is_a_challenge() -> None:
    play = Play()
    sent = await play("http://h/", C, OK, authorization="X")
    assert sent[0] == "X"
    assert counts(sent[1:]) == ["n:1"]


@pytest.mark.parametrize("other", ["http://other/", "https://h/", "http://h:81/", "http://h./"])
async def test_other_origins_get_nothing(other: str) -> None:
    play = Play()
    await play("http://h/", C, OK)
    assert await play(other, OK) == [None]
    assert await play(other, C) == [None]
    assert counts(await play("http://h/", OK)) == ["n:2"]


async def test_the_first_request_decides_about_home() -> None:
    play = Play()
    assert await play("http://a/", OK) == [None]
    assert await play("http://b/", C) == [None]
    assert counts(await play("http://a/", C, OK)) == [None, "n:1"]


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        ("/a", "http://h/a http://h/a/ http://h/a/x?y", "http://h/ http://h/ab http://h/b http://o/a"),
        ("/a/", "http://h/a/ http://h/a/x", "http://h/a http://h/ab"),
        ("/a /b", "http://h/a http://h/b/c", "http://h/ http://h/c"),
        ("/A%20b", "http://h/A%20b http://h/A%20b/c", "http://h/A http://h/a%20b"),
        ("/", "http://h/ http://h/a", "http://o/"),
        ("", "http://h/ http://h/a", "http://o/"),
        ("http://o/x", "http://o/x http://o/x/y", "http://h/ http://o/ http://o:81/x https://o/x"),
        ("http://o:80 https://h/z", "http://o/ http://o/x https://h/z", "http://h/ https://h/"),
        ("//o/x", "http://o/x", "http://o/ http://h/x"),
    ],
)
async def test_protection_space(domain: str, inside: str, outside: str) -> None:
    play = Play()
    await play("http://h/start", challenge(f'Digest realm="r", nonce="n", domain="{domain}"'), OK)
    for url in outside.split():
        assert await play(url, OK) == [None], url
    for url in inside.split():
        (sent,) = await play(url, OK)
        assert sent is not None, url


@pytest.mark.parametrize("domain", ["http://[::1", "ftp://h/", "http://x:99999/"])
async def test_a_domain_without_usable_uris_means_the_origin(domain: str) -> None:
    play = Play()
    await play("http://h/start", challenge(f'Digest realm="r", nonce="n", qop=auth, domain="{domain}"'), OK)
    assert counts(await play("http://h/other", OK)) == ["n:2"]
    assert await play("http://o/", OK) == [None]


async def test_only_home_extends_the_space() -> None:
    """A foreign origin that home trusts may challenge, but not pass the credentials on."""
    play = Play()
    trusting = 'Digest realm="r", nonce="n", qop=auth, domain="/ http://o/x"'
    await play("http://h/", challenge(trusting), OK)
    foreign = 'Digest realm="ro", nonce="no", qop=auth, domain="http://evil/ http://o/x"'
    assert counts(await play("http://o/x", challenge(foreign), OK)) == ["n:2", "no:1"]
    assert counts(await play("http://o/x/y", OK)) == ["no:2"]
    assert await play("http://evil/", C) == [None]
    assert await play("http://o/", C) == [None]
    assert counts(await play("http://h/", OK)) == ["n:3"]


async def test_next_nonce_is_used() -> None:
    play = Play()
    await play("http://h/", C, (200, [("Authentication-Info", 'nextnonce="n2", qop=auth')]))
    assert counts(await play("http://h/", (200, [("Authentication-Info", "rspauth=x")]))) == ["n2:1"]
    assert counts(await play("http://h/", (200, [("Authentication-Info", "nextnonce=n3")]))) == ["n2:2"]
    assert counts(await play("http://h/", OK)) == ["n3:1"]


async def test_next_nonce_of_a_stranger_is_not_used() -> None:
    play = Play()
    await play("http://h/", C, OK)
    await play("http://o/", (200, [("Authentication-Info", "nextnonce=evil")]))
    assert counts(await play("http://h/", OK)) == ["n:2"]


@pytest.mark.parametrize("qop", ["auth-int", "auth,auth-int"])
async def test_auth_int_covers_the_body(qop: str) -> None:
    body = Body(b"abc")
    text = f'Digest realm="r", nonce="n", qop="{qop}"'
    sent = await Play()("http://h/", challenge(text), OK, method="POST", body=body)
    assert body.reads == 1
    found = params(sent[1])
    known = read_digest_challenge({"realm": "r", "nonce": "n", "qop": "auth-int"})
    expected = digest_response(known, DigestRequest("POST", "/", b"abc"), "u", "p", cnonce=found["cnonce"], nc=1)
    assert (found["qop"], found["response"]) == ("auth-int", expected)


async def test_the_body_is_left_alone_without_auth_int() -> None:
    body = Body(b"abc")
    play = Play()
    await play("http://h/", C, OK, method="POST", body=body)
    await play("http://h/", OK, method="POST", body=body)
    assert body.reads == 0


async def test_userhash_hides_the_login() -> None:
    sent = await Play()("http://h/", challenge('Digest realm="r", nonce="n", qop=auth, userhash=true'), OK)
    found = params(sent[1])
    assert found["username"] == hashlib.md5(b"u:r", usedforsecurity=False).hexdigest()
    assert found["userhash"] == "true"


async def test_the_target_is_the_one_of_the_request_line() -> None:
    play = Play()
    await play("http://h/", C, OK)
    play_url = "http://h/ä b?ü=€#f"
    (sent,) = await play(play_url, OK)
    assert params(sent)["uri"] == "/%C3%A4%20b?%C3%BC=%E2%82%AC"


async def test_concurrent_requests_never_share_a_count() -> None:
    play = Play()
    await play("http://h/", C, OK)
    seen: list[str | None] = []

    async def handler(request: Any) -> Any:
        await asyncio.sleep(0)
        seen.extend(counts([request.headers["Authorization"]]))
        return Response(OK, request.url)

    await asyncio.gather(*(play.middleware(Request("http://h/"), handler) for _ in range(20)))
    assert sorted(seen, key=str) == sorted((f"n:{count}" for count in range(2, 22)), key=str)


async def test_cancellation_and_errors_of_the_handler_come_out() -> None:
    async def cancelled(request: Any) -> Any:
        raise asyncio.CancelledError

    async def failing(request: Any) -> Any:
        raise OSError("down")

    middleware: Any = DigestAuthMiddleware("u", "p")
    with pytest.raises(asyncio.CancelledError):
        await middleware(Request("http://h/"), cancelled)
    with pytest.raises(OSError, match="down"):
        await middleware(Request("http://h/"), failing)


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((None, "p"), ValueError, "None is not allowed as login value"),
        (("u", None), ValueError, "None is not allowed as password value"),
        (("u:", "p"), ValueError, 'A ":" is not allowed in username'),
        (("u\r\nX", "p"), ValueError, "login must not hold control characters"),
        ((b"u", "p"), TypeError, "login must be a str, got bytes"),
        (("u", 3), TypeError, "password must be a str, got int"),
    ],
)
def test_refused_credentials(args: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        DigestAuthMiddleware(*args)


TEXTS = [
    'Digest realm="r", nonce="n"',
    'Digest realm="r", nonce="n", qop="auth"',
    'Digest realm="r", nonce="n", qop="auth,auth-int", opaque="o", algorithm=MD5, stale=false, domain="/a /b"',
    'Digest realm="r", nonce="n", qop="auth-int"',
    'Digest realm="r", nonce="n", opaque=""',
    'Digest realm="r", nonce="n", qop="foo,auth"',
    'Digest realm="r", nonce="n", qop=auth',
    'Digest realm="r", nonce="n", qop=""',
    'Digest realm="", nonce="n"',
    'Digest realm="r"',
    'Digest nonce="n"',
    'Digest realm="r", nonce=""',
    'Digest realm="r", nonce="n", qop="foo"',
    'digest realm="r", nonce="n"',
    'Digest realm="r2", nonce="n", Basic realm="r"',
    'Digest realm="r\\"x\\\\y", nonce="n\\"q"',
    "Digest realm=r, nonce=n, qop=auth",
    'Digest realm = "r" , nonce = "n"',
    'Digest realm="r", nonce=a+b/==',
    'Digest realm="r",, nonce="n",',
    'Digest realm="r" nonce="n"',
    'Digest realm="r", nonce="n", nonce="m"',
    'Digest realm="a, b=c", nonce="n"',
    'Digest ,realm="r", nonce="n"',
    'Digest realm="r',
    "Digest",
    "Basic realm=r",
    *(
        f'Digest realm="r", nonce="n", algorithm={algorithm}{suffix}'
        for algorithm in ("MD5", "md5", "SHA", "SHA256", "SHA-256", "SHA-512", "SHA512", "SHA-3")
        for suffix in ("", "-sess", "-SESS")
    ),
]


async def script(middleware: Any, text: str) -> list[str]:
    """Play one challenge with two paths; what is random is taken out."""
    lines: list[str] = []
    play = Play(middleware)
    for url, answers in [("http://h/p?q=1", (challenge(text), OK)), ("http://h/a/b", (OK,)), ("http://k/", (OK,))]:
        try:
            sent = await play(url, *answers)
        except Exception as exc:
            # The original keeps a challenge that it cannot answer, and fails on each request from then on.
            return [f"{type(exc).__name__}: {str(exc).partition('. Supported')[0]}"]
        else:
            lines += [str(value) for value in sent]
    if "qop" in lines[-2] or "-sess" in text.lower():
        lines = [re.sub('response="[0-9a-f]+"|, cnonce="[0-9a-f]{16}"', "", line) for line in lines]
    return lines


@needs_oracle
@pytest.mark.parametrize("text", TEXTS)
async def test_as_in_the_original(text: str) -> None:
    import aiohttp

    expected = await script(aiohttp.DigestAuthMiddleware("u", "p"), text)
    assert await script(DigestAuthMiddleware("u", "p"), text) == expected
