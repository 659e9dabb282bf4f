"""nginx as a peer: a real server with a configuration of its own in a temporary directory.

In: nothing but an installed nginx (Debian's, or any on PATH); tests are skipped where there is none. Out: `Nginx`, with
`url` (plain), `tls_url`. Locations: `/` static files, `/gzip/` the same compressed on the fly, `/short/` with two
requests a connection, `/idle/` closed after a millisecond, `/close/` without keep-alive, `/auth/` basic auth (u:p),
`/redirect/` 302 to `/hello.txt`, `/limit/` 413 above 1 KiB, `/proxy/` to an upstream that the test names, `/on/` and
`/off/` to the same with kept connections and the usual fields of a reverse proxy, with and without buffering, `/ws/` to
the same with the upgrade to a WebSocket, ended after a second without a byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType

import pytest
from tests.peers import tls
from yarl import URL

START_TIMEOUT = 10.0
"""Seconds that nginx has to accept its first connection."""

HELLO = b"hello from nginx\n"
LINES = b"".join(b"line %06d\n" % i for i in range(20_000))

CONFIG = """
daemon off;
master_process off;
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {root}/tmp-body;
    proxy_temp_path {root}/tmp-proxy;
    fastcgi_temp_path {root}/tmp-fastcgi;
    uwsgi_temp_path {root}/tmp-uwsgi;
    scgi_temp_path {root}/tmp-scgi;
    upstream behind {{ server {authority}; keepalive 8; }}
    proxy_http_version 1.1;
    types {{ text/plain txt; application/json json; application/octet-stream bin; }}
    gzip_min_length 1;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {root}/cert.pem;
        ssl_certificate_key {root}/key.pem;
        root {root}/www;
        location / {{ }}
        location /gzip/ {{ alias {root}/www/; gzip on; gzip_types *; }}
        location /short/ {{ alias {root}/www/; keepalive_requests 2; }}
        location /idle/ {{ alias {root}/www/; keepalive_timeout 1ms; }}
        location /close/ {{ alias {root}/www/; keepalive_timeout 0; }}
        location /auth/ {{ alias {root}/www/; auth_basic "nginx"; auth_basic_user_file {root}/passwd; }}
        location /redirect/ {{ return 302 /hello.txt; }}
        location /limit/ {{ client_max_body_size 1k; proxy_pass {upstream}; }}
        location /proxy/ {{ proxy_pass {upstream}; proxy_http_version 1.1; proxy_buffering off; }}
        location /on/ {{ proxy_pass http://behind/; proxy_set_header Connection ""; {forwarded} }}
        location /off/ {{ proxy_pass http://behind/; proxy_set_header Connection ""; {forwarded}
            proxy_buffering off; proxy_request_buffering off; }}
        location /ws/ {{ proxy_pass http://behind/; {forwarded}
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 1s; }}
        location /missing/ {{ return 404 "nothing here\\n"; }}
        location /empty/ {{ return 204; }}
    }}
}}
"""

FORWARDED = """
            client_max_body_size 64m;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Forwarded 'for=$remote_addr;proto=$scheme;host="$http_host"';"""
"""What a proxy in front of a server is commonly told."""


def free_port() -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Nginx:
    """A running nginx; use with `async with`."""

    def __init__(self, upstream: URL | None = None, path: str = "") -> None:
        self.upstream = upstream or URL("http://127.0.0.1:9/")
        self.path = path
        self.root = Path()
        self.port = 0
        self.tls_port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> URL:
        return URL(f"http://127.0.0.1:{self.port}/")

    @property
    def tls_url(self) -> URL:
        return URL(f"https://127.0.0.1:{self.tls_port}/")

    def _write(self) -> None:
        www = self.root / "www"
        www.mkdir()
        (www / "hello.txt").write_bytes(HELLO)
        (www / "lines.txt").write_bytes(LINES)
        (www / "empty.txt").write_bytes(b"")
        (www / "data.json").write_text('{"from": "nginx"}')
        (www / "big.bin").write_bytes(bytes(range(256)) * 8192)
        (self.root / "passwd").write_text("u:{PLAIN}p\n")
        certificate = tls.authority().issue_cert(*tls.NAMES)
        certificate.private_key_and_cert_chain_pem.write_to_path(self.root / "cert.pem")
        certificate.private_key_pem.write_to_path(self.root / "key.pem")
        text = CONFIG.format(
            root=self.root,
            port=self.port,
            tls_port=self.tls_port,
            upstream=self.upstream,
            authority=f"unix:{self.path}" if self.path else f"{self.upstream.host}:{self.upstream.port}",
            forwarded=FORWARDED,
        )
        (self.root / "nginx.conf").write_text(text)

    async def _wait_until_it_accepts(self) -> None:
        assert self._process is not None
        async with asyncio.timeout(START_TIMEOUT):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.tls_port)
                    writer.close()
                    return
                if self._process.returncode is not None:
                    raise RuntimeError(f"nginx did not start: {(self.root / 'error.log').read_text()[-2000:]}")
                await asyncio.sleep(0.01)

    async def __aenter__(self) -> Nginx:
        binary = shutil.which("nginx", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
        if binary is None:
            pytest.skip("nginx is not installed")
        self.root = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="fairlead-nginx-")))
        self.root.chmod(0o755)  # workers may run as another user
        self.port, self.tls_port = free_port(), free_port()
        self._write()
        self._process = await asyncio.create_subprocess_exec(
            binary,
            "-e",
            str(self.root / "error.log"),
            "-p",
            str(self.root),
            "-c",
            str(self.root / "nginx.conf"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await self._wait_until_it_accepts()
        except BaseException:
            await self._stop()
            raise
        return self

    async def _stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        self._stack.close()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._stop()


def nginx(upstream: URL | None = None, path: str = "") -> Nginx:
    """nginx with `/proxy/`, `/limit/`, `/on/` and `/off/` in front of `upstream`; skips where it is not installed.

    With `path`, what is behind `/on/` and `/off/` is the Unix socket there.
    """
    return Nginx(upstream, path)
