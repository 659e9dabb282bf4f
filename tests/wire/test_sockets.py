"""wire.sockets: addresses, binding and options, with real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from typing import Any

import pytest

from fairlead.wire.sockets import (
    bind_local,
    local_addr_infos,
    numeric_addr_info,
    open_socket,
    set_keepalive,
    set_nodelay,
)

V4, V6 = socket.AF_INET, socket.AF_INET6
TCP = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", (V4, *TCP, ("127.0.0.1", 80))),
        ("::1", (V6, *TCP, ("::1", 80, 0, 0))),
        ("fe80::1%eth0", (V6, *TCP, ("fe80::1%eth0", 80, 0, 0))),
    ],
)
def test_a_numeric_host_becomes_an_address_of_its_family(host: str, expected: Any) -> None:
    assert numeric_addr_info(host, 80) == expected


def test_local_addr_none_means_no_binding() -> None:
    assert local_addr_infos(None) is None


@pytest.mark.parametrize("pair", [("127.0.0.1", 0), ["127.0.0.1", 0]])
def test_local_addr_is_a_pair(pair: Any) -> None:
    assert local_addr_infos(pair) == [(V4, *TCP, ("127.0.0.1", 0))]


@pytest.mark.parametrize("wrong", ["127.0.0.1", b"127.0.0.1", ("127.0.0.1",), 80, ()])
def test_anything_else_as_local_addr_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"local_addr should be a \(host, port\) tuple"):
        local_addr_infos(wrong)


def test_a_socket_is_non_blocking_and_of_the_family_asked_for() -> None:
    with closing(open_socket(numeric_addr_info("127.0.0.1", 0))) as sock:
        assert (sock.family, sock.type, sock.getblocking()) == (V4, socket.SOCK_STREAM, False)


def test_a_factory_makes_the_socket_and_it_is_made_non_blocking() -> None:
    info = numeric_addr_info("127.0.0.1", 0)
    asked = []

    def factory(addr_info: Any) -> socket.socket:
        asked.append(addr_info)
        return socket.socket()

    with closing(open_socket(info, factory)) as sock:
        assert asked == [info]
        assert sock.getblocking() is False


def test_binding_takes_the_first_free_local_address() -> None:
    with closing(socket.socket()) as taken, closing(socket.socket()) as sock:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        candidates = [numeric_addr_info(*taken.getsockname()), numeric_addr_info("127.0.0.1", 0)]
        bind_local(sock, V4, candidates)
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockname() != taken.getsockname()


def test_a_local_address_that_is_taken_is_named_in_the_error() -> None:
    with closing(socket.socket()) as taken, closing(socket.socket()) as sock:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="error while attempting to bind on address") as caught:
            bind_local(sock, V4, [numeric_addr_info(*taken.getsockname())])
        assert caught.value.errno is not None


def test_a_local_address_of_the_other_family_is_named_in_the_error() -> None:
    with closing(socket.socket()) as sock:
        with pytest.raises(OSError, match=r"no local address for an IPv4 peer: local_addr is '::1'"):
            bind_local(sock, V4, [numeric_addr_info("::1", 0)])


class TransportOf(asyncio.BaseTransport):
    """Just enough transport for an option: it gives its socket."""

    def __init__(self, sock: socket.socket | None) -> None:
        super().__init__({"socket": sock})


def test_options_are_set_and_unset_on_tcp() -> None:
    with closing(socket.socket()) as sock:
        transport = TransportOf(sock)
        for enabled in (True, False):
            set_nodelay(transport, enabled)
            set_keepalive(transport, enabled)
            assert bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is enabled
            assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is enabled


def test_options_leave_what_is_no_open_tcp_socket_alone() -> None:
    closed = socket.socket()
    closed.close()
    one, other = socket.socketpair()
    with closing(one), closing(other):
        for sock in (None, closed, one):
            set_nodelay(TransportOf(sock), True)
        set_keepalive(TransportOf(closed))
