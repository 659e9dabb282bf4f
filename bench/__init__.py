"""Benchmarks: fairlead beside other HTTP clients for Python, against one local server; see ``bench/README.md``."""
