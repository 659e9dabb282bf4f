"""Link fields of RFC 8288 and what servers make of them."""

from __future__ import annotations

import pytest

from fairlead.codec.links import MAX_LINKS, parse_links

Link = tuple[str, list[tuple[str, str]]]

# clause, field value, links
FIELDS: list[tuple[str, str, list[Link]]] = [
    ("empty", "", []),
    ("no link", "garbage; rel=x", []),
    ("8288 3: example", '<http://example.com/TheBook/chapter2>; rel="previous"; title="previous chapter"',
     [("http://example.com/TheBook/chapter2", [("rel", "previous"), ("title", "previous chapter")])]),
    ("8288 3: title in UTF-8", "</TheBook/chapter2>; rel=\"previous\"; title*=UTF-8'de'letztes%20Kapitel",
     [("/TheBook/chapter2", [("rel", "previous"), ("title*", "UTF-8'de'letztes%20Kapitel")])]),
    ("8288 3: several relations", '<http://example.org/>; rel="start http://example.net/relation/other"',
     [("http://example.org/", [("rel", "start http://example.net/relation/other")])]),
    ("8288 3: several links", '<a>; rel=next, <b>; rel="prev",<c>',
     [("a", [("rel", "next")]), ("b", [("rel", "prev")]), ("c", [])]),
    ("8288 3: white space", "< a >\t; rel = \"x\" ;\ttitle= 'y' ", [(" a ", [("rel", "x"), ("title", "y")])]),
    ("comma and semicolon in the target", "<a,b;c>; rel=x", [("a,b;c", [("rel", "x")])]),
    ("comma, semicolon, brackets in a string", '<a>; title="p,<q>;r"; rel=u',
     [("a", [("title", "p,<q>;r"), ("rel", "u")])]),
    ("9110 5.6.4: quoted pairs", r'<a>; title="x\"y\\z, <b>"; rel=u',
     [("a", [("title", r'x"y\z, <b>'), ("rel", "u")])]),
    ("empty target", "<>; rel=x", [("", [("rel", "x")])]),
    ("no value", "<a>; foo; rel=x; bar", [("a", [("rel", "x")])]),
    ("empty value", '<a>; rel=; title=""', [("a", [("rel", ""), ("title", "")])]),
    ("repeated", "<a>; rel=1; rel=2", [("a", [("rel", "1"), ("rel", "2")])]),
    ("single quotes", "<a>; rel='x y'", [("a", [("rel", "x y")])]),
    ("one single quote", "<a>; rel='x; title=b'", [("a", [("rel", "'x"), ("title", "b'")])]),
    ("string without an end", '<a>; rel="x, <b>', [("a", [("rel", "x, <b>")])]),
    ("string that ends with a backslash", '<a>; rel="x\\', [("a", [("rel", "x\\")])]),
    ("text after a string", '<a>;rel="x"y;z=1', [("a", [("rel", "x"), ("z", "1")])]),
    ("empty elements", ", <a>; rel=x,, ,<b>;;rel=y,", [("a", [("rel", "x")]), ("b", [("rel", "y")])]),
    ("target without an end", "<a>; rel=x, <b; rel=y", [("a", [("rel", "x")])]),
    ("no semicolon", "<a>rel=x", [("a", [])]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), [c[1:] for c in FIELDS], ids=[c[0] for c in FIELDS])
def test_links(value: str, expected: list[Link]) -> None:
    assert list(parse_links([value])) == expected


def test_several_fields() -> None:
    assert list(parse_links(["<a>; rel=x", "", '<b>; rel="y']))[1] == ("b", [("rel", "y")])


def test_the_number_of_links_is_bounded() -> None:
    assert len(list(parse_links(["<a>," * (MAX_LINKS // 2 + 3)] * 2))) == MAX_LINKS


HOSTILE = ["<", "<>", '<>"', "<a>;", '<a>;x="', "<a>;x='", ";a=", " ", "<a>; \t", "\\", '"\\', "a", '<a>;"\\']


@pytest.mark.parametrize("text", [*HOSTILE, "<a> <b>", "<a>;a ", "=", "<a>;="])
def test_hostile_fields_take_linear_time(text: str) -> None:
    """Quadratic patterns would take minutes for these."""
    long = text * (200_000 // len(text))
    for value in (long, f"<a>{long}", f'<a>;x="{long}', f"<a>;x{long}", f"<a>;{long}="):
        assert len(list(parse_links([value]))) <= MAX_LINKS
