"""The client: session, requests, responses, connectors and what goes with them."""
