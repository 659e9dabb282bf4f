"""The regular expressions of the HTTP/1.1 codec, each under the RFC production that it implements.

Heads are matched as text: bytes 0x80 to 0xFF arrive as decoded UTF-8 or as surrogates (`surrogateescape`); both count
as obs-text.
"""

from __future__ import annotations

import re
from typing import Final

# RFC 9110 §5.6.2
#   token = 1*tchar
#   tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~" / DIGIT / ALPHA
_TCHAR: Final = r"!#$%&'*+\-.^_`|~0-9A-Za-z"
TOKEN: Final = re.compile(rf"[{_TCHAR}]+")

# Several field names, one a line: checked in one go before they are sent.
FIELD_NAMES: Final = re.compile(rf"[{_TCHAR}]+(?:\n[{_TCHAR}]+)*")

# RFC 9112 §5
#   field-line  = field-name ":" OWS field-value OWS
# RFC 9110 §5.5
#   field-value = *field-content, of VCHAR, SP, HTAB and obs-text: no control characters
# Without its line end.  Trailing white space is left in the value; the caller strips it where there is any.  The
# possessive repetitions (`*+`) keep a failing match linear: what they took is never given back.
FIELD_LINE: Final = re.compile(rf"([{_TCHAR}]+):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)")

# The same for peers that put control characters into values (RFC 9110 §5.5: "field values containing other CTL
# characters are also invalid; however, recipients MAY retain such characters"); CR, LF and NUL stay forbidden.
FIELD_LINE_LENIENT: Final = re.compile(rf"([{_TCHAR}]+):[ \t]*+([^\x00\r\n]*+)")

# RFC 9112 §4
#   status-line = HTTP-version SP status-code SP [ reason-phrase ]
# The second SP is missing in front of an empty reason in the wild; it carries no meaning.
STATUS_LINE: Final = re.compile(r"HTTP/([0-9])\.([0-9]) ([0-9]{3})(?: ([^\r\n]*))?")

# What a request line can begin with: one tchar.
METHOD_START: Final = re.compile(rf"[{_TCHAR}]".encode())

# RFC 9112 §3
#   request-line = method SP request-target SP HTTP-version
# The target is VCHAR here; its own syntax depends on its form.
REQUEST_LINE: Final = re.compile(rf"([{_TCHAR}]+) ([\x21-\x7e\x80-\U0010ffff]+) HTTP/([0-9])\.([0-9])")

# RFC 9110 §7.2, RFC 3986 §3.2.2
#   Host = uri-host [ ":" port ]
#   uri-host = IP-literal / IPv4address / reg-name
#   reg-name = *( unreserved / pct-encoded / sub-delims )
# What stands in the brackets is left to whoever resolves it.
_URI_HOST: Final = r"(?:\[[0-9A-Za-z:.%~_\-]+\]|(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+)"
HOST: Final = re.compile(rf"{_URI_HOST}(?::[0-9]*)?")

# RFC 9112 §3.2.2, RFC 9110 §4.2.1 and §4.2.4
#   absolute-form = absolute-URI, of a scheme with an authority; the host is not empty, and user information is an error
ABSOLUTE_FORM: Final = re.compile(rf"[A-Za-z][0-9A-Za-z+.\-]*://(?=[^/?#:]){_URI_HOST}(?::[0-9]*)?(?:[/?].*)?")

# RFC 9112 §3.2.3
#   authority-form = uri-host ":" port
AUTHORITY_FORM: Final = re.compile(rf"(?!:){_URI_HOST}:[0-9]+")

# RFC 9112 §7.1, §7.1.1
#   chunk-size = 1*HEXDIG          chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
# Sixteen digits hold every size that a machine can count; the extension's length is bounded by the decoder.  White
# space in front of CRLF carries no meaning and is sent by some (llhttp and h11 accept it as well).
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16}+)[ \t]*+(;[^\x00-\x08\x0a-\x1f\x7f]*+)?\r\n")

# What a chunk-size line can be before its LF has come.
CHUNK_LINE_PREFIX: Final = re.compile(rb"[0-9A-Fa-f]{1,16}+[ \t]*+(?:;[^\x00-\x08\x0a-\x1f\x7f]*+)?\r?")

# RFC 9110 §8.6
#   Content-Length = 1*DIGIT
# Nineteen digits hold 2**63, the decoder's limit.
CONTENT_LENGTH: Final = re.compile(r"[0-9]{1,19}")

# The end of a head whose lines may end with a bare LF (RFC 9112 §2.2 allows a recipient to recognise it).
HEAD_END_LENIENT: Final = re.compile(rb"\n\r?\n")

# What may never stand in a field name or value that is sent: C0 controls but HTAB, and DEL.
FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
