"""`python -m npnets`: the same as the command `npnets`."""

import sys

from npnets.cli import main

if __name__ == "__main__":
    sys.exit(main())
