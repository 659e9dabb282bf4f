r"""One line for each request, in a format that the user writes.

A format is compiled once into a list of small functions.  Its atoms::

    %%       a percent sign
    %a       the address of the peer, or of the client when a middleware has put it into the request
    %t       when the request began, in local time: [22/Nov/2026:10:15:30 +0100]
    %P       the process, as <pid>
    %r       the first line of the request
    %s       the status of the response
    %b       the bytes of the answer, head included
    %T       how long it took, in seconds      %Tf  with six decimals      %D  in microseconds
    %{X}i    the header X of the request       %{X}o  the header X of the response

Everything else stands for itself.  "-" is written for what is not there.  The same facts are attributes of the log
record, unescaped, by the names in `AccessLogger.LOG_FORMAT_MAP`; headers are dicts.

What a client sends cannot break out of its place: characters that are not printable are escaped as in a Python string,
and between double quotes of the format `"` and `\` are escaped as well.
"""

from __future__ import annotations

import logging
import os
import re
import time as clock
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from .abstract import AbstractAccessLogger

if TYPE_CHECKING:
    from .request import BaseRequest
    from .stream_response import StreamResponse

access_logger = logging.getLogger("fairlead.access")

MAX_FORMATS = 64
"""Formats that are remembered: each connection may make a logger."""

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

Render = Callable[["BaseRequest", "StreamResponse", float], Any]


class Atom(NamedTuple):
    """One place of a line: the record's attribute, the header's name, the function, and whether it stands in quotes."""

    key: str
    header: str
    render: Render
    quoted: bool


class AccessLogger(AbstractAccessLogger):
    """Writes the access log in a format of atoms; see the module's docstring.

    A subclass may replace the function of an atom, `_format_a` and so on, each called with request, response and
    seconds; those of headers get the header's name first.
    """

    LOG_FORMAT_MAP: ClassVar[dict[str, str]] = {
        "a": "remote_address",
        "t": "request_start_time",
        "P": "process_id",
        "r": "first_request_line",
        "s": "response_status",
        "b": "response_size",
        "T": "request_time",
        "Tf": "request_time_frac",
        "D": "request_time_micro",
        "i": "request_header",
        "o": "response_header",
    }
    LOG_FORMAT = '%a %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"'
    FORMAT_RE = re.compile(r"%(?:(%)|\{([A-Za-z0-9_-]+)\}([io])|(Tf|[atPrsbTD]))")

    _parsed: ClassVar[dict[tuple[type, str], tuple[str, list[tuple[str, str, bool]]]]] = {}

    def __init__(self, logger: logging.Logger, log_format: str = LOG_FORMAT) -> None:
        super().__init__(logger, log_format=log_format)
        self._log_format, self._atoms = self.compile_format(log_format)

    @property
    def enabled(self) -> bool:
        """Whether the logger takes lines of the level INFO; nothing is computed otherwise."""
        return self.logger.isEnabledFor(logging.INFO)

    def compile_format(self, log_format: str) -> tuple[str, list[Atom]]:
        """Split a format into a template for the % operator and the atoms that fill it."""
        known = (type(self), log_format)
        parsed = self._parsed.get(known)
        if parsed is None:
            if len(self._parsed) >= MAX_FORMATS:
                self._parsed.clear()
            parsed = self._parsed[known] = self._parse(log_format)
        template, places = parsed
        return template, [self._atom(*place) for place in places]

    def _parse(self, log_format: str) -> tuple[str, list[tuple[str, str, bool]]]:
        """Find the atoms: letter, name of the header, and whether it stands in quotes."""
        template: list[str] = []
        places: list[tuple[str, str, bool]] = []
        end = 0
        for match in self.FORMAT_RE.finditer(log_format):
            template.append(log_format[end : match.start()].replace("%", "%%"))
            end = match.end()
            percent, header, kind, letter = match.groups()
            if percent:
                template.append("%%")
            else:
                template.append("%s")
                quoted = log_format.count('"', 0, match.start()) % 2 == 1
                places.append((kind or letter, header or "", quoted))
        template.append(log_format[end:].replace("%", "%%"))
        return "".join(template), places

    def _atom(self, letter: str, header: str, quoted: bool) -> Atom:
        render: Callable[..., Any] = getattr(self, f"_format_{letter}")
        return Atom(self.LOG_FORMAT_MAP[letter], header, partial(render, header) if header else render, quoted)

    @staticmethod
    def _format_i(key: str, request: BaseRequest | None, response: StreamResponse, time: float) -> str:
        return "(no headers)" if request is None else request.headers.get(key, "-")

    @staticmethod
    def _format_o(key: str, request: BaseRequest | None, response: StreamResponse, time: float) -> str:
        return response.headers.get(key, "-")

    @staticmethod
    def _format_a(request: BaseRequest | None, response: StreamResponse, time: float) -> str:
        return "-" if request is None else request.remote or "-"

    @staticmethod
    def _format_t(request: BaseRequest | None, response: StreamResponse, time: float) -> str:
        return local_time(int(clock.time() - time))

    @staticmethod
    def _format_P(request: BaseRequest | None, response: StreamResponse, time: float) -> str:
        return f"<{os.getpid()}>"

    @staticmethod
    def _format_r(request: BaseRequest | None, response: StreamResponse, time: float) -> str:
        if request is None:
            return "-"
        version = request.version
        return f"{request.method} {request.path_qs} HTTP/{version.major}.{version.minor}"

    @staticmethod
    def _format_s(request: BaseRequest | None, response: StreamResponse, time: float) -> int:
        return response.status

    @staticmethod
    def _format_b(request: BaseRequest | None, response: StreamResponse, time: float) -> int:
        return response.body_length

    @staticmethod
    def _format_T(request: BaseRequest | None, response: StreamResponse, time: float) -> str:
        return str(round(time))

    @staticmethod
    def _format_Tf(request: BaseRequest | None, response: StreamResponse, time: float) -> str:
        return f"{time:06f}"

    @staticmethod
    def _format_D(request: BaseRequest | None, response: StreamResponse, time: float) -> str:
        return str(round(time * 1_000_000))

    def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
        """Write the line of one request that took `time` seconds; a failure is logged and never raised."""
        try:
            values: list[Any] = []
            extra: dict[str, Any] = {}
            for key, header, render, quoted in self._atoms:
                value = render(request, response, time)
                if not header:
                    extra[key] = value
                elif key in extra:
                    extra[key][header] = value
                else:
                    extra[key] = {header: value}
                if value.__class__ is not int:
                    value = escaped(str(value), quoted)
                values.append(value)
            self.logger.info(self._log_format % tuple(values), extra=extra)
        except Exception:
            self.logger.exception("Error in logging")


def escaped(text: str, quoted: bool) -> str:
    """Escape what is not printable, and within quotes the characters that would end them."""
    if quoted and ('"' in text or "\\" in text):
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii") for char in text
    )


_last_second = -1
_last_text = ""


def local_time(second: int) -> str:
    """Write a second since the epoch in local time, with English months whatever the locale; the last is remembered."""
    global _last_second, _last_text
    if second != _last_second:
        at = clock.localtime(second)
        sign, offset = ("-", -at.tm_gmtoff) if at.tm_gmtoff < 0 else ("+", at.tm_gmtoff)
        hours, minutes = divmod(offset // 60, 60)
        _last_text = (
            f"[{at.tm_mday:02}/{MONTHS[at.tm_mon - 1]}/{at.tm_year:04}:{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
            f" {sign}{hours:02}{minutes:02}]"
        )
        _last_second = second
    return _last_text
