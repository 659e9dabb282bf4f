"""JSON text is what `json.dumps` gives, errors included."""

from __future__ import annotations

import enum
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.codec import json_text as module
from fairlead.codec.json_text import json_text


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    pass


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none() | st.booleans(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_values_of_json(value: Any) -> None:
    assert json_text(value) == json.dumps(value)


@pytest.mark.parametrize(
    "value",
    ["", "é\u2028\ud800", Text("x"), Colour.RED, {1.5: 2}, (1, (2,)), math.inf, -0.0, {Text("k"): Colour.RED}, 10**30],
)
def test_odd_values(value: Any) -> None:
    assert json_text(value) == json.dumps(value)


def holds_itself() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, {1, 2}, b"x", holds_itself()])
def test_what_is_not_json(value: Any) -> None:
    with pytest.raises(Exception) as wanted:
        json.dumps(value)
    with pytest.raises(type(wanted.value)) as got:
        json_text(value)
    assert str(got.value) == str(wanted.value)


def test_without_an_encoder_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_encode", None)
    assert json_text({"a": 1}) == '{"a": 1}'
