"""Run the command line: `python -m minicnn`."""

import sys

if __name__ == "__main__":
    try:
        from minicnn.cli.launcher import main
    except KeyboardInterrupt:
        print("minicnn: error: interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(main())
