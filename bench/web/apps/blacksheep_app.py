"""The application in the words of BlackSheep."""

from __future__ import annotations

from collections.abc import AsyncIterator

from blacksheep import Application, Request, Response, Router, StreamedContent, json, text

from .. import cases

router = Router()


@router.get("/")
async def hello(request: Request) -> Response:
    return text(cases.HELLO)


@router.get("/json")
async def json_answer(request: Request) -> Response:
    return json(cases.JSON_ANSWER)


@router.get("/users/{user}/items/{item}")
async def params(user: str, item: str) -> Response:
    return text(f"{user}:{item}")


@router.post("/post")
async def post(request: Request) -> Response:
    return json(cases.post_answer(await request.json()))


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(cases.STREAM_PIECES):
        yield cases.STREAM_PIECE


@router.get("/stream")
async def stream(request: Request) -> Response:
    return Response(200, content=StreamedContent(b"application/octet-stream", pieces))


@router.post("/upload")
async def upload(request: Request) -> Response:
    body = await request.read()
    return text(str(len(body or b"")))


app = Application(router=router)
app.serve_files(cases.static_directory(), root_path="static", extensions={".bin"})
