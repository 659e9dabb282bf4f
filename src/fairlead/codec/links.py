"""The Link header field (RFC 8288 §3).

In: the field's values.  Out: targets with their parameters, in order, as written.

Limits: MAX_LINKS links; the rest is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

MAX_LINKS: Final = 256
"""Links in one response that are looked at."""

# link-value = "<" URI-Reference ">" *( OWS ";" OWS [ link-param ] )
_LINK: Final = re.compile(r"\s*<([^>]*)>([^,\"]*(?:\"[^\"]*\"[^,\"]*)*)(?:,|$)")

# link-param = token BWS [ "=" BWS ( token / quoted-string ) ]
_PARAM: Final = re.compile(r";\s*([^\s=;\"]+)\s*=\s*(?:\"([^\"]*)\"|([^\s;\"]*))")


def parse_links(values: Iterable[str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each target with its parameters."""
    count = 0
    for value in values:
        for match in _LINK.finditer(value):
            count += 1
            if count > MAX_LINKS:
                return
            yield match[1], [(name, quoted or plain) for name, quoted, plain in _PARAM.findall(match[2])]
