"""fairlead: HTTP for asyncio, with the public API of aiohttp."""

__version__ = "0.1.0"
