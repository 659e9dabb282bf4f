"""Basic credentials: checks, warnings, reading and writing, compared with the original where it is installed."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import warnings
from typing import Any

import pytest
from yarl import URL

from fairlead.client.auth import BASIC_AUTH_DEPRECATED, BasicAuth, encode_basic_auth, strip_auth_from_url

needs_oracle = pytest.mark.skipif(importlib.util.find_spec("aiohttp") is None, reason="aiohttp is not installed")


def basic(*args: Any, **kwargs: Any) -> BasicAuth:
    with pytest.warns(DeprecationWarning, match="BasicAuth is deprecated"):
        return BasicAuth(*args, **kwargs)


def test_is_a_tuple_of_three() -> None:
    auth = basic("u", "p")
    assert auth == ("u", "p", "latin1")
    assert (auth.login, auth.password, auth.encoding) == ("u", "p", "latin1")
    assert hash(auth) == hash(("u", "p", "latin1"))
    assert repr(auth) == "BasicAuth(login='u', password='p', encoding='latin1')"
    assert basic("u").password == ""


def test_warning_points_at_the_caller() -> None:
    with pytest.warns(DeprecationWarning, match="is deprecated") as caught:
        BasicAuth("u", "p")
    assert caught[0].filename == __file__
    assert str(caught[0].message) == BASIC_AUTH_DEPRECATED


def test_only_the_constructor_warns() -> None:
    auth = basic("u", "p")
    assert copy.copy(auth) == copy.deepcopy(auth) == auth
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        restored = pickle.loads(pickle.dumps(auth, protocol))
        assert restored == auth
        assert type(restored) is BasicAuth
    assert auth._replace(password="q").password == "q"
    assert BasicAuth.decode("Basic dTpw") == auth
    assert BasicAuth.from_url(URL("http://u:p@h/")) == auth


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((None,), ValueError, "None is not allowed as login value"),
        (("u", None), ValueError, "None is not allowed as password value"),
        (("u:v", "p"), ValueError, 'A ":" is not allowed in login'),
        ((b"u", "p"), TypeError, "login must be a str, got bytes"),
        ((1,), TypeError, "login must be a str, got int"),
        (("u", b"p"), TypeError, "password must be a str, got bytes"),
    ],
)
def test_refused_arguments(args: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        BasicAuth(*args)


def test_encode() -> None:
    assert basic("u", "p").encode() == "Basic dTpw"
    assert basic("ä", "b").encode() == "Basic 5Dpi"
    assert basic("ä", "b", "utf-8").encode() == "Basic w6Q6Yg=="
    assert basic("u", 7).encode() == "Basic dTo3"  # numbers have always worked
    with pytest.raises(UnicodeEncodeError):
        basic("ä", "€").encode()


HEADERS = [
    "Basic YTpi",
    "basic YTpi",
    "BASIC YTpi",
    "Basic YTpiOmM=",
    "Basic w6Q6Yg==",
    "Basic Og==",
    "Basic",
    "Basic ",
    "",
    "Bearer YTpi",
    " Basic YTpi",
    "Basic  YTpi",
    "Basic YTpi ",
    "Basic YTpi YTpi",
    "Basic !!!!",
    "Basic YQ==",
    "Basic YTp",
    "Basic YTpi\n",
    "Basic /zpi",
    "Basic \xff",
]


def outcome(call: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        result = call(*args, **kwargs)
    except ValueError as exc:
        return type(exc), str(exc)
    return None if result is None else tuple(result)


def test_decode() -> None:
    assert BasicAuth.decode("Basic YTpiOmM=") == ("a", "b:c", "latin1")
    assert BasicAuth.decode("Basic w6Q6Yg==", "utf-8") == ("ä", "b", "utf-8")
    for wrong, text in [
        ("Basic", "Could not parse authorization header."),
        ("Bearer x", "Unknown authorization method Bearer"),
        ("Basic !!!!", "Invalid base64 encoding."),
        ("Basic YQ==", "Invalid credentials."),
    ]:
        with pytest.raises(ValueError) as caught:
            BasicAuth.decode(wrong)
        assert str(caught.value) == text


@needs_oracle
@pytest.mark.parametrize("encoding", ["latin1", "utf-8"])
@pytest.mark.parametrize("header", HEADERS)
def test_decode_as_in_the_original(header: str, encoding: str) -> None:
    import aiohttp

    expected = outcome(aiohttp.BasicAuth.decode, header, encoding)
    if header == "Basic \xff":  # the original lets the error of the codec through, which is a ValueError as well
        expected = (ValueError, "Invalid base64 encoding.")
    assert outcome(BasicAuth.decode, header, encoding) == expected


URLS = [
    "http://u:p@h/x?y#z",
    "http://u@h/",
    "http://:p@h/",
    "http://:@h/",
    "http://h/",
    "http://@h/",
    "http://u%40:p%2f@h",
    "http://%C3%BC:p@h:81",
    "/rel",
]


@needs_oracle
@pytest.mark.parametrize("text", URLS)
def test_urls_as_in_the_original(text: str) -> None:
    import aiohttp
    from aiohttp.helpers import strip_auth_from_url as expected

    url = URL(text)
    assert outcome(BasicAuth.from_url, url) == outcome(aiohttp.BasicAuth.from_url, url)
    assert strip_auth_from_url(url) == expected(url)


def test_from_url_wants_a_url() -> None:
    wrong: Any = "http://u:p@h/"
    with pytest.raises(TypeError, match=r"url should be yarl\.URL instance"):
        BasicAuth.from_url(wrong)


def test_strip_leaves_other_urls_alone() -> None:
    url = URL("http://h/")
    stripped, auth = strip_auth_from_url(url)
    assert stripped is url
    assert auth is None
    assert strip_auth_from_url(URL("http://u:p@h/")) == (url, ("u", "p", "latin1"))


def test_encode_basic_auth() -> None:
    assert encode_basic_auth("a", "b") == "Basic YTpi"
    assert encode_basic_auth("ä") == "Basic w6Q6"
    assert encode_basic_auth("ä", encoding="latin1") == "Basic 5Do="
    with pytest.raises(ValueError, match='A ":" is not allowed in login'):
        encode_basic_auth("a:b")
    with pytest.raises(UnicodeEncodeError):
        encode_basic_auth("ä", encoding="ascii")
    for wrong in ((None,), (b"a",), ("a", None), ("a", b"b")):
        with pytest.raises(TypeError, match="must be a str"):
            encode_basic_auth(*wrong)


def test_what_is_encoded_is_decoded() -> None:
    hypothesis = pytest.importorskip("hypothesis")
    from hypothesis import strategies as st

    text = st.text(st.characters(codec="utf-8"))

    @hypothesis.given(text.filter(lambda login: ":" not in login), text)
    def round_trip(login: str, password: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert BasicAuth.decode(encode_basic_auth(login, password), "utf-8") == (login, password, "utf-8")

    round_trip()
