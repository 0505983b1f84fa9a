"""Run the command line: `python -m minicnn`."""

import sys

from minicnn.cli.launcher import main

if __name__ == "__main__":
    sys.exit(main())
