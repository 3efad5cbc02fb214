"""The one way in which what stays with roster is written down, so that an event's digest is of these bytes and no others."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any


def canonical(value: Any) -> str:
    """JSON with sorted names, without spaces and with every letter as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def digest(text: str) -> str:
    """SHA-256 of the text in UTF-8, as hex."""
    return sha256(text.encode()).hexdigest()
