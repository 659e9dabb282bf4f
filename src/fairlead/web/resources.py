"""Resources: the paths that an application answers, and which route of a path answers which method.

In: paths as a programmer writes them (``/users/{id:\\d+}``), host names, sub-applications, and the decoded path of a
request. Out: matches, and the methods that would have been allowed.

A request is matched against ``URL.path_safe``: every escape is decoded but ``%2F`` and ``%25``, so that a slash that is
data never looks like a separator. What a programmer writes is therefore decoded in the same way before it is compared:
``/é``, ``/%C3%A9`` and ``/%c3%a9`` are one path. The values of variable parts are decoded wholly.

A variable part is ``{name}`` (anything but a slash and braces) or ``{name:regular expression}``. RFC 3986 sections 2.1
and 3.3, RFC 9110 section 7.2 (Host).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any, Final, Never

from yarl import URL

from .. import hdrs
from .exceptions import HTTPMethodNotAllowed
from .routes import AbstractRoute, InfoDict, ResourceRoute, UrlMappingMatchInfo

if TYPE_CHECKING:
    from .abstract import AbstractView, ExpectHandler, Handler
    from .app import Application
    from .request import Request

    Resolved = tuple[UrlMappingMatchInfo | None, set[str]]
    Match = Callable[[str], dict[str, str] | None]

# A variable part; its regular expression may hold braces one level deep, as \d{4} does.
_VARIABLE = re.compile(r"(\{[_a-zA-Z][^{}]*(?:\{[^{}]*\}[^{}]*)*\})")


def is_dynamic(path: str) -> bool:
    """Tell whether a path as a programmer writes it has variable parts."""
    return "{" in path or "}" in path


def quote_path(text: str) -> str:
    """Percent-encode what cannot stand in a path; ``%`` is data and is encoded too."""
    return URL.build(path=text, encoded=False).raw_path


def requote_path(text: str) -> str:
    """Percent-encode what cannot stand in a path and keep the escapes that are there."""
    quoted = quote_path(text)
    return quoted.replace("%25", "%") if "%" in text else quoted


def decode_path(text: str) -> str:
    """Decode every escape but ``%2F`` and ``%25``, which is the form that requests are matched in."""
    return URL.build(path=text, encoded=True).path_safe if "%" in text else text


def decode_value(text: str) -> str:
    """Decode what ``decode_path`` left: the text stands alone now, so its slashes can no longer be separators."""
    return text.replace("%2F", "/").replace("%25", "%") if "%" in text else text


def _check_prefix(prefix: str) -> None:
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise AssertionError(f"Prefix must start with a slash, not end with one and not be empty, got {prefix!r}")


class AbstractResource(Sized, Iterable[AbstractRoute]):
    """Something that a router can ask whether it answers a request."""

    def __init__(self, *, name: str | None = None) -> None:
        self._name = name

    @property
    def name(self) -> str | None:
        """The name to ask the router by, None when there is none."""
        return self._name

    @property
    @abstractmethod
    def canonical(self) -> str:
        """The path with its variable parts as ``{name}``: the same text for all requests that the resource answers."""

    @abstractmethod
    def url_for(self, **kwargs: str) -> URL:
        """Return the URL of the resource with its variable parts filled in."""

    @abstractmethod
    async def resolve(self, request: Request) -> Resolved:
        """Return the match or None, and the methods that are allowed for the path of ``request``."""

    @abstractmethod
    def add_prefix(self, prefix: str) -> None:
        """Put ``prefix`` before the path, because the application became part of another one."""

    @abstractmethod
    def get_info(self) -> InfoDict:
        """Return facts about the resource, for logs and tools."""

    def freeze(self) -> None:
        """Learn that the router takes no more routes."""

    @abstractmethod
    def raw_match(self, path: str) -> bool:
        """Tell whether the resource was made from exactly this ``path``, so that a route can join it."""


class Resource(AbstractResource):
    """A path with a route for each method."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._routes: dict[str, ResourceRoute] = {}
        self._any_route: ResourceRoute | None = None
        self._allowed_methods: set[str] = set()

    def add_route(
        self,
        method: str,
        handler: Handler | type[AbstractView],
        *,
        expect_handler: ExpectHandler | None = None,
    ) -> ResourceRoute:
        """Let ``handler`` answer ``method``; ``*`` answers every method that has no route of its own.

        Raises RuntimeError when the method is taken, ValueError when it is not a token.
        """
        route = ResourceRoute(method, handler, self, expect_handler=expect_handler)
        taken = self._routes.get(route.method, self._any_route)
        if taken is not None:
            raise RuntimeError(
                f"Added route will never be executed, method {taken.method} is already registered",
            )
        self.register_route(route)
        return route

    def register_route(self, route: ResourceRoute) -> None:
        """Take a route that was made elsewhere, in the place of one with the same method."""
        if not isinstance(route, ResourceRoute):
            raise AssertionError(f"Instance of Route class is required, got {route!r}")
        if route.method == hdrs.METH_ANY:
            self._any_route = route
        self._allowed_methods.add(route.method)
        self._routes[route.method] = route

    @property
    def methods(self) -> dict[str, ResourceRoute]:
        """The routes by their methods, ``*`` among them; it is the table that is matched against, not a copy."""
        return self._routes

    @abstractmethod
    def _match(self, path: str) -> dict[str, str] | None:
        """Return the values of the variable parts when the decoded ``path`` is this one, else None."""

    async def resolve(self, request: Request) -> Resolved:
        """Return the match or None, and the methods that are allowed for the path of ``request``."""
        values = self._match(request.rel_url.path_safe)
        if values is None:
            return None, set()
        route = self._routes.get(request.method) or self._any_route
        return None if route is None else UrlMappingMatchInfo(values, route), set(self._allowed_methods)

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[ResourceRoute]:
        return iter(self._routes.values())


class PlainResource(Resource):
    """A path without variable parts."""

    def __init__(self, path: str, *, name: str | None = None) -> None:
        if path and not path.startswith("/"):
            raise AssertionError(f"Path must be empty or start with a slash, got {path!r}")
        super().__init__(name=name)
        self._path = path
        self._decoded = decode_path(path)

    def __repr__(self) -> str:
        name = f"{self.name!r} " if self.name is not None else ""
        return f"<PlainResource {name} {self._path}>"

    @property
    def canonical(self) -> str:
        """The path as it was written."""
        return self._path

    @property
    def decoded(self) -> str:
        """The path in the form that requests are matched in."""
        return self._decoded

    def freeze(self) -> None:
        """Read an empty path as the root: only now is it known that no prefix will be put before it."""
        if not self._path:
            self._path = self._decoded = "/"

    def add_prefix(self, prefix: str) -> None:
        """Put ``prefix`` before the path."""
        _check_prefix(prefix)
        self._path = prefix + self._path
        self._decoded = decode_path(self._path)

    def raw_match(self, path: str) -> bool:
        """Tell whether the resource was made from exactly this ``path``."""
        return self._path == path

    def _match(self, path: str) -> dict[str, str] | None:
        return {} if path == self._decoded else None

    def get_info(self) -> InfoDict:
        """Return the path under ``path``."""
        return {"path": self._path}

    def url_for(self) -> URL:  # type: ignore[override]
        """Return the URL of the path, percent-encoded."""
        return URL.build(path=requote_path(self._path), encoded=True)


class DynamicResource(Resource):
    """A path with variable parts; ValueError when the path or a regular expression in it cannot be read."""

    DYN: Final = re.compile(r"\{(?P<var>[_a-zA-Z][_a-zA-Z0-9]*)\}")
    DYN_WITH_RE: Final = re.compile(r"\{(?P<var>[_a-zA-Z][_a-zA-Z0-9]*):(?P<re>.+)\}")
    GOOD: Final = r"[^{}/]+"

    def __init__(self, path: str, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._orig_path = path
        pattern = formatter = ""
        for part in _VARIABLE.split(path):
            if variable := self.DYN.fullmatch(part):
                pattern += f"(?P<{variable['var']}>{self.GOOD})"
                formatter += f"{{{variable['var']}}}"
            elif variable := self.DYN_WITH_RE.fullmatch(part):
                pattern += f"(?P<{variable['var']}>{variable['re']})"
                formatter += f"{{{variable['var']}}}"
            elif is_dynamic(part):
                raise ValueError(f"Invalid path '{path}'['{part}']")
            else:
                pattern += re.escape(decode_path(part))
                formatter += requote_path(part)
        try:
            compiled = re.compile(pattern)
        except re.error as exc:
            raise ValueError(f"Bad pattern '{pattern}': {exc}") from None
        if not formatter.startswith("/"):
            raise AssertionError(f"Path must start with a slash, got {path!r}")
        self._pattern = compiled
        self._formatter = formatter

    def __repr__(self) -> str:
        name = f"{self.name!r} " if self.name is not None else ""
        return f"<DynamicResource {name} {self._formatter}>"

    @property
    def canonical(self) -> str:
        """The path with its variable parts as ``{name}``, percent-encoded."""
        return self._formatter

    def add_prefix(self, prefix: str) -> None:
        """Put ``prefix`` before the path."""
        _check_prefix(prefix)
        self._pattern = re.compile(re.escape(decode_path(prefix)) + self._pattern.pattern)
        self._formatter = prefix + self._formatter

    def raw_match(self, path: str) -> bool:
        """Tell whether the resource was made from exactly this ``path``."""
        return self._orig_path == path

    def _match(self, path: str) -> dict[str, str] | None:
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        if "%" in path:
            return {name: decode_value(value) for name, value in found.groupdict().items()}
        return found.groupdict()

    def get_info(self) -> InfoDict:
        """Return the canonical path under ``formatter`` and the compiled regular expression under ``pattern``."""
        return {"formatter": self._formatter, "pattern": self._pattern}

    def url_for(self, **parts: str) -> URL:
        """Return the URL with ``parts`` filled in and percent-encoded; a slash in a part stays a slash.

        Raises KeyError for a part that is missing, TypeError for one that is not a str.
        """
        for name, value in parts.items():
            if not isinstance(value, str):
                raise TypeError(f"Argument should be str, got {value!r} for {name!r}")
        path = self._formatter.format_map({name: quote_path(value) for name, value in parts.items()})
        # A prefix that was put before the path stands in it as it was written.
        return URL.build(path=requote_path(path), encoded=True)


class PrefixResource(AbstractResource):
    """Everything below a path; subclasses decide what answers it."""

    def __init__(self, prefix: str, *, name: str | None = None) -> None:
        if prefix and not prefix.startswith("/"):
            raise AssertionError(f"Prefix must be empty or start with a slash, got {prefix!r}")
        if prefix != "/" and prefix.endswith("/"):
            raise AssertionError(f"Prefix must not end with a slash, got {prefix!r}")
        super().__init__(name=name)
        self._prefix = requote_path(prefix)
        self._prefix2 = self._prefix + "/"
        self._decoded_prefix = decode_path(self._prefix)

    @property
    def canonical(self) -> str:
        """The prefix, percent-encoded."""
        return self._prefix

    def add_prefix(self, prefix: str) -> None:
        """Put ``prefix`` before the one that is there."""
        _check_prefix(prefix)
        self._prefix = requote_path(prefix) + self._prefix
        self._prefix2 = self._prefix + "/"
        self._decoded_prefix = decode_path(self._prefix)

    def rest_of(self, path: str) -> str | None:
        """Return what follows the prefix and a slash in a decoded ``path``, None when the path lies elsewhere."""
        prefix = self._decoded_prefix
        if not path.startswith(prefix) or path[len(prefix) : len(prefix) + 1] != "/":
            return None
        return path[len(prefix) + 1 :]

    def raw_match(self, prefix: str) -> bool:
        """Return False: nothing joins what has no routes of its own."""
        return False


class PrefixedSubAppResource(PrefixResource):
    """An application that answers everything below a path of another one."""

    def __init__(self, prefix: str, app: Application) -> None:
        super().__init__(prefix)
        self._app = app
        self._add_prefix_to_resources(prefix)

    def __repr__(self) -> str:
        return f"<PrefixedSubAppResource {self._prefix} -> {self._app!r}>"

    def _add_prefix_to_resources(self, prefix: str) -> None:
        router = self._app.router
        for resource in router.resources():
            # The router finds resources by their paths, so it has to forget one whose path changes.
            router.unindex_resource(resource)
            resource.add_prefix(prefix)
            router.index_resource(resource)

    def add_prefix(self, prefix: str) -> None:
        """Put ``prefix`` before the one that is there and before every path of the application."""
        super().add_prefix(prefix)
        self._add_prefix_to_resources(prefix)

    def url_for(self, *args: str, **kwargs: str) -> Never:
        """Raise RuntimeError: an application has many URLs."""
        raise RuntimeError(".url_for() is not supported by sub-application root")

    def get_info(self) -> InfoDict:
        """Return the application under ``app`` and the prefix under ``prefix``."""
        return {"app": self._app, "prefix": self._prefix}

    async def resolve(self, request: Request) -> Resolved:
        """Return what the router of the application finds; an error that it finds is a match too."""
        match = await self._app.router.resolve(request)
        match.add_app(self._app)
        error = match.http_exception
        return match, set(error.allowed_methods) if isinstance(error, HTTPMethodNotAllowed) else set()

    def __len__(self) -> int:
        return len(self._app.router.routes())

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(self._app.router.routes())


class AbstractRuleMatching(ABC):
    """Decides by anything but the path whether a request goes to a sub-application."""

    @abstractmethod
    async def match(self, request: Request) -> bool:
        """Tell whether the request is meant."""

    @abstractmethod
    def get_info(self) -> InfoDict:
        """Return facts about the rule, for logs and tools."""

    @property
    @abstractmethod
    def canonical(self) -> str:
        """The rule as text."""


class Domain(AbstractRuleMatching):
    """Meant are requests whose Host is ``domain``; a port is compared only when the domain names one other than 80.

    Raises TypeError when the domain is not a str, ValueError when it is no host name.
    """

    re_part = re.compile(r"(?!-)[a-z\d-]{1,63}(?<!-)")

    def __init__(self, domain: str) -> None:
        super().__init__()
        self._domain = self.validation(domain)

    @property
    def canonical(self) -> str:
        """The host name in lower case, with its port if it is not 80."""
        return self._domain

    def validation(self, domain: str) -> str:
        """Return ``domain`` in lower case and in ASCII; TypeError or ValueError when it is no host name."""
        if not isinstance(domain, str):
            raise TypeError("Domain must be str")
        domain = domain.rstrip(".").lower()
        if not domain:
            raise ValueError("Domain cannot be empty")
        if "://" in domain:
            raise ValueError("Scheme not supported")
        url = URL(f"http://{domain}")
        host = url.raw_host
        if host is None or not all(self.re_part.fullmatch(part) for part in host.split(".")):
            raise ValueError("Domain not valid")
        return host if url.port == 80 else f"{host}:{url.port}"

    async def match(self, request: Request) -> bool:
        """Tell whether the Host field of the request names the domain; without the field it does not."""
        host = request.headers.get(hdrs.HOST)
        return bool(host) and self.match_domain(host)  # type: ignore[arg-type]

    def match_domain(self, host: str) -> bool:
        """Tell whether a Host field value names the domain."""
        host = host.lower()
        return host == self._domain or host.partition(":")[0] == self._domain

    def get_info(self) -> InfoDict:
        """Return the domain under ``domain``."""
        return {"domain": self._domain}


class MaskDomain(Domain):
    """Like ``Domain``, and ``*`` in it stands for any characters, dots included."""

    re_part = re.compile(r"(?!-)[a-z\d\*-]{1,63}(?<!-)")

    def __init__(self, domain: str) -> None:
        super().__init__(domain)
        host = self._domain.replace(".", r"\.").replace("*", r"[^:]*")
        self._mask = re.compile(rf"{host}(:.*)?", re.DOTALL)

    @property
    def canonical(self) -> str:
        """The regular expression that Host field values are matched with."""
        return self._mask.pattern

    def match_domain(self, host: str) -> bool:
        """Tell whether a Host field value is covered by the mask."""
        return self._mask.fullmatch(host.lower()) is not None


class MatchedSubAppResource(PrefixedSubAppResource):
    """An application that answers every request that a rule picks, before any path is looked at."""

    def __init__(self, rule: AbstractRuleMatching, app: Application) -> None:
        AbstractResource.__init__(self)
        self._prefix = self._decoded_prefix = ""
        self._prefix2 = "/"
        self._app = app
        self._rule = rule

    def __repr__(self) -> str:
        return f"<MatchedSubAppResource -> {self._app!r}>"

    @property
    def canonical(self) -> str:
        """The rule as text."""
        return self._rule.canonical

    def get_info(self) -> InfoDict:
        """Return the application under ``app`` and the rule under ``rule``."""
        return {"app": self._app, "rule": self._rule}

    async def resolve(self, request: Request) -> Resolved:
        """Return what the router of the application finds when the rule picks the request."""
        if not await self._rule.match(request):
            return None, set()
        return await super().resolve(request)


def matches_as(resource: AbstractResource, kind: type[Resource]) -> bool:
    """Tell whether ``resource`` is matched as ``kind`` is, and not by something that a subclass overrides."""
    cls = type(resource)
    return issubclass(cls, kind) and cls.resolve is Resource.resolve and cls._match is kind._match


def asked_by(resource: AbstractResource) -> tuple[Match | None, Mapping[str, ResourceRoute]]:
    """Return how ``resource`` is asked without a coroutine, and its routes; None first when it must be awaited."""
    if isinstance(resource, Resource) and type(resource).resolve is Resource.resolve:
        return resource._match, resource.methods
    return None, {}


def constant_head(resource: AbstractResource) -> str:
    """Return what every path that ``resource`` matches begins with; nothing when that is not known."""
    return decode_path(resource.canonical.partition("{")[0]) if matches_as(resource, DynamicResource) else ""


def routes_of(resources: Iterable[Any]) -> Iterator[AbstractRoute]:
    """Yield the routes of all resources in their order."""
    for resource in resources:
        yield from resource
