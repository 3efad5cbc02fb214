"""The entry point of the `vekha` command.

It imports nothing that has to be installed: where newer code was fetched, some of that may be missing yet.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        from vekha.commands import run

        return run(arguments)
    except ModuleNotFoundError as missing:
        text = f"The module {missing.name} is not installed: .venv is older than the code beside it."
        hint = "Bring it up to date: deploy/bootstrap. Each `make` command does that by itself, too."
        if "--json" in arguments:
            print(
                json.dumps({"error": {"code": "installation.outdated", "text": text, "hint": hint, "command_id": None, "incident": None}})
            )
        print(f"installation.outdated: {text}\n{hint}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
