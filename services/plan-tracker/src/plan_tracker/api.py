"""The commands of the plan tracker: what a school, and those above it, decide about its plan."""

from contracts.plan import (
    ADOPT_PLAN,
    ADOPT_REVISION,
    ANNUL,
    ATTEST_STEP,
    CANCEL_TRAINING,
    EXTEND_DEADLINE,
    HOLD_CONSULTATION,
    OVERRIDE_CALENDAR,
    RECORD_ATTENDANCE,
    RECOUNT,
    REGISTER_ORDER,
    REVOKE_ORDER,
    REVOKE_WAIVER,
    SCHEDULE_TRAINING,
    WAIVE_STEP,
)
from eventkit.service import Service
from plan_tracker import acts


def register(service: Service) -> None:
    """Makes a service carry out the plan's commands."""
    service.command(ADOPT_PLAN)(acts.adopt)
    service.command(ADOPT_REVISION)(acts.adopt_revision)
    service.command(ATTEST_STEP)(acts.attest)
    service.command(REGISTER_ORDER)(acts.register_order)
    service.command(REVOKE_ORDER)(acts.revoke_order)
    service.command(WAIVE_STEP)(acts.waive)
    service.command(REVOKE_WAIVER)(acts.revoke_waiver)
    service.command(EXTEND_DEADLINE)(acts.extend)
    service.command(OVERRIDE_CALENDAR)(acts.override_calendar)
    service.command(RECOUNT)(acts.recount)
    service.command(SCHEDULE_TRAINING)(acts.schedule_training)
    service.command(CANCEL_TRAINING)(acts.cancel_training)
    service.command(RECORD_ATTENDANCE)(acts.record_attendance)
    service.command(HOLD_CONSULTATION)(acts.hold_consultation)
    service.command(ANNUL)(acts.annul)
