"""The server: applications, routes, requests, responses, and what runs them.

    from fairlead import web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="Hello")

    app = web.Application()
    app.add_routes([web.get("/", hello)])
    web.run_app(app)
"""

from ..codec.ws_frames import WSCloseCode, WSMsgType
from ..keys import AppKey, RequestKey, ResponseKey
from ..message.body import PayloadRegistry
from . import static as _static  # noqa: F401  these two first: each has the name of a function that must win
from . import view as _view  # noqa: F401
from .abstract import AbstractAccessLogger, AbstractMatchInfo, AbstractRouter, AbstractView
from .access_log import AccessLogger
from .app import Application, CleanupError
from .disconnect import cancel_on_disconnect
from .errors import GracefulExit, NotAppKeyWarning, PayloadAccessError, RequestPayloadError
from .exceptions import *  # noqa: F403
from .exceptions import __all__ as _exceptions
from .file_response import FileResponse
from .forms import FileField
from .middlewares import middleware, normalize_path_middleware
from .protocol import RequestHandler
from .request import BaseRequest, Request
from .resources import (
    AbstractResource,
    DynamicResource,
    MatchedSubAppResource,
    PlainResource,
    PrefixedSubAppResource,
    Resource,
)
from .response import Response, json_bytes_response, json_response
from .routedef import (
    AbstractRouteDef,
    RouteDef,
    RouteTableDef,
    StaticDef,
    delete,
    get,
    head,
    options,
    patch,
    post,
    put,
    route,
    static,
    view,
)
from .router import UrlDispatcher
from .routes import AbstractRoute, ResourceRoute, UrlMappingMatchInfo
from .run import run_app
from .runner import AppRunner, BaseRunner, ServerRunner
from .server import Server
from .sites import BaseSite, NamedPipeSite, SockSite, TCPSite, UnixSite
from .static import StaticResource
from .stream_response import ContentCoding, StreamResponse
from .view import View
from .ws import WebSocketReady, WebSocketResponse

__all__ = (
    *_exceptions,
    "AbstractAccessLogger",
    "AbstractMatchInfo",
    "AbstractResource",
    "AbstractRoute",
    "AbstractRouteDef",
    "AbstractRouter",
    "AbstractView",
    "AccessLogger",
    "AppKey",
    "AppRunner",
    "Application",
    "BaseRequest",
    "BaseRunner",
    "BaseSite",
    "CleanupError",
    "ContentCoding",
    "DynamicResource",
    "FileField",
    "FileResponse",
    "GracefulExit",
    "MatchedSubAppResource",
    "NamedPipeSite",
    "NotAppKeyWarning",
    "PayloadAccessError",
    "PayloadRegistry",
    "PlainResource",
    "PrefixedSubAppResource",
    "Request",
    "RequestHandler",
    "RequestKey",
    "RequestPayloadError",
    "Resource",
    "ResourceRoute",
    "Response",
    "ResponseKey",
    "RouteDef",
    "RouteTableDef",
    "Server",
    "ServerRunner",
    "SockSite",
    "StaticDef",
    "StaticResource",
    "StreamResponse",
    "TCPSite",
    "UnixSite",
    "UrlDispatcher",
    "UrlMappingMatchInfo",
    "View",
    "WSCloseCode",
    "WSMsgType",
    "WebSocketReady",
    "WebSocketResponse",
    "cancel_on_disconnect",
    "delete",
    "get",
    "head",
    "json_bytes_response",
    "json_response",
    "middleware",
    "normalize_path_middleware",
    "options",
    "patch",
    "post",
    "put",
    "route",
    "run_app",
    "static",
    "view",
)
