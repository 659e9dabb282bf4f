"""codec.disposition: tables of good and odd fields, and the original's answers to many more."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from fairlead.codec.disposition import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    content_disposition_filename,
    content_disposition_header,
    parse_content_disposition,
)

Parsed = tuple[str | None, dict[str, str]]

GOOD: list[tuple[str | None, Parsed]] = [
    (None, (None, {})),
    ("", (None, {})),
    ("inline", ("inline", {})),
    ("  Attachment\t; a=b", ("attachment", {"a": "b"})),
    ('form-data; name="a;b"; filename="c;d"', ("form-data", {"name": "a;b", "filename": "c;d"})),
    ('form-data;name=a;FileName="X"', ("form-data", {"name": "a", "filename": "X"})),
    ('form-data; name = "a" ; x=y', ("form-data", {"name": "a", "x": "y"})),
    ('form-data; name="a\\"b\\\\c\\d"', ("form-data", {"name": 'a"b\\cd'})),
    ('form-data; name="d\\é"', ("form-data", {"name": "d\\é"})),
    ('form-data; name="a"b"', ("form-data", {"name": 'a"b'})),
    ('form-data; name="a=b"', ("form-data", {"name": "a=b"})),
    ('form-data; name=""', ("form-data", {"name": ""})),
    ("form-data; name=d!#$%&'*+-.^_`|~", ("form-data", {"name": "d!#$%&'*+-.^_`|~"})),
    ('attachment; filename="foo-ä.html"', ("attachment", {"filename": "foo-ä.html"})),
    ('attachment; filename="50%41.html"', ("attachment", {"filename": "50%41.html"})),
    ('attachment; filename="/etc/passwd"', ("attachment", {"filename": "etc/passwd"})),
    ('attachment; filename="\\\\\\\\srv\\\\x"', ("attachment", {"filename": "srv\\x"})),
    ('attachment; filename="../x"', ("attachment", {"filename": "../x"})),
    ("attachment; filename*=UTF-8''foo-%c3%a4-%e2%82%ac", ("attachment", {"filename*": "foo-ä-€"})),
    ("attachment; filename* = iso-8859-1'en'%E4", ("attachment", {"filename*": "ä"})),
    ("attachment; filename*=''%c3%a4", ("attachment", {"filename*": "ä"})),
    ("attachment; filename*=UTF-8''", ("attachment", {"filename*": ""})),
    ("attachment; filename*=UTF-8''a%", ("attachment", {"filename*": "a%"})),
    ("attachment; filename=\"a\"; filename*=UTF-8''b", ("attachment", {"filename": "a", "filename*": "b"})),
    ('attachment; f*0="fo\\o."; f*1=html', ("attachment", {"f*0": "foo.", "f*1": "html"})),
    ("attachment; f*0*=UTF-8''%c3%a4; f*1=\"/x\"", ("attachment", {"f*0*": "UTF-8''%c3%a4", "f*1": "/x"})),
]


@pytest.mark.parametrize(("field", "parsed"), GOOD)
def test_good_fields_are_read_without_a_warning(field: str | None, parsed: Parsed) -> None:
    assert parse_content_disposition(field) == parsed


H = BadContentDispositionHeader
P = BadContentDispositionParam
BAD: list[Any] = [
    *((field, (None, {}), [H]) for field in (
        ";", "=", "a b", "a b; c=d", '"attachment"; a=b', "att/ach; a=b", "a, b; c=d", "filename=x",
        "; filename=x", "é",
        "attachment; ", "attachment; a", "attachment; a=", "attachment; a=b c", "attachment; a=b,c", "attachment; a=b ",
        "attachment; a=é",
        "attachment; a=b=c", 'attachment; a=b"c', 'attachment; a="b', 'attachment; a="', "attachment; a=b; c",
        'attachment; a="b"c', 'attachment; a="b"; ; c=d', "attachment; a=b; A=c", "attachment; a*=''b; a*=''c",
        'attachment; a="b;c;d"', "attachment; a=b;c.txt", "attachment; a=[1]", "attachment; a=b\x7f",
    )),
    ("attachment;", ("attachment", {}), [H]),
    ("attachment;; a=b", ("attachment", {"a": "b"}), [H]),
    ("a;;", ("a", {}), [H, H]),
    *((f"attachment; {param}; x=y", ("attachment", {"x": "y"}), [P]) for param in (
        "=b", "é=b", "a b=c", "a *=UTF-8''b", "a*=b", "a*=UTF-8'b", "a*=UTF-8''b c", "a*=UTF-8''é", "a*=UTF-8''b'c",
        "a*=\"UTF-8''b\"", "a*=UTF-8''%ff", "a*=nope''%ff", "a**=b", "*=b", "a*=UTF-8''b ", "a*0=b c", "a*0=",
        "a*0=é", "a*0*=\"",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("field", "parsed", "kinds"), BAD)
def test_bad_fields_warn_and_never_raise(field: str, parsed: Parsed, kinds: list[type[Warning]]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert parse_content_disposition(field) == parsed
    assert [warning.category for warning in caught] == kinds
    for warning in caught:
        assert str(warning.message) in field
        if warning.category is H:
            assert str(warning.message) == field
    assert issubclass(H, RuntimeWarning)
    assert issubclass(P, RuntimeWarning)


@pytest.mark.parametrize(
    ("params", "name", "value"),
    [({}, "filename", None), ({"filename": "x"}, "filename", "x"), ({"FILENAME": "x"}, "filename", None),
     ({"filename": "x", "filename*": "y", "filename*0": "z"}, "filename", "y"),
     ({"filename": "x", "filename*0": "z"}, "filename", "x"),
     ({"name": "x"}, "name", "x"), ({"filename*": ""}, "filename", ""),
     ({"filename*0": "foo", "filename*1": "bar"}, "filename", "foobar"),
     ({"filename*1": "bar", "filename*0": "foo"}, "filename", "foobar"),
     ({"filename*0": "foo", "filename*2": "bar"}, "filename", "foo"), ({"filename*1": "foo"}, "filename", None),
     ({"filename*0": "foo", "filename*01": "bar"}, "filename", "foo"),
     ({"filename*0*": "UTF-8''%c3", "filename*1*": "%a4", "filename*2": "x"}, "filename", "äx"),
     ({"filename*0": "a%20", "filename*1": "b"}, "filename", "a%20b"),
     ({"filename*0*": "''%41"}, "filename", "A"), ({"filename*0*": "x'y"}, "filename", "x'y"),
     ({"filename*0*": "UTF-8''%ff"}, "filename", None), ({"filename*0*": "nope''%ff"}, "filename", None)],
)  # fmt: skip
def test_the_best_reading_of_a_filename(params: dict[str, str], name: str, value: str | None) -> None:
    assert content_disposition_filename(params, name) == value


WRITTEN: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({}, {}, "form-data"),
    ({}, {"name": "a", "filename": "b c.txt"}, 'form-data; name="a"; filename="b%20c.txt"'),
    ({}, {"name": 'a"b\\c d\te'}, 'form-data; name="a\\"b\\\\c\\ d\\\te"'),
    ({}, {"name": "é"}, "form-data; name*=utf-8''%C3%A9"),
    ({}, {"name": "a\r\nb"}, "form-data; name*=utf-8''a%0D%0Ab"),
    ({}, {"name": "a\x7f"}, "form-data; name*=utf-8''a%7F"),
    ({}, {"name": ""}, 'form-data; name=""'),
    ({}, {"name": "a[]/;=%'"}, 'form-data; name="a[]/;=%\'"'),
    ({}, {"filename": 'é"\r\n%'}, 'form-data; filename="%C3%A9%22%0D%0A%25"'),
    ({}, {"FileName": "a b"}, 'form-data; FileName="a%20b"'),
    ({"_charset": "latin-1"}, {"name": "é", "filename": "é"}, "form-data; name*=latin-1''%E9; filename=\"%E9\""),
    ({"quote_fields": False}, {"name": 'é"\\', "filename": "a b"}, 'form-data; name="é\\"\\\\"; filename="a b"'),
]


@pytest.mark.parametrize(("options", "params", "field"), WRITTEN)
def test_fields_are_written(options: dict[str, Any], params: dict[str, Any], field: str) -> None:
    assert content_disposition_header("form-data", **options, **params) == field


@pytest.mark.parametrize("disptype", ["", "a b", "a;b", "a/b", "é", "a\r\nb"])
def test_types_that_are_no_token_are_refused(disptype: str) -> None:
    with pytest.raises(ValueError, match="bad content disposition type"):
        content_disposition_header(disptype)


@pytest.mark.parametrize("name", ["", "a b", "é", 'a"b', "a\r\nX"])
@pytest.mark.parametrize("quote_fields", [True, False])
def test_names_that_are_no_token_are_refused(name: str, quote_fields: bool) -> None:
    params: dict[str, Any] = {name: "x"}
    with pytest.raises(ValueError, match="bad content disposition parameter"):
        content_disposition_header("form-data", quote_fields, **params)


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "\0"])
def test_values_that_would_end_the_line_are_refused_where_nothing_encodes_them(value: str) -> None:
    with pytest.raises(ValueError, match="it would end the header line"):
        content_disposition_header("form-data", False, name=value)


def test_charsets_that_lack_a_character_or_do_not_exist() -> None:
    with pytest.raises(UnicodeEncodeError):
        content_disposition_header("form-data", _charset="latin-1", filename="€")
    with pytest.raises(LookupError):
        content_disposition_header("form-data", _charset="nope", filename="x")


@pytest.mark.parametrize("bite", [";", "'", '"', "\\", "*", "%", "a*0=b;", ';a="', "=", " ", "''"])
def test_long_fields_take_linear_time(bite: str) -> None:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for head in ("a;b=", "a;b*=", "a;b*0=", 'a;b="', "a;"):
            parse_content_disposition(head + bite * 20_000)
    content_disposition_filename({"a*0": bite * 100_000}, "a")
    assert time.perf_counter() - started < 3


# ------------------------------------------------------------------------------------------ properties, the original

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

TOKENS = st.text("abcXYZ019-_.!", min_size=1, max_size=8).map(str.lower)


@given(TOKENS, st.text(st.characters(codec="utf-8", exclude_characters="/\\"), max_size=20))
def test_what_is_written_is_read(disptype: str, value: str) -> None:
    parsed = parse_content_disposition(content_disposition_header(disptype, name=value))
    if value.count(";") < 2:  # more semicolons in one value are more than the format's readers take
        assert parsed[0] == disptype
        assert content_disposition_filename(parsed[1], "name") == value


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return result or exception class, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = function(*args, **kwargs)
        except Exception as exc:
            result = type(exc)
    return result, [(warning.category.__name__, str(warning.message)) for warning in caught]


# Without a tab, which the original takes for a character of tokens, and a lone space: here a quoted string with
# a semicolon in it may have space behind it, as any other may.
PIECES = ["attachment", "form-data", ";", ";", "; ", "=", '="', '"', "*", "''", "utf-8", "=UTF-8''", "%41", "%ff",
          "%c3%a4", "filename", "name", "*0", "*1", "*0*", "*1*", "*01", "a", "B", "\\", '\\"', "/", "é", "'", ",", ".",
          "\x00", "\x7f", "^", "_", "file-name"]  # fmt: skip


def test_fields_are_read_as_by_the_original() -> None:
    multipart = pytest.importorskip("aiohttp.multipart")

    def check(field: str | None) -> None:
        ours = outcome(parse_content_disposition, field)
        assert ours == outcome(multipart.parse_content_disposition, field)
        for name in ("filename", "name", "a"):
            theirs = outcome(multipart.content_disposition_filename, ours[0][1], name)
            assert outcome(content_disposition_filename, ours[0][1], name) == theirs

    for field in [*(row[0] for row in GOOD), *(row[0] for row in BAD)]:
        check(field)
    given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))(check)()
    given(st.lists(st.sampled_from(PIECES), max_size=14).map(lambda pieces: "a;" + "".join(pieces)))(check)()


def test_fields_are_written_as_by_the_original() -> None:
    helpers = pytest.importorskip("aiohttp.helpers")
    values = st.text(st.sampled_from("aB \t\"\\é€%/\x7f\x1f\r\n\0;='*"), max_size=6)

    @given(
        st.booleans(),
        st.sampled_from(["utf-8", "latin-1", "ascii"]),
        st.sampled_from(["name", "filename", "a*", "é"]),
        values,
    )
    def check(quote_fields: bool, charset: str, name: str, value: str) -> None:
        if not quote_fields and set(value) & set("\r\n\0"):
            return  # refused here, so that no value can add a header
        arguments = ("form-data", quote_fields, charset)
        theirs = outcome(helpers.content_disposition_header, *arguments, **{name: value})
        assert outcome(content_disposition_header, *arguments, **{name: value}) == theirs

    check()
