"""Challenges of RFC 9110 and what servers make of them; digest answers against the RFCs' own examples."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest

from fairlead.codec import challenge as ch
from fairlead.errors import ProtocolError

# field value, then scheme, params and token68 of each challenge
CHALLENGES: list[tuple[str, list[tuple[str, dict[str, str], str | None]]]] = [
    ("", []),
    (" , ,", []),
    ("Negotiate", [("negotiate", {}, None)]),
    ("NTLM TlRMTVNTUAACAAAA==", [("ntlm", {}, "TlRMTVNTUAACAAAA==")]),
    ('Basic realm="simple"', [("basic", {"realm": "simple"}, None)]),
    (
        # RFC 9110 section 11.6.1
        'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
        [
            ("basic", {"realm": "simple"}, None),
            ("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}, None),
        ],
    ),
    (
        'Negotiate, Foo YWJj==, Digest realm="a, b=c" , nonce="n"',
        [("negotiate", {}, None), ("foo", {}, "YWJj=="), ("digest", {"realm": "a, b=c", "nonce": "n"}, None)],
    ),
    ('Digest a = b , c\t=\t"d"', [("digest", {"a": "b", "c": "d"}, None)]),
    ("DIGEST REALM=r,Nonce=n", [("digest", {"realm": "r", "nonce": "n"}, None)]),
    ('Digest ,realm="r"', [("digest", {"realm": "r"}, None)]),
    ('Digest realm=""', [("digest", {"realm": ""}, None)]),
    ('Digest x="a\\\\b\\c"', [("digest", {"x": "a\\bc"}, None)]),
    # Lenient from here on.
    ('Digest realm="r" nonce="n"', [("digest", {"realm": "r", "nonce": "n"}, None)]),
    ('Digest realm="r",, nonce="n",', [("digest", {"realm": "r", "nonce": "n"}, None)]),
    ('Digest realm="r", nonce=a+b/==', [("digest", {"realm": "r", "nonce": "a+b/=="}, None)]),
    ('Digest realm="r, nonce=n', [("digest", {"realm": "r, nonce=n"}, None)]),
    ('Digest realm="r\\', [("digest", {"realm": "r"}, None)]),
    ('Digest realm="r", realm="s"', [("digest", {"realm": "s"}, None)]),
    ("foo@bar, Basic realm=x", [("basic", {"realm": "x"}, None)]),
    ('"stray" text, Basic realm=y', [("basic", {"realm": "y"}, None)]),
    ('Digestrealm="r"', []),
]


@pytest.mark.parametrize(("value", "expected"), CHALLENGES)
def test_parse_challenges(value: str, expected: list[tuple[str, dict[str, str], str | None]]) -> None:
    assert [tuple(found) for found in ch.parse_challenges([value])] == expected


def test_several_fields_are_read_in_order() -> None:
    found = ch.parse_challenges(['Basic realm="x"', 'Digest realm="r", nonce="n"'])
    assert [challenge.scheme for challenge in found] == ["basic", "digest"]


def test_what_is_beyond_the_limits_is_ignored() -> None:
    assert len(ch.parse_challenges([", ".join(f"S{n}" for n in range(100))])) == ch.MAX_CHALLENGES
    many = ch.parse_challenges(["Digest " + ", ".join(f"p{n}=v" for n in range(100))])
    assert len(many) == 1
    assert len(many[0].params) == ch.MAX_PARAMETERS


@pytest.mark.parametrize(
    "text", ['a="', '="', "a ", "\\", "a", "!(", "a=", "a\t", " ", "a" + " " * 50, '"\\', "Foo a=", "a,", "==", 'a="\\']
)
def test_parsing_takes_linear_time(text: str) -> None:
    """A quadratic parser would need minutes for these; the bound is far above what a linear one needs."""
    long = text * (400_000 // len(text))
    started = time.process_time()
    ch.parse_challenges([long])
    ch.parse_challenges([f"Digest {long}("])
    ch.parse_parameters(long)
    assert time.process_time() - started < 10


def test_authentication_info_parameters() -> None:
    value = 'nextnonce="n\\"2", qop=auth, rspauth="0a", cnonce="c", NC=00000001'
    expected = {"nextnonce": 'n"2', "qop": "auth", "rspauth": "0a", "cnonce": "c", "nc": "00000001"}
    assert ch.parse_parameters(value) == expected
    assert ch.parse_parameters("") == {}


def read(**params: str) -> ch.DigestChallenge:
    return ch.read_digest_challenge({"realm": "r", "nonce": "n", **params})


def test_read_digest_challenge() -> None:
    found = read(
        qop="auth, auth-int", algorithm="md5", opaque="o", domain=" /a  http://x/b ", stale="TRUE", userhash="true"
    )
    assert found == ch.DigestChallenge("r", "n", "auth-int", "md5", "o", ("/a", "http://x/b"), True, True)
    assert read() == ch.DigestChallenge("r", "n", "", "", "", (), False, False)


@pytest.mark.parametrize(
    ("qop", "chosen"), [("", ""), (" , ", ""), ("auth", "auth"), ("AUTH", "auth"), ("foo,auth", "auth")]
)
def test_choice_of_qop(qop: str, chosen: str) -> None:
    assert read(qop=qop).qop == chosen


@pytest.mark.parametrize(
    ("params", "slug", "text"),
    [
        ({"realm": "r"}, "auth.digest.missing", "Missing 'nonce'"),
        ({"nonce": "n"}, "auth.digest.missing", "Missing 'realm'"),
        ({"realm": "r", "nonce": ""}, "auth.digest.nonce", "empty 'nonce'"),
        ({"realm": "r", "nonce": "n", "qop": "foo"}, "auth.digest.qop", "foo"),
        (
            {"realm": "r", "nonce": "n", "algorithm": "SHA-3"},
            "auth.digest.algorithm",
            "Unsupported hash algorithm: SHA-3",
        ),
        ({"realm": "r", "nonce": "n", "algorithm": "-sess"}, "auth.digest.algorithm", "Unsupported"),
    ],
)
def test_challenges_that_cannot_be_answered(params: dict[str, str], slug: str, text: str) -> None:
    with pytest.raises(ProtocolError, match=text) as caught:
        ch.read_digest_challenge(params)
    assert caught.value.slug == slug
    assert caught.value.fault == "peer"


def test_rfc_7616_section_3_9_1() -> None:
    """The example of the RFC, with MD5 and with SHA-256."""
    for algorithm, expected in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ]:
        challenge = ch.read_digest_challenge(
            {
                "realm": "http-auth@example.org",
                "qop": "auth",
                "algorithm": algorithm,
                "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
            }
        )
        request = ch.DigestRequest("GET", "/dir/index.html")
        cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
        arguments = (challenge, request, "Mufasa", "Circle of Life")
        assert ch.digest_response(*arguments, cnonce=cnonce, nc=1) == expected
        value = ch.digest_authorization(*arguments, cnonce=cnonce, nc=1)
        assert value.startswith('Digest username="Mufasa", realm="http-auth@example.org", ')
        assert f'response="{expected}"' in value
        assert f"algorithm={algorithm}" in value
        assert "qop=auth, nc=00000001" in value


def test_rfc_7616_section_3_9_2() -> None:
    """SHA-512-256, userhash and a name outside ASCII. The hashes are those of erratum 4897."""
    challenge = ch.read_digest_challenge(
        {
            "realm": "api@example.org",
            "qop": "auth",
            "algorithm": "SHA-512-256",
            "nonce": "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            "userhash": "true",
        }
    )
    request = ch.DigestRequest("GET", "/doe.json")
    value = ch.digest_authorization(
        challenge,
        request,
        "J\u00e4s\u00f8n Doe",
        "Secret, or not?",
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
        nc=1,
    )
    expected = hashlib.new("sha512_256", "Jäsøn Doe:api@example.org".encode()).hexdigest()
    assert f'username="{expected}"' in value
    assert value.endswith("userhash=true")
    assert 'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"' in value


def test_rfc_2617_section_3_5() -> None:
    challenge = ch.read_digest_challenge(
        {"realm": "testrealm@host.com", "qop": "auth", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
    )
    request = ch.DigestRequest("GET", "/dir/index.html")
    response = ch.digest_response(challenge, request, "Mufasa", "Circle Of Life", cnonce="0a4f113b", nc=1)
    assert response == "6629fae49393a05397450978507c4ef1"


def test_without_qop_the_formula_of_rfc_2069_is_used() -> None:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    expected = md5(f"{md5('u:r:p')}:n:{md5('GET:/')}")
    value = ch.digest_authorization(read(), ch.DigestRequest("GET", "/"), "u", "p", cnonce="c", nc=7)
    assert value == f'Digest username="u", realm="r", nonce="n", uri="/", response="{expected}", algorithm=MD5'


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [("MD5", "md5"), ("md5", "md5"), ("SHA", "sha1"), ("SHA256", "sha256"), ("SHA-512", "sha512")],
)
@pytest.mark.parametrize("suffix", ["", "-sess", "-SESS"])
@pytest.mark.parametrize("qop", ["", "auth", "auth-int"])
def test_formula(algorithm: str, name: str, suffix: str, qop: str) -> None:
    def hexdigest(data: str | bytes) -> str:
        return hashlib.new(name, data if isinstance(data, bytes) else data.encode(), usedforsecurity=False).hexdigest()

    secret = hexdigest("ü:r:p€")
    if suffix:
        secret = hexdigest(f"{secret}:n:c")
    about = f"PUT:/x?y{':' + hexdigest(b'body') if qop == 'auth-int' else ''}"
    middle = f"n:0000000a:c:{qop}" if qop else "n"
    expected = hexdigest(f"{secret}:{middle}:{hexdigest(about)}")
    challenge = read(algorithm=algorithm + suffix, qop=qop)
    assert challenge.session is bool(suffix)
    request = ch.DigestRequest("PUT", "/x?y", b"body")
    assert ch.digest_response(challenge, request, "ü", "p€", cnonce="c", nc=10) == expected
    assert f"algorithm={algorithm}{suffix}" in ch.digest_authorization(challenge, request, "ü", "p€", cnonce="c", nc=10)


def test_quoting_survives_the_round_trip() -> None:
    challenge = ch.read_digest_challenge({"realm": 'r"x\\y', "nonce": 'n"q', "opaque": "a\\"})
    value = ch.digest_authorization(challenge, ch.DigestRequest("GET", '/"'), 'u"', "p", cnonce="c", nc=1)
    found = ch.parse_challenges([value])[0].params
    assert (found["username"], found["realm"], found["nonce"], found["uri"]) == ('u"', 'r"x\\y', 'n"q', '/"')
    assert found["opaque"] == "a\\"


def test_any_text_is_read_and_what_was_written_is_read_back() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    from hypothesis import strategies as st

    names = st.text("abcXYZ019-_", min_size=1, max_size=8)
    params = st.dictionaries(names.map(str.lower), st.text(max_size=12), max_size=4)
    challenges = st.lists(st.tuples(names, params), min_size=1, max_size=4)

    @hypothesis.given(st.text(alphabet=st.characters(codec="latin-1"), max_size=60))
    def any_text(value: str) -> None:
        for found in ch.parse_challenges([value]):
            assert found.scheme
            assert found.scheme in value.lower()

    @hypothesis.given(challenges)
    def round_trip(written: list[tuple[str, dict[str, str]]]) -> None:
        texts: list[Any] = [
            f"{scheme} {', '.join(f'{name} = {ch.quote(value)}' for name, value in found.items())}"
            for scheme, found in written
        ]
        expected = [(scheme.lower(), found) for scheme, found in written]
        for values in (texts, [", ".join(texts)]):
            assert [(found.scheme, found.params) for found in ch.parse_challenges(values)] == expected

    any_text()
    round_trip()
