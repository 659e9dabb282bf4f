"""The version of the library, for the User-Agent field and for those who ask."""

__version__ = "0.1.0"
