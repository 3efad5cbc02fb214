"""Folders that are lost, or put back from an older copy while the instance is stopped (DESIGN 2.3)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import SERVICES, consent, identity, operations, plan, roster
from contracts.call import Call, Request
from contracts.consent import Decision, SubjectKind
from contracts.plan import STATUS, StatusRequest
from contracts.roster import PersonName, Position
from tests import record
from tests.conftest import Lived, instance
from tests.load import check_running, check_stopped
from tests.school import SCHOOL, digest
from vekha.client import Client
from vekha.failures import Exit, Failure
from vekha.testing import Up, run_binary, running


def lose_the_bus(data: Path, lived: Lived) -> None:
    shutil.rmtree(data / "bus")


def put_an_older_bus_back(data: Path, lived: Lived) -> None:
    shutil.rmtree(data / "bus")
    shutil.copytree(lived.first_day / "bus", data / "bus")


def put_an_older_database_back(data: Path, lived: Lived, service: str) -> None:
    for file in (data / "db").glob(f"{service}.db*"):
        file.unlink()
    for file in (lived.first_day / "db").glob(f"{service}.db*"):
        shutil.copy(file, data / "db")


APPENDS: dict[str, tuple[Call[Any, Any], Request]] = {
    "roster": (
        roster.HIRE_STAFF,
        roster.HireStaff(
            school=SCHOOL, details=PersonName(last_name="Новых", first_name="Имя"), position=Position.OTHER, hired_on="2015-09-01"
        ),
    ),
    "consent": (consent.WITHDRAW, consent.Withdraw(school=SCHOOL, consent_id="c-1")),
    "identity": (identity.ISSUE_CREDENTIALS, identity.IssueCredentials(school=SCHOOL, people=("p-1",))),
    "plan": (plan.REGISTER_ORDER, plan.RegisterOrder(school=SCHOOL, evidence_sha256=digest("order 3"))),
}
"""A command for each service that takes any; notifier takes none."""
