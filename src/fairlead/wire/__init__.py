"""Connections over asyncio: streams, links, names, sockets, TLS, proxies."""
