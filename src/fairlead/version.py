"""The version of the library, for the User-Agent and Server fields and for those who ask."""

import sys

__version__ = "0.1.0"

SERVER_SOFTWARE = f"Python/{sys.version_info[0]}.{sys.version_info[1]} fairlead/{__version__}"
"""What the library calls itself in the User-Agent and Server fields."""
