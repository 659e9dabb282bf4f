"""The application in the words of Starlette."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from .. import cases


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(cases.HELLO)


async def json_answer(request: Request) -> JSONResponse:
    return JSONResponse(cases.JSON_ANSWER)


async def params(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.path_params['user']}:{request.path_params['item']}")


async def post(request: Request) -> JSONResponse:
    return JSONResponse(cases.post_answer(await request.json()))


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(cases.STREAM_PIECES):
        yield cases.STREAM_PIECE


async def stream(request: Request) -> StreamingResponse:
    return StreamingResponse(pieces(), media_type="application/octet-stream")


async def upload(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


app = Starlette(
    routes=[
        Route("/", hello),
        Route("/json", json_answer),
        Route("/users/{user}/items/{item}", params),
        Route("/post", post, methods=["POST"]),
        Route("/stream", stream),
        Route("/upload", upload, methods=["POST"]),
        Mount("/static", StaticFiles(directory=cases.static_directory())),
    ]
)
