"""``python -m fairlead``: the command line; see ``fairlead.cli``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
