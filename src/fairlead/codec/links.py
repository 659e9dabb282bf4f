"""The Link header field (RFC 8288 §3).

In: the field's values.  Out: targets with their parameters, in order, names as written, quotes removed.

Lenient as RFC 8288 appendix B is: what is between links is skipped, a quoted string may end with the field, single
quotes around a value are removed like double ones.

Limits: MAX_LINKS links; the rest is ignored.  The time is linear in the field's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

MAX_LINKS: Final = 256
"""Links in one response that are looked at."""

# The parameters of one link-value: up to a comma outside quoted strings.
_PARAMS: Final = re.compile(r'[^,"]*+(?:"(?:[^"\\]|\\.?)*+(?:"|$)[^,"]*+)*+')

# link-param = token BWS [ "=" BWS ( token / quoted-string ) ]
_PARAM: Final = re.compile(
    r""";\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]|\\.?)*+)(?:"|$)|'([^';"]*+)'|([^\s;"]*+))""",
)

_QUOTED_PAIR: Final = re.compile(r"\\(.)")


def parse_links(values: Iterable[str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each target with its parameters."""
    count = 0
    for value in values:
        start = value.find("<")
        while start >= 0:
            end = value.find(">", start)
            if end < 0:
                break
            count += 1
            if count > MAX_LINKS:
                return
            params = _PARAMS.match(value, end + 1)
            assert params is not None  # it matches the empty string
            yield (
                value[start + 1 : end],
                [
                    (name, _QUOTED_PAIR.sub(r"\1", quoted) if quoted else single or plain)
                    for name, quoted, single, plain in _PARAM.findall(params[0])
                ],
            )
            start = value.find("<", params.end())
