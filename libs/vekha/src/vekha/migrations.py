"""The history of each service's tables: to look up where one ends, its program need not be imported."""

from __future__ import annotations

from contracts.event import SERVICES
from eventkit.migrations import Migrations

MIGRATIONS = {service: Migrations("plan_tracker" if service == "plan" else service) for service in SERVICES}
