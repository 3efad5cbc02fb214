"""The entry point of the `vekha` command."""

import sys


def main() -> int:
    """Runs the command line on `sys.argv`; returns the exit code."""
    print("vekha: no command is built yet", file=sys.stderr)
    return 2
