"""Bodies of calls made from their JSON Schemas: whatever names a school, a person, a class or a consent is chosen by the test."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from contracts.call import NAMING, Call

Choose = Callable[[str], str]
"""An id by what it names: "school", "person", "class", "consent"."""

_TEXTS = ("x-1", "А", "2015/2016", "08:30", "roster", "0" * 64, "273-FZ", "director:school-7", "abcd-efgh-jkmn")
_FORMATS = {"date": "2015-08-17", "date-time": "2015-08-17T09:00:00+03:00"}


def body(call: Call[Any, Any], choose: Choose, *, everything: bool) -> dict[str, Any]:
    """One that the contract admits, as far as its schema says; with `everything` also what may be left out where it names somebody."""
    schema = call.request.model_json_schema()
    return _object(schema, schema.get("$defs", {}), choose, everything)


def _object(schema: dict[str, Any], definitions: dict[str, Any], choose: Choose, everything: bool) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    return {
        name: _value(about, definitions, choose, everything, "school" if name == "school" else NAMING.get(name))
        for name, about in schema.get("properties", {}).items()
        if name in required or (everything and (name == "school" or name in NAMING))
    }


def _value(schema: dict[str, Any], definitions: dict[str, Any], choose: Choose, everything: bool, names: str | None) -> Any:
    if "$ref" in schema:
        return _value(definitions[schema["$ref"].rpartition("/")[2]], definitions, choose, everything, names)
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], definitions, choose, everything, names)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "array":
            return [_value(schema.get("items", {}), definitions, choose, everything, names) for _ in range(schema.get("minItems", 1) or 1)]
        case "object":
            return _object(schema, definitions, choose, everything)
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case "string" if names is not None:
            return choose(names)
        case "string":
            return _FORMATS.get(schema.get("format", "")) or _text(schema)
        case _:
            return "x-1"


def _text(schema: dict[str, Any]) -> str:
    pattern = re.compile(schema.get("pattern", ""))
    fitting = (text for text in _TEXTS if pattern.search(text) and len(text) >= schema.get("minLength", 0))
    return next(fitting, "x-1")
