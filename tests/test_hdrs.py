"""Field names and methods: spelling, folding, and that none of the oracle's is missing."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, istr

from fairlead import hdrs

NAMES = {name: value for name, value in vars(hdrs).items() if name.isupper()}


@pytest.mark.parametrize("name", [name for name, value in NAMES.items() if isinstance(value, istr)])
def test_constant_is_the_field_name_in_capitals(name: str) -> None:
    assert NAMES[name].replace("-", "_").upper() == name


def test_methods() -> None:
    methods = {name: value for name, value in NAMES.items() if name.startswith("METH_")}
    assert methods.pop("METH_ANY") == "*"
    assert methods.pop("METH_ALL") == set(methods.values())
    assert all(name == f"METH_{value}" for name, value in methods.items())
    assert len(methods) == 9


def test_host_all_is_every_spelling() -> None:
    assert len(hdrs.HOST_ALL) == 16
    assert {name.lower() for name in hdrs.HOST_ALL} == {"host"}


def test_constants_find_fields_whatever_the_case() -> None:
    headers = CIMultiDict({"content-TYPE": "text/plain"})
    assert headers[hdrs.CONTENT_TYPE] == "text/plain"


def test_nothing_of_the_oracle_is_missing() -> None:
    theirs = pytest.importorskip("aiohttp.hdrs")
    wanted = {name: value for name, value in vars(theirs).items() if name.isupper()}
    assert len(wanted) > 80
    assert {name: NAMES.get(name) for name in wanted} == wanted
    assert {name: type(NAMES[name]) for name in wanted} == {name: type(value) for name, value in wanted.items()}
