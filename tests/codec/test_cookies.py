"""Set-Cookie and Cookie fields: tables after RFC 6265bis, what real servers send, and properties over any text."""

from __future__ import annotations

import json
import os
import pickle
from collections import defaultdict
from http.cookies import CookieError, Morsel, SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.codec import cookies
from fairlead.codec.cookies import (
    MAX_ATTRIBUTE_SIZE,
    MAX_COOKIE_SIZE,
    StoredCookie,
    coded_for_sending,
    default_path,
    domain_match,
    dump_cookie_file,
    is_ip_host,
    load_cookie_file,
    max_age_seconds,
    parse_cookie_header,
    parse_set_cookie_headers,
    path_match,
    prefix_allows,
    preserve_morsel_with_coded_value,
)

DATE = "Wed, 01 Jan 2031 00:00:00 GMT"


def only(field: str) -> Morsel[str]:
    ((name, morsel),) = parse_set_cookie_headers([field])
    assert name == morsel.key
    return morsel


def attributes(morsel: Morsel[str]) -> dict[str, Any]:
    return {name: value for name, value in morsel.items() if value}


@pytest.mark.parametrize(
    ("field", "name", "value", "coded"),
    [
        ("a=1", "a", "1", "1"),
        ("  a =  1  ; path=/", "a", "1", "1"),
        ("a=\t1\t", "a", "1", "1"),
        ("a=", "a", "", ""),
        ("a==", "a", "=", "="),
        ("a=b=c", "a", "b=c", "b=c"),
        ("a=1, b=2", "a", "1, b=2", "1, b=2"),  # folding with commas is not a thing in Set-Cookie
        ("a=x y", "a", "x y", "x y"),
        ('a="x y"', "a", "x y", '"x y"'),
        ('a="x;y"; path=/', "a", "x;y", '"x;y"'),
        ('a=""', "a", "", '""'),
        ('a="', "a", '"', '"'),
        ('a="x', "a", '"x', '"x'),
        ('a="x; path=/', "a", '"x', '"x'),
        ('a="x"y', "a", '"x"y', '"x"y'),
        (r'a="q\"q"', "a", 'q"q', r'"q\"q"'),
        (r'a="\054\101"', "a", ",A", r'"\054\101"'),
        (r'a="\""', "a", '"', r'"\""'),
        (r"a=\101", "a", r"\101", r"\101"),
        (r'a="x\012y"', "a", r'"x\012y"', r'"x\012y"'),  # decoding would make a line feed
        ('a={"x": [1, 2]}', "a", '{"x": [1, 2]}', '{"x": [1, 2]}'),
        ("a=é日", "a", "é日", "é日"),
        ("a=\udce9", "a", "é", "é"),  # an octet that is not UTF-8, as the header parser hands it over
        ("path=/x", "path", "/x", "/x"),
        ("Expires=1; expires=" + DATE, "Expires", "1", "1"),
        ("a[0]=1", "a[0]", "1", "1"),
        ("{a/b:c@d}=1", "{a/b:c@d}", "1", "1"),
        ("$Version=1; a=2", "$Version", "1", "1"),
    ],
)
def test_name_and_value(field: str, name: str, value: str, coded: str) -> None:
    morsel = only(field)
    assert (morsel.key, morsel.value, morsel.coded_value) == (name, value, coded)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("", {}),
        (";", {}),
        ("; Path=/x; DOMAIN=Example.com", {"path": "/x", "domain": "Example.com"}),
        (";path=/x;path=/y", {"path": "/y"}),  # the last one wins (section 5.7)
        (";path=/x;path=", {}),
        (";domain=a.com;domain", {}),
        ('; path="/q"; domain="a.com"', {"path": "/q", "domain": "a.com"}),
        ("; path=/a b", {"path": "/a b"}),
        ("; path=/é", {"path": "/é"}),
        ("; domain=é.com", {}),
        ("; secure; HttpOnly", {"secure": True, "httponly": True}),
        ("; Secure=false; httponly=", {"secure": True, "httponly": True}),
        ("; secureX; XhttpOnly", {}),
        ("; max-age=10; expires=" + DATE, {"max-age": "10", "expires": DATE}),
        ("; SameSite=Lax; priority=High; foo=bar; baz", {"samesite": "Lax"}),
        ("; version=1; comment=two words", {"version": "1", "comment": "two words"}),
        ("; path=/" + "p" * (MAX_ATTRIBUTE_SIZE - 1), {"path": "/" + "p" * (MAX_ATTRIBUTE_SIZE - 1)}),
        ("; path=/" + "p" * MAX_ATTRIBUTE_SIZE + "; secure", {"secure": True}),
        ("; path=/" + "é" * (MAX_ATTRIBUTE_SIZE // 2), {}),
        ("; a=2; path=/x", {"path": "/x"}),
    ],
)
def test_attributes(rest: str, expected: dict[str, Any]) -> None:
    assert attributes(only("a=1" + rest)) == expected


def test_partitioned_is_kept_where_python_knows_it() -> None:
    morsel = only("a=1; Secure; Partitioned")
    assert morsel["secure"] is True
    assert morsel.get("partitioned") == (True if "partitioned" in Morsel() else None)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("", "no name=value"),
        ("a", "no name=value"),
        ("a; b=1", "no name=value"),
        ("=1", "illegal cookie name"),
        ("; a=1", "no name=value"),
        ("a b=1", "illegal cookie name 'a b'"),
        ("a,b=1", "illegal cookie name"),
        ('"a"=1', "illegal cookie name"),
        ("a\\=1", "illegal cookie name"),
        ("é=1", "illegal cookie name"),
        ("a=\x00", "control character"),
        ("a=1\r\nb=2", "control character"),
        ("a=1; path=/\x1f", "control character"),
        ("a=\x7f", "control character"),
        ("a=" + "x" * MAX_COOKIE_SIZE, "larger than 4096"),
        ("a=" + "é" * (MAX_COOKIE_SIZE // 2), "larger than 4096"),
    ],
)
def test_refused_field_says_why_and_spares_the_others(field: str, reason: str) -> None:
    reasons: list[str] = []
    parsed = parse_set_cookie_headers(["x=1", field, "y=2; path=/"], reasons.append)
    assert [name for name, _ in parsed] == ["x", "y"]
    assert len(reasons) == 1
    assert reason in reasons[0]
    assert len(reasons[0]) < 200
    assert reasons[0].isprintable()


def test_largest_cookie() -> None:
    assert len(only("a=" + "x" * (MAX_COOKIE_SIZE - 1)).value) == MAX_COOKIE_SIZE - 1
    assert only("n" * MAX_COOKIE_SIZE + "=").value == ""


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        (";;", []),
        ("a=1; b=2", [("a", "1"), ("b", "2")]),
        ("a=1;b=2;", [("a", "1"), ("b", "2")]),
        (" ;a = 1 ;; b=2", [("a", "1"), ("b", "2")]),
        ("a=1; a=2", [("a", "1"), ("a", "2")]),
        ("a; b=1", [("a", ""), ("b", "1")]),
        ("=1; b=1", [("b", "1")]),
        ("a b=1; é=1; a,b=1; c=1", [("c", "1")]),
        ('a="x;y"; b=1', [("a", "x;y"), ("b", "1")]),
        ('a="x; b=1', [("a", '"x'), ("b", "1")]),
        ('a="x"y; b=1', [("a", '"x"y'), ("b", "1")]),
        (r'a="\101\"" ; b=1', [("a", 'A"'), ("b", "1")]),
        ("a=x y; b={}", [("a", "x y"), ("b", "{}")]),
        ("a=\x01; b=1", [("b", "1")]),
        ("a=é; b=\udce9", [("a", "Ã©"), ("b", "é")]),  # one octet that is not UTF-8: all is Latin-1
        ("path=/; expires=x; secure; $Path=/", [("path", "/"), ("expires", "x"), ("secure", ""), ("$Path", "/")]),
        ("a=1=2; b==", [("a", "1=2"), ("b", "=")]),
    ],
)
def test_cookie_header(header: str, expected: list[tuple[str, str]]) -> None:
    parsed = parse_cookie_header(header)
    assert [(name, morsel.value) for name, morsel in parsed] == expected
    assert all(name == morsel.key for name, morsel in parsed)


@pytest.mark.parametrize(
    ("domain", "host", "matches"),
    [
        ("example.com", "example.com", True),
        ("example.com", "www.example.com", True),
        ("example.com", "a.b.example.com", True),
        ("example.com", "badexample.com", False),
        ("www.example.com", "example.com", False),
        ("com", "example.com", True),  # there is no public suffix list
        (".example.com", "www.example.com", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.1", "127.0.0.1", False),
        ("::1", "::1", True),
        ("1", "::1", False),
        ("com", "", False),
    ],
)
def test_domain_match(domain: str, host: str, matches: bool) -> None:
    assert domain_match(domain, host) is matches


@pytest.mark.parametrize(
    ("cookie_path", "request_path", "matches"),
    [
        ("/", "/", True),
        ("/", "/a/b", True),
        ("/a", "/a", True),
        ("/a", "/a/", True),
        ("/a", "/a/b", True),
        ("/a", "/ab", False),
        ("/a/", "/a", False),
        ("/a/", "/a/b", True),
        ("/a/b", "/a", False),
        ("/A", "/a", False),
    ],
)
def test_path_match(cookie_path: str, request_path: str, matches: bool) -> None:
    assert path_match(cookie_path, request_path) is matches


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "/"),
        ("/", "/"),
        ("/a", "/"),
        ("/a/", "/a"),
        ("/a/b", "/a"),
        ("/a/b/", "/a/b"),
        ("/a//b", "/a/"),
        ("x", "/"),
    ],
)
def test_default_path(path: str, expected: str) -> None:
    assert default_path(path) == expected


@pytest.mark.parametrize(
    ("host", "is_ip"),
    [("1.2.3.4", True), ("::1", True), ("fe80::1%eth0", True), ("a.1", False), ("1.a", False), ("localhost", False)],
)
def test_is_ip_host(host: str, is_ip: bool) -> None:
    assert is_ip_host(host) is is_ip


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("0", 0), ("100", 100), ("-5", -5), ("007", 7)],
        *[(text, None) for text in ("", "-", "+5", "1.5", "1e5", "1_000", "abc", " 5", "\u0661", "5\n")],
        *[("9" * 5000, 10**18), ("-" + "9" * 5000, -1)],  # int() would refuse so many digits
    ],
)
def test_max_age(text: str, seconds: int | None) -> None:
    assert max_age_seconds(text) == seconds


@pytest.mark.parametrize(
    ("field", "secure_origin", "allowed"),
    [
        ("a=1", False, True),
        ("__other=1", False, True),
        ("__Secure-a=1; Secure", True, True),
        ("__Secure-a=1; Secure; Domain=a.com", True, True),
        ("__Secure-a=1", True, False),
        ("__Secure-a=1; Secure", False, False),
        ("__sECURE-a=1", True, False),
        ("__Host-a=1; Secure; Path=/", True, True),
        ("__Host-a=1; Secure; Path=/", False, False),
        ("__Host-a=1; Secure", True, False),
        ("__Host-a=1; Secure; Path=/x", True, False),
        ("__Host-a=1; Path=/", True, False),
        ("__Host-a=1; Secure; Path=/; Domain=a.com", True, False),
        ("__HOST-a=1", True, False),
    ],
)
def test_prefixes(field: str, secure_origin: bool, allowed: bool) -> None:
    assert prefix_allows(only(field), secure_origin) is allowed


@pytest.mark.parametrize(
    ("value", "coded", "quoted", "raw"),
    [
        ("x", "x", "x", "x"),
        ("", "", '""', ""),
        ("x y", "x y", '"x y"', "x y"),
        ("x y", '"x y"', '"x y"', "x y"),
        (",", r'"\054"', r'"\054"', ","),
        ("x=", "x=", '"x="', "x="),
        ('"x', '"x', '"x', '"x'),
        ("é", "é", r'"\351"', "é"),
    ],
)
def test_coded_for_sending(value: str, coded: str, quoted: str, raw: str) -> None:
    assert coded_for_sending(value, coded, True) == quoted
    assert coded_for_sending(value, coded, False) == raw


def test_preserved_morsel_has_no_attributes() -> None:
    kept = preserve_morsel_with_coded_value(only('path="a b"; path=/; secure'))
    assert kept.OutputString() == 'path="a b"'
    assert not attributes(kept)


ANY_FIELD = st.one_of(
    st.text(),
    st.text(alphabet='ab=;," \\01\t\r\né\udce9'),
    st.binary().map(lambda octets: octets.decode("utf-8", "surrogateescape")),
    st.lists(
        st.sampled_from(
            ["a=1", 'b="x;y"', "path=/", "Domain=", "=", "max-age=0", "expires=x", "secure", '"', "\\", " ", "\x00"]
        )
    ).map(";".join),
)


@given(ANY_FIELD, ANY_FIELD)
def test_any_set_cookie_fields_leave_their_neighbours_alone(one: str, two: str) -> None:
    parsed = parse_set_cookie_headers(["first=1", one, "second=2; path=/p", two, "third=3"])
    ours = [(m.key, m.value, m["path"]) for _, m in parsed]
    for cookie in [("first", "1", ""), ("second", "2", "/p"), ("third", "3", "")]:
        assert cookie in ours
    for _, morsel in parsed:
        sent = coded_for_sending(morsel.value, morsel.coded_value, True)
        assert not set(sent) & set("\r\n\x00")
        assert not set(coded_for_sending(morsel.value, morsel.coded_value, False)) & set("\r\n\x00")
        f"{morsel.key}={sent}".encode()  # no lone surrogate that could not be written


@given(ANY_FIELD)
def test_any_cookie_header_leaves_its_neighbours_alone(text: str) -> None:
    parsed = parse_cookie_header(f"first=1; {text}")
    assert parsed[0][1].value == "1"
    parsed = parse_cookie_header(f"{text.replace(chr(34), '')}; last=1")
    assert parsed[-1][0] == "last"


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255, blacklist_characters="\x7f")))
def test_what_is_sent_quoted_is_read_back(value: str) -> None:
    morsel: Morsel[str] = SimpleCookie({"a": value})["a"]
    header = "a=" + coded_for_sending(value, morsel.coded_value, True) + "; b=1"
    assert [(name, m.value) for name, m in parse_cookie_header(header)] == [("a", value), ("b", "1")]


def test_time_is_linear_in_backslashes_and_quotes() -> None:
    # A quadratic parser would make some 10**10 steps here.
    for piece in ('\\"', "\\1", '"', ";", "=", "a=", 'a="\\'):
        text = "x=" + piece * 50_000
        assert parse_cookie_header(text)[0][0] == "x"
        parse_set_cookie_headers([text])


def test_python_that_checks_control_characters_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer Pythons refuse control characters in every setter; nothing here may ever get there with one."""

    class Strict(Morsel[str]):
        def __setstate__(self, state: Any) -> None:
            check(*state.values())
            super().__setstate__(state)  # type: ignore[misc]

        def __setitem__(self, key: str, value: Any) -> None:
            check(key, value)
            super().__setitem__(key, value)

    def check(*texts: object) -> None:
        if any(ord(c) < 32 or ord(c) == 127 for text in texts for c in str(text)):
            raise CookieError("control characters are not allowed in cookies")

    monkeypatch.setattr(cookies, "Morsel", Strict)
    fields = ['a="\\012"; path="\\012"', "b=1\x01", "c=3; comment=\x02", "d=4; path=/x", "e=\t5"]
    assert [(name, m.value) for name, m in parse_set_cookie_headers(fields)] == [
        ("a", '"\\012"'),
        ("d", "4"),
        ("e", "5"),
    ]
    assert [name for name, _ in parse_cookie_header('a="\\012"; b=\x01; c=2')] == ["a", "c"]


# Saved jars


def saved(**fields: Any) -> bytes:
    record = {"key": "a", "value": "1", "coded_value": "1"} | fields
    return json.dumps({"a.com|/x": {"a": record}}).encode()


def test_dump_and_load_give_the_same_cookies() -> None:
    stored = [
        StoredCookie("a.com", "/x|y", "a", only('a="q;é"; path=/x|y; secure; httponly; samesite=Lax'), True, 1e9 + 0.5),
        StoredCookie("a.com", "", "b", only("b=2; domain=a.com; max-age=5"), False, None),
        StoredCookie("", "", "c", only("c=3"), False, None),
    ]
    text = dump_cookie_file(stored)
    assert text.isascii()
    loaded = load_cookie_file(text.encode())
    assert [(c.domain, c.path, c.name, c.host_only, c.expires) for c in loaded] == [
        ("a.com", "/x|y", "a", True, 1e9 + 0.5),
        ("a.com", "", "b", False, None),
        ("", "", "c", False, None),
    ]
    assert loaded[0].morsel == stored[0].morsel
    assert loaded[1].morsel["max-age"] == ""  # the moment is what counts


def test_load_without_host_only_looks_at_the_domain() -> None:
    assert load_cookie_file(saved())[0].host_only is True
    assert load_cookie_file(saved(domain="a.com"))[0].host_only is False


@pytest.mark.parametrize(
    "fields", [{"key": "a;b"}, {"key": ""}, {"coded_value": "\n"}, {"value": "\ud800"}, {"path": "\x01"}]
)
def test_load_drops_what_could_not_be_sent(fields: dict[str, str]) -> None:
    assert load_cookie_file(saved(**fields)) == []


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EOFError),
        (b" \n", EOFError),
        (b"[]", ValueError),
        (b"null", ValueError),
        (b'"x"', ValueError),
        (b"{", ValueError),
        (b'{"a.com|/": 5}', ValueError),
        (b'{"a.com": {}}', ValueError),
        (b'{"a.com|": {"a": {}}}', ValueError),
        (saved(value=5), ValueError),
        (saved(path=["x"]), ValueError),
        (saved(expires_timestamp="soon"), ValueError),
        (saved(expires_timestamp=True), ValueError),
        (saved(expires_timestamp=float("inf")), ValueError),
        (saved(expires_timestamp=float("nan")), ValueError),
        (b"nonsense", pickle.UnpicklingError),
        (b"\x80\x04", EOFError),
        (pickle.dumps([1]), pickle.UnpicklingError),
        (pickle.dumps({("a", "b"): 5}), pickle.UnpicklingError),
        (pickle.dumps({("a", "b"): {"c": {}}}), pickle.UnpicklingError),
    ],
)
def test_load_refuses_what_is_no_saved_jar(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        load_cookie_file(data)


def test_load_refuses_a_huge_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cookies, "MAX_FILE_SIZE", 10)
    with pytest.raises(ValueError, match="MAX_FILE_SIZE"):
        load_cookie_file(b"{" + b" " * 20)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_load_reads_old_pickles(protocol: int) -> None:
    jar: defaultdict[tuple[str, str], SimpleCookie] = defaultdict(SimpleCookie)
    jar["a.com", "/x"].load('q="v w"; Path=/x; Domain=a.com')
    jar["a.com", ""].load("r=1")
    stored = load_cookie_file(pickle.dumps(jar, protocol))
    assert [(c.domain, c.path, c.name, c.host_only, c.morsel.value) for c in stored] == [
        ("a.com", "/x", "q", False, "v w"),
        ("a.com", "", "r", True, "1"),
    ]
    assert type(stored[0].morsel) is Morsel
    assert stored[0].morsel["path"] == "/x"


def test_load_reads_pickles_filed_by_domain_alone() -> None:
    stored = load_cookie_file(pickle.dumps({"a.com": SimpleCookie("q=1")}))
    assert [(c.domain, c.path, c.name) for c in stored] == [("a.com", "", "q")]


class Evil:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.mkdir, "pwned"),
        Evil(eval, "1"),
        Evil(getattr, SimpleCookie, "load"),
        {("a", "b"): Evil(os.mkdir, "pwned")},
        Evil(SimpleCookie, Evil(os.mkdir, "pwned")),
    ],
)
def test_load_never_runs_what_a_pickle_names(evil: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="not loaded"):
        load_cookie_file(pickle.dumps(evil))
    assert not list(tmp_path.iterdir())


@given(st.one_of(st.binary(), st.binary().map(lambda octets: b"\x80\x04" + octets)))
def test_any_file_is_loaded_or_refused(data: bytes) -> None:
    try:
        load_cookie_file(data)
    except (ValueError, EOFError, pickle.UnpicklingError):
        pass
