"""Cookies as text: ``Set-Cookie`` and ``Cookie`` fields, the matching rules, and the format of a saved jar.

In: field values as text, or the bytes of a saved jar. Out: ``http.cookies.Morsel`` objects, the text to send, or
records for the jar. Nothing here knows the time or keeps cookies; `fairlead.client.cookiejar` does.

Why not ``http.cookies.SimpleCookie.load``: it gives up on the whole field at the first thing that it does not like, so
one odd cookie loses its neighbours; what it accepts changes between Python releases; and old releases take quadratic
time to unquote. Here each field is read by the algorithm of RFC 6265bis section 5.6, which user agents follow, with
three additions that aiohttp users rely on: a value in double quotes may contain ``;``, its backslash escapes are
decoded (``Morsel.value``) beside the text as it came (``Morsel.coded_value``), and names are limited to printable ASCII
without separators. A field with a control character is refused whole, as the RFC says.

Limits: `MAX_COOKIE_SIZE`, `MAX_ATTRIBUTE_SIZE`, `MAX_FILE_SIZE`.

RFC 6265bis sections 5.1.3 (domain), 5.1.4 (path), 5.6 (parsing), 5.7 (name prefixes); RFC 6265 section 5.4 (Cookie).
"""

import re
from collections.abc import Callable, Iterable
from http.cookies import Morsel, SimpleCookie
from typing import IO, Any, NamedTuple

__all__ = (
    "MAX_ATTRIBUTE_SIZE",
    "MAX_COOKIE_SIZE",
    "MAX_FILE_SIZE",
    "StoredCookie",
    "bare_morsel",
    "coded_for_sending",
    "default_path",
    "domain_match",
    "dump_cookie_file",
    "has_control",
    "is_ip_host",
    "load_cookie_file",
    "max_age_seconds",
    "parse_cookie_header",
    "parse_set_cookie_headers",
    "path_match",
    "prefix_allows",
    "preserve_morsel_with_coded_value",
    "set_attribute",
)

# Octets of name and value together; a longer cookie in a Set-Cookie field is ignored (RFC 6265bis section 5.6, step 5).
MAX_COOKIE_SIZE = 4096
# Octets of one attribute value; a longer attribute is ignored, the cookie stays (RFC 6265bis section 5.6, step 6).
MAX_ATTRIBUTE_SIZE = 1024
# Octets of a saved jar. A full jar of the largest cookies, escaped as JSON, is about half of this.
MAX_FILE_SIZE = 64 * 1024 * 1024
# Digits of Max-Age that are looked at: more seconds than the calendar has, and int() of many digits is slow.
_MAX_AGE_DIGITS = 18

# RFC 6265bis section 5.6, step 1: %x00-08 / %x0A-1F / %x7F.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Wider than RFC 9110 `token`: real servers use ()/:<>?@[]{} in names. Never DQUOTE, comma, semicolon, backslash, space.
_NAME = re.compile(r"[!#-+\--:<>-\[\]-~]+")
# quoted-string (RFC 9110 section 5.6.4), closed, with nothing but white space up to the next ";".
_QUOTED_VALUE = re.compile(r'"(?:[^\\"]|\\.)*"(?=[ \t]*(?:;|\Z))')
# Octal escapes are what http.cookies and, before it, Netscape-era servers write for separators.
_ESCAPE = re.compile(r"\\(?:([0-3][0-7]{2})|(.))", re.DOTALL)
_MAX_AGE = re.compile(r"-?[0-9]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBERS_AND_DOTS = re.compile(r"[0-9.]+")
_LAST_OF_NUMBER = frozenset("0123456789.")

_FLAGS = frozenset({"secure", "httponly", "partitioned"})
# The attributes that this Python's Morsel can hold, unset: "partitioned" came with 3.14 and is dropped before it.
_UNSET: dict[str, str] = dict(Morsel())
# Names as servers usually write them, found without stripping and folding.
_SPELLINGS = {
    space + spelling: name
    for name, usual in [(name, name.title()) for name in _UNSET] + [("httponly", "HttpOnly"), ("samesite", "SameSite")]
    for spelling in (name, usual)
    for space in ("", " ")
}
# value_encode() is a pure function in the shape of a method; one instance serves everybody.
_ENCODER = SimpleCookie()


def bare_morsel(key: str, value: str, coded_value: str) -> "Morsel[str]":
    """Return a `Morsel` without attributes, with the texts exactly as given.

    ``Morsel.set`` would refuse names such as ``path`` or ``a[0]``, which servers do use; the pickling protocol of the
    class is the public way around it. Raises ``http.cookies.CookieError`` for control characters where Python checks.
    """
    # Morsel() would set each attribute by a statement of its own.
    morsel: Morsel[str] = Morsel.__new__(Morsel)
    dict.update(morsel, _UNSET)
    morsel.__setstate__({"key": key, "value": value, "coded_value": coded_value})  # type: ignore[attr-defined,unused-ignore]
    return morsel


def set_attribute(morsel: "Morsel[str]", name: str, value: object) -> None:
    """Set an attribute that is known and has no control character, without Morsel's own checks."""
    dict.__setitem__(morsel, name, value)


def preserve_morsel_with_coded_value(cookie: "Morsel[str]") -> "Morsel[str]":
    """Return a copy of ``cookie`` without attributes whose coded value stays as it came from the server."""
    return bare_morsel(cookie.key, cookie.value, cookie.coded_value)


def has_control(text: str) -> bool:
    """Tell whether ``text`` has an octet that no cookie may contain (RFC 6265bis section 5.6, step 1)."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def coded_for_sending(value: str, coded_value: str, quote: bool) -> str:
    """Return the text that follows ``name=`` in a ``Cookie`` field.

    With ``quote`` a value that came in quotes is sent as it came and others are quoted when they contain separators;
    without it the decoded value is sent raw.
    """
    if not quote:
        return str(value)
    if coded_value.startswith('"'):
        return coded_value
    return _ENCODER.value_encode(value)[1]


def _unquote(text: str) -> str:
    """Decode ``text`` if it is in quotes. What would decode to a control character is left as it came: harmless so."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    decoded = _ESCAPE.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], inner)
    return text if has_control(decoded) else decoded


def _as_octets(text: str) -> str:
    """Replace surrogate escapes: a field that is not UTF-8 is read as Latin-1, so that its octets can be sent back."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:  # a lone surrogate that no octet gave
        return _SURROGATE.sub("\ufffd", text)


def _read_value(text: str, start: int) -> tuple[str, str, int]:
    """Return (value, coded value, where it ends) of the cookie-value at ``start``."""
    end = text.find(";", start)
    if end < 0:
        end = len(text)
    coded = text[start:end].strip(" \t")
    if not coded.startswith('"'):
        return coded, coded, end
    quoted = _QUOTED_VALUE.match(text, text.index('"', start))
    if quoted is not None:
        return _unquote(quoted[0]), quoted[0], quoted.end()
    return _unquote(coded), coded, end


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _read_attributes(morsel: "Morsel[str]", text: str) -> None:
    """Put what follows the first ``;`` on the morsel: the last of each name wins, unknown ones are ignored."""
    for part in text.split(";"):
        written, _, value = part.partition("=")
        name = _SPELLINGS.get(written) or written.strip(" \t").lower()
        if name in _FLAGS and name in _UNSET:
            set_attribute(morsel, name, True)  # any value means "yes": user agents ignore it
            continue
        if name not in _UNSET:
            continue
        value = _unquote(value.strip(" \t"))
        if not value.isascii() and name == "domain":
            continue
        if len(value) > MAX_ATTRIBUTE_SIZE // 4 and _octets(value) > MAX_ATTRIBUTE_SIZE:
            continue
        set_attribute(morsel, name, value)


def parse_set_cookie(field: str) -> "Morsel[str] | str":
    """Return the cookie of one ``Set-Cookie`` field value, or the reason why it must be ignored.

    RFC 6265bis section 5.6; see the module's introduction for what is wider.
    """
    field = _as_octets(field)
    if has_control(field):
        return f"control character in {_shown(field)}"
    equals, semicolon = field.find("="), field.find(";")
    if equals < 0 or 0 <= semicolon < equals:
        return f"no name=value in {_shown(field)}"
    name = field[:equals].strip(" \t")
    if _NAME.fullmatch(name) is None:
        return f"illegal cookie name {_shown(name)}"
    value, coded, end = _read_value(field, equals + 1)
    if len(name) + _octets(value) > MAX_COOKIE_SIZE:
        return f"cookie {_shown(name)} is larger than {MAX_COOKIE_SIZE} octets"
    morsel = bare_morsel(name, value, coded)
    if end < len(field):
        _read_attributes(morsel, field[end:])
    return morsel


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def parse_set_cookie_headers(
    headers: Iterable[str], refused: Callable[[str], None] | None = None
) -> list[tuple[str, "Morsel[str]"]]:
    """Return (name, morsel) for each acceptable field of a response, in order.

    ``headers`` holds one ``Set-Cookie`` field value each. A field that must be ignored never affects the others; its
    reason, one short sentence part, goes to ``refused``. Raises nothing for any text.
    """
    cookies = []
    for header in headers:
        parsed = parse_set_cookie(header)
        if not isinstance(parsed, str):
            cookies.append((parsed.key, parsed))
        elif refused is not None:
            refused(parsed)
    return cookies


def parse_cookie_header(header: str) -> list[tuple[str, "Morsel[str]"]]:
    """Return (name, morsel) for each cookie in a ``Cookie`` field value, in order; repeated names are repeated.

    RFC 6265 section 5.4, read generously: a name without ``=`` has an empty value, names that are also attributes
    (``path``, ``expires``) are cookies like any other. A cookie with an illegal name or a control character is left out
    and does not affect the others. Raises nothing for any text.
    """
    header = _as_octets(header)
    cookies = []
    position, length = 0, len(header)
    while position < length:
        semicolon = header.find(";", position)
        if semicolon < 0:
            semicolon = length
        equals = header.find("=", position, semicolon)
        if equals < 0:
            name, value, coded, position = header[position:semicolon], "", "", semicolon
        else:
            name = header[position:equals]
            value, coded, position = _read_value(header, equals + 1)
        semicolon = header.find(";", position)
        position = length if semicolon < 0 else semicolon + 1
        name = name.strip(" \t")
        if _NAME.fullmatch(name) is not None and not has_control(coded):
            cookies.append((name, bare_morsel(name, value, coded)))
    return cookies


def max_age_seconds(text: str) -> int | None:
    """Return the seconds of a ``Max-Age`` attribute, or None when it must be ignored (RFC 6265bis section 5.6.2)."""
    if _MAX_AGE.fullmatch(text) is None:
        return None
    if len(text) > _MAX_AGE_DIGITS:
        return -1 if text[0] == "-" else 10**_MAX_AGE_DIGITS
    return int(text)


def is_ip_host(host: str) -> bool:
    """Tell whether ``host``, without brackets, is an IP address and so has no parent domains."""
    return ":" in host or (host[-1:] in _LAST_OF_NUMBER and _NUMBERS_AND_DOTS.fullmatch(host) is not None)


def domain_match(domain: str, host: str) -> bool:
    """Tell whether ``host`` is ``domain`` or below it (RFC 6265bis section 5.1.3); both in lower case."""
    if host == domain:
        return True
    return host.endswith(domain) and host[-len(domain) - 1 : -len(domain)] == "." and not is_ip_host(host)


def path_match(cookie_path: str, request_path: str) -> bool:
    """Tell whether ``request_path`` is ``cookie_path`` or below it (RFC 6265bis section 5.1.4)."""
    if not request_path.startswith(cookie_path):
        return False
    return len(request_path) == len(cookie_path) or cookie_path.endswith("/") or request_path[len(cookie_path)] == "/"


def default_path(request_path: str) -> str:
    """Return the path of a cookie that named none: the request's directory (RFC 6265bis section 5.1.4)."""
    if not request_path.startswith("/"):
        return "/"
    return request_path[: request_path.rfind("/")] or "/"


def prefix_allows(cookie: "Morsel[str]", secure_origin: bool) -> bool:
    """Tell whether the name prefix of ``cookie``, as it came in a response, keeps its promise.

    ``__Secure-`` promises the Secure attribute and a secure origin; ``__Host-`` also ``Path=/`` and no ``Domain``. Both
    are recognised in any case (RFC 6265bis section 5.7, steps 20 and 21). Other names are always allowed.
    """
    if not cookie.key.startswith("__"):
        return True
    name = cookie.key[:9].lower()
    if name == "__secure-":
        return bool(cookie["secure"]) and secure_origin
    if name.startswith("__host-"):
        return bool(cookie["secure"]) and secure_origin and cookie["path"] == "/" and not cookie["domain"]
    return True


class StoredCookie(NamedTuple):
    """One cookie of a saved jar; ``domain`` and ``path`` are those that the jar filed it under."""

    domain: str
    path: str
    name: str
    morsel: "Morsel[str]"
    host_only: bool
    expires: float | None  # seconds since the epoch; None: ends with the session, or the attributes say


def dump_cookie_file(cookies: Iterable[StoredCookie]) -> str:
    """Return the text of a saved jar: JSON, ``{"domain|path": {name: {...}}}``, as aiohttp 3.14 writes it."""
    import json

    places: dict[str, dict[str, dict[str, str | bool | float]]] = {}
    for domain, path, name, morsel, host_only, expires in cookies:
        record: dict[str, str | bool | float] = {
            "key": morsel.key,
            "value": morsel.value,
            "coded_value": morsel.coded_value,
        }
        # The moment says what Expires and Max-Age said, and Max-Age would start anew at each load.
        record.update((key, value) for key, value in morsel.items() if value and key not in ("expires", "max-age"))
        if host_only:
            record["host_only"] = True
        if expires is not None:
            record["expires_timestamp"] = expires
        places.setdefault(f"{domain}|{path}", {})[name] = record
    return json.dumps(places, indent=2)


def load_cookie_file(data: bytes) -> list[StoredCookie]:
    """Return the cookies of a saved jar: JSON, or the pickle that aiohttp wrote before 3.14.

    No class or function that a pickle names is ever imported or called: cookies are rebuilt from inert stand-ins.
    Raises ``ValueError`` for a file that is larger than `MAX_FILE_SIZE` or whose JSON is no saved jar, ``EOFError`` for
    an empty or truncated one, ``pickle.UnpicklingError`` for everything else.
    """
    if len(data) > MAX_FILE_SIZE:
        raise ValueError(f"the cookie file has {len(data)} bytes, more than MAX_FILE_SIZE ({MAX_FILE_SIZE})")
    if not data.strip():
        raise EOFError("the cookie file is empty")
    if data.lstrip()[:1] in (b"{", b"[", b'"') or data.strip() == b"null":
        return _load_json(data)
    return _load_pickle(data)


def _load_json(data: bytes) -> list[StoredCookie]:
    import json

    cookies = []
    for place, records in _mapping(json.loads(data), "the cookie file").items():
        domain, bar, path = place.partition("|")
        if not bar:
            raise ValueError(f"expected 'domain|path' in the cookie file, got {_shown(place)}")
        for name, record in _mapping(records, f"{_shown(place)} in the cookie file").items():
            where = f"cookie {_shown(name)} of {_shown(place)}"
            fields = _mapping(record, where)
            when = fields.pop("expires_timestamp", None)
            if when is not None and (type(when) not in (int, float) or not abs(when) < 1e18):
                raise ValueError(f"{where}: expires_timestamp must be a finite number, not {_shown(repr(when))}")
            host_only = bool(fields.pop("host_only", not fields.get("domain") and bool(domain)))
            morsel = _rebuild(fields, where)
            if morsel is not None:
                cookies.append(StoredCookie(domain, path, name, morsel, host_only, when))
    return cookies


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object for {what}, got {type(value).__name__}")
    return value


def _rebuild(fields: dict[str, Any], where: str) -> "Morsel[str] | None":
    """Return the morsel of one record, or None when it could not be sent: the others of the file are kept."""
    key, value, coded = texts = [fields.pop(name, None) for name in ("key", "value", "coded_value")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{where}: key, value and coded_value must be strings")
    if has_control(value):
        value = coded  # as in _unquote()
    if not key or ";" in key or has_control(key + coded) or _SURROGATE.search(key + value + coded):
        return None
    morsel = bare_morsel(key, value, coded)
    for name, attribute in fields.items():
        if name not in _UNSET or not attribute:
            continue
        if not isinstance(attribute, str | int):
            raise ValueError(f"{where}: {_shown(name)} must be a string or true")
        if has_control(str(attribute)):
            return None
        morsel[name] = attribute
    return morsel


class _InertDict(dict[Any, Any]):
    """Stands for SimpleCookie, BaseCookie, Morsel and defaultdict while a pickle is read."""

    def __init__(self, *ignored: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        self.state = state


_INERT = {
    (module, name) for module in ("http.cookies", "Cookie") for name in ("BaseCookie", "SimpleCookie", "Morsel")
} | {("collections", "defaultdict")}


def _load_pickle(data: bytes) -> list[StoredCookie]:
    import io
    import pickle

    class InertUnpickler(pickle.Unpickler):
        def __init__(self, file: IO[bytes]) -> None:
            super().__init__(file)

        def find_class(self, module: str, name: str) -> type[_InertDict]:
            if (module, name) in _INERT:
                return _InertDict
            raise pickle.UnpicklingError(
                f"expected a jar saved as JSON or as a pickle of cookies, got a pickle that names {_shown(module)}"
                f".{_shown(name)}; it was not loaded"
            )

    try:
        jar = InertUnpickler(io.BytesIO(data)).load()
        return _from_inert(jar)
    except (pickle.UnpicklingError, EOFError):
        raise
    except Exception as exc:  # the unpickler raises almost anything for damaged input
        raise pickle.UnpicklingError(f"expected a jar saved as JSON or pickle, got {_shown(repr(data[:40]))}") from exc


def _from_inert(jar: Any) -> list[StoredCookie]:
    cookies = []
    for place, morsels in jar.items():
        # Older releases filed by the domain alone and left the path to each morsel.
        domain, path = place if isinstance(place, tuple) else (place, "")
        for name, inert in morsels.items():
            fields = {str(key): value for key, value in inert.items()} | dict(inert.state)
            host_only = not fields.get("domain") and bool(domain)
            morsel = _rebuild(fields, f"cookie {_shown(str(name))}")
            if morsel is not None:
                cookies.append(StoredCookie(str(domain), str(path), str(name), morsel, host_only, None))
    return cookies
