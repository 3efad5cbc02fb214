"""What a log line or a span may say: an allow-list of keys, each with the form that its value has to have (DESIGN 2.7).

A forgotten `name=row.last_name` must not end in a log, so nothing is let through for looking harmless: of a value under another key, or
of another form than its key's, only the type is told. A new key is added here, once, with the narrowest form that fits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

_ID = re.compile(r"[A-Za-z0-9_$][A-Za-z0-9_.:$-]{0,127}")
_CODE = re.compile(r"[a-z][a-z0-9]*([.-][a-z0-9]+)*")
_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")
_PLACE = re.compile(r"[A-Za-z0-9_.<> -]{1,80}:([0-9]+|None) [A-Za-z0-9_.<>]{1,80}")  # a file's name, a line, a function

_TEXTS: Mapping[str, re.Pattern[str]] = {
    "event": _CODE,
    "level": _CODE,
    "timestamp": _MOMENT,
    "at": _PLACE,
    "error": _TYPE,
    **dict.fromkeys(("code", "reason", "refused", "why"), _CODE),
    **dict.fromkeys(("day", "week_ends"), _DAY),
    **dict.fromkeys(
        ("call", "connection", "durable", "logger", "reader", "readers_of", "reaction", "server", "service", "source", "stream"), _ID
    ),
    **dict.fromkeys(("actor", "behind", "consent", "erasure", "incident", "job", "message", "review", "school", "whom"), _ID),
}
_NUMBERS = frozenset(
    ("after", "attempts", "bytes", "created", "exit_code", "failures", "first", "had", "last", "left", "lost_from", "position", "rejected")
) | {"status", "why"}
KEYS = frozenset({*_TEXTS, *_NUMBERS})
"""Every key that may be told."""


def allowed(said: Mapping[str, Any]) -> dict[str, Any]:
    """What of it may be told; the rest is replaced by its type."""
    return {key if _TYPE.fullmatch(key) else "unnamed": _told(key, value) for key, value in said.items()}


def _told(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_told(key, one) for one in cast("list[Any]", value)]
    return value if _is_safe(key, value) else f"<{type(value).__name__}>"


def _is_safe(key: str, value: object) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, (int, float)):
        return key in _NUMBERS
    return isinstance(value, str) and key in _TEXTS and _TEXTS[key].fullmatch(value) is not None
