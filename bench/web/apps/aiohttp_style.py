"""The application in the words of ``aiohttp.web``; ``fairlead.web`` runs the same code."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .. import cases


def make_app(web: ModuleType) -> Any:
    """Return the application, built with ``aiohttp.web`` or ``fairlead.web``."""

    async def hello(request: Any) -> Any:
        return web.Response(text=cases.HELLO)

    async def json_answer(request: Any) -> Any:
        return web.json_response(cases.JSON_ANSWER)

    async def params(request: Any) -> Any:
        return web.Response(text=f"{request.match_info['user']}:{request.match_info['item']}")

    async def post(request: Any) -> Any:
        return web.json_response(cases.post_answer(await request.json()))

    async def stream(request: Any) -> Any:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(cases.STREAM_PIECES):
            await response.write(cases.STREAM_PIECE)
        await response.write_eof()
        return response

    async def upload(request: Any) -> Any:
        return web.Response(text=str(len(await request.read())))

    app = web.Application(client_max_size=cases.UPLOAD_LIMIT)
    app.router.add_get("/", hello)
    app.router.add_get("/json", json_answer)
    app.router.add_get("/users/{user}/items/{item}", params)
    app.router.add_post("/post", post)
    app.router.add_get("/stream", stream)
    app.router.add_post("/upload", upload)
    app.router.add_static("/static/", cases.static_directory())
    return app
