"""``python -m sktamm``: see `sktamm.cli`."""

import sys

from sktamm.cli import main

if __name__ == "__main__":
    sys.exit(main())
