"""Sans-I/O parsers, serialisers and state machines: bytes and values in, bytes and values out; no clock, no socket."""
