"""`vekha up` as it is, with two things more: its spans are written into a file, and who bears certain names brings accidents.

    python witnessed.py SPANS up --data …

Whenever a person named `BREAKS` is sealed for the vault, a thread dies, a library complains, a warning is given, and the work itself fails,
each with all of the details in its text. At one named `ABORTS` the process dies as from a fault in its memory.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import warnings
from pathlib import Path

from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from eventkit import telemetry
from roster.vault import Details, Sealed, Vault
from vekha.main import main

BREAKS, ABORTS = "Аварийнова", "Катастрофина"

_seal = Vault.seal


def _with_accidents(self: Vault, person: str, details: Details, before: Sealed | None = None) -> Sealed:
    said = json.dumps(details, ensure_ascii=False)
    if details["last_name"] == ABORTS:
        os.abort()
    if details["last_name"] == BREAKS:

        def fail() -> None:
            raise RuntimeError(said)

        thread = threading.Thread(target=fail, name=said)
        thread.start()
        thread.join()
        warnings.warn(said, stacklevel=1)
        logging.getLogger("sqlalchemy.pool").error("cannot take in %s", said)
        fail()
    return _seal(self, person, details, before)


if __name__ == "__main__":
    Vault.seal = _with_accidents
    with Path(sys.argv[1]).open("a", encoding="utf-8") as spans:
        telemetry.set_up(processor=SimpleSpanProcessor(ConsoleSpanExporter(out=spans)))
        ended = main(sys.argv[2:])
    sys.exit(ended)
