"""`Forwarded`, well-formed and not."""

from __future__ import annotations

import time

import pytest

from fairlead.codec.forwarded import parse_forwarded

CASES: list[tuple[str, list[dict[str, str]]]] = [
    # RFC 7239 sections 4, 5, 6, 7.1: the examples.
    ('for="_gazonk"', [{"for": "_gazonk"}]),
    ('For="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
    (
        "for=192.0.2.60;proto=http;by=203.0.113.43",
        [{"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}],
    ),
    ("for=192.0.2.43, for=198.51.100.17", [{"for": "192.0.2.43"}, {"for": "198.51.100.17"}]),
    (
        'for=_hidden, for=_SEVKISEK;by="_x", for=unknown',
        [{"for": "_hidden"}, {"for": "_SEVKISEK", "by": "_x"}, {"for": "unknown"}],
    ),
    ("FOR=A;ext=1", [{"for": "A", "ext": "1"}]),
    # White space and emptiness.
    ("", [{}]),
    (",", [{}, {}]),
    ("for=a;", [{"for": "a"}]),
    (";for=a", [{"for": "a"}]),
    ("for=a;;by=b", [{"for": "a", "by": "b"}]),
    ("for=a ; by=b", [{"for": "a", "by": "b"}]),
    ("\tfor=a\t,\tby=b ", [{"for": "a"}, {"by": "b"}]),
    ("for=a, ,by=b", [{"for": "a"}, {}, {"by": "b"}]),
    ('for="",by=x', [{"for": ""}, {"by": "x"}]),
    # Quoted strings.
    ('for="a,b;c"', [{"for": "a,b;c"}]),
    (r'for="a\"b\\c\d"', [{"for": 'a"b\\cd'}]),
    ('for="a\tb"', [{"for": "a\tb"}]),
    # A port behind a bare value.
    ("for=1.2.3.4:80;by=x", [{"for": "1.2.3.4:80", "by": "x"}]),
    ("for=1.2.3.4:65535", [{"for": "1.2.3.4:65535"}]),
    ("for=a:123456;by=x, for=b", [{"for": "a"}, {"for": "b"}]),
    ("for=a:, for=b", [{"for": "a"}, {"for": "b"}]),
    # Malformed: up to the next comma.
    ("for", [{}]),
    ("for=", [{}]),
    ("=a", [{}]),
    ("for = a;by=b, for=c", [{}, {"for": "c"}]),
    ("for=a b;by=c, for=d", [{"for": "a"}, {"for": "d"}]),
    ("for=[2001::1], for=d", [{}, {"for": "d"}]),
    ('for="a', [{}]),
    ('for="x;by=y, for=z', [{}, {"for": "z"}]),
    ('for="a"b, for=c', [{"for": "a"}, {"for": "c"}]),
    ("for=a=b", [{"for": "a"}]),
    ('for="é", for=\xe9, by=c', [{}, {}, {"by": "c"}]),
    ('for="a\x01b"', [{}]),
    ("for=a;for=b", [{"for": "b"}]),
]


@pytest.mark.parametrize(("value", "elements"), CASES, ids=[value for value, _ in CASES])
def test_elements(value: str, elements: list[dict[str, str]]) -> None:
    assert [dict(element) for element in parse_forwarded([value])] == elements


def test_lines_are_one_list() -> None:
    parsed = parse_forwarded(["for=a, for=b", "for=c"])
    assert [element["for"] for element in parsed] == ["a", "b", "c"]
    assert parse_forwarded([]) == ()


def test_elements_cannot_be_changed() -> None:
    (element,) = parse_forwarded(["for=a"])
    with pytest.raises(TypeError):
        element["for"] = "b"  # type: ignore[index]


@pytest.mark.parametrize(
    "value", [";" * 200_000, "a" * 200_000, 'a="' * 60_000, 'a="\\' * 50_000, "a=b " * 50_000, "," * 200_000]
)
def test_time_is_linear(value: str) -> None:
    started = time.perf_counter()
    parse_forwarded([value])
    assert time.perf_counter() - started < 5
