"""Benchmarks of HTTP servers; run with ``python -m bench.web`` from the top of the repository."""
