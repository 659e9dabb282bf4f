"""JSON text of plain values, as `json.dumps` writes it with its defaults.

`json.dumps` makes an encoder in C for each call and takes three Python calls to reach it.  The encoder has no state
when it does not look for circles, so one is enough.  A value that holds itself ends in a RecursionError there; it goes
to `json.dumps` then, for the error that its users know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder as _json_encoder
from typing import Any, Final

__all__ = ("json_text",)


def _make_encoder() -> Callable[[Any, int], tuple[str, ...]] | None:
    make: Any = getattr(_json_encoder, "c_make_encoder", None)  # other implementations of Python have none
    quote: Any = _json_encoder.encode_basestring_ascii
    try:
        encode = make(None, json.JSONEncoder().default, quote, None, ": ", ", ", False, False, True)
        return encode if "".join(encode({"a": [1, 2.5, None, "é"]}, 0)) == '{"a": [1, 2.5, null, "\\u00e9"]}' else None
    except Exception:  # another signature: the public function does the same
        return None


_encode: Final = _make_encoder()


def json_text(value: Any) -> str:
    """Return what `json.dumps(value)` returns, or raise what it raises."""
    if _encode is None:
        return json.dumps(value)
    try:
        return "".join(_encode(value, 0))
    except RecursionError:
        return json.dumps(value)
