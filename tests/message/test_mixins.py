"""Content type, charset and length of anything that has header fields."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from fairlead.message.mixins import HeadersMixin


class Message(HeadersMixin):
    def __init__(self, **fields: str) -> None:
        self._headers = CIMultiDict({name.replace("_", "-"): value for name, value in fields.items()})


@pytest.mark.parametrize(
    ("value", "content_type", "charset"),
    [
        ("text/html", "text/html", None),
        ("Text/HTML; Charset=UTF-8", "text/html", "UTF-8"),
        ('text/html; charset="utf-8"', "text/html", "utf-8"),
        ("text/html;charset=", "text/html", None),
        ("text", "application/octet-stream", None),
        ("a/b/c; charset=x", "application/octet-stream", "x"),
        ("", "application/octet-stream", None),
    ],
)
def test_content_type(value: str, content_type: str, charset: str | None) -> None:
    assert Message(content_type=value).content_type == content_type
    assert Message(content_type=value).charset == charset


def test_nothing_is_said_without_fields() -> None:
    message = Message()
    assert message.content_type == "application/octet-stream"
    assert message.charset is None
    assert message.content_length is None


def test_fields_may_change() -> None:
    message = Message(content_type="text/html; charset=ascii")
    assert (message.content_type, message.charset) == ("text/html", "ascii")
    message._headers["Content-Type"] = "text/plain"
    assert message.charset is None
    assert message.content_type == "text/plain"
    del message._headers["Content-Type"]
    assert message.content_type == "application/octet-stream"


def test_parsed_values_are_not_shared() -> None:
    one, other = (Message(content_type="text/html; charset=ascii") for _ in range(2))
    assert one.charset == other.charset == "ascii"
    assert one._content_dict is not None
    one._content_dict["charset"] = "latin1"
    assert other.charset == "ascii"
    assert Message(content_type="text/html; charset=ascii").charset == "ascii"


def test_content_length() -> None:
    assert Message(content_length="0").content_length == 0
    assert Message(content_length="12").content_length == 12
    with pytest.raises(ValueError):
        _ = Message(content_length="twelve").content_length
