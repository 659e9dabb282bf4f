"""What a WebSocket message costs, beside aiohttp, websockets and picows: ``python -m bench.ws``."""
