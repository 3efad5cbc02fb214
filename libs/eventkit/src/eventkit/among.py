"""A condition on many values, as one parameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, ColumnElement, bindparam


def among(column: Column[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Whether a column's value is one of these. Given as a list to the statement itself, SQLAlchemy would look at every one."""
    return column.in_(bindparam(f"among_{column.name}", list(values), column.type, expanding=True, unique=True))
