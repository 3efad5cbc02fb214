"""Every call has its JSON Schemas, and who may make it stands here to be read and argued about."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from contracts import CALLS, SERVICES, Call
from contracts.call import WIDEST, Reply, Request, Role, Scope, named_by, query
from contracts.operations import READERS

OPERATOR = Role.OPERATOR
DIRECTOR, ADMINISTRATOR, CLASS_TEACHER, STAFF = Role.DIRECTOR, Role.ADMINISTRATOR, Role.CLASS_TEACHER, Role.STAFF
PUPIL, GUARDIAN, MUNICIPALITY, MINISTRY = Role.PUPIL, Role.GUARDIAN, Role.MUNICIPALITY, Role.MINISTRY
EVERYBODY = set(Role) - {Role.SERVICE}
ROSTER, CONSENT, IDENTITY, PLAN, NOTIFIER = SERVICES

WHO_MAY_CALL: Mapping[str, Collection[str]] = {
    # The operator of an embedded instance may make every call, and these alone.
    "roster.open-school": set(),
    "instance.set-clock": set(),
    "instance.advance-clock": set(),
    # The school's office
    "roster.school": {DIRECTOR, ADMINISTRATOR, CONSENT, IDENTITY, NOTIFIER},
    "roster.hire-staff": {DIRECTOR, ADMINISTRATOR},
    "roster.dismiss-staff": {DIRECTOR},
    "roster.appoint-coordinator": {DIRECTOR},
    "roster.relieve-coordinator": {DIRECTOR},
    "roster.declare-class": {DIRECTOR, ADMINISTRATOR},
    "roster.declare-headcount": {DIRECTOR, ADMINISTRATOR},
    "roster.create-class": {ADMINISTRATOR},
    "roster.close-class": {ADMINISTRATOR},
    "roster.assign-class-teacher": {DIRECTOR, ADMINISTRATOR},
    "roster.enrol-pupil": {ADMINISTRATOR},
    "roster.pupil-left": {DIRECTOR, ADMINISTRATOR},
    "roster.link-guardian": {ADMINISTRATOR},
    "roster.unlink-guardian": {ADMINISTRATOR},
    "roster.record-no-guardian": {ADMINISTRATOR},
    "roster.assign-pupil": {ADMINISTRATOR},
    "roster.roll-over-class": {ADMINISTRATOR},
    "roster.roll-over-year": {ADMINISTRATOR},
    "roster.declare-workplaces": {DIRECTOR},
    "roster.define-periods": {ADMINISTRATOR},
    "roster.define-bells": {ADMINISTRATOR},
    "roster.delete-bells": {ADMINISTRATOR},
    "roster.fill-list": {ADMINISTRATOR},
    "roster.clear-list": {ADMINISTRATOR},
    "roster.publish-timetable": {ADMINISTRATOR},
    "roster.withdraw-timetable": {ADMINISTRATOR},
    "roster.verify-data": {DIRECTOR, ADMINISTRATOR},
    "roster.open-issue": {DIRECTOR, ADMINISTRATOR},
    "roster.resolve-issue": {DIRECTOR, ADMINISTRATOR},
    "roster.issues": {DIRECTOR, ADMINISTRATOR},
    "roster.reference-list": {DIRECTOR, ADMINISTRATOR, CLASS_TEACHER},
    "roster.timetable": {DIRECTOR, ADMINISTRATOR, CLASS_TEACHER},
    "roster.annul": {DIRECTOR},
    "roster.upload": {ADMINISTRATOR},
    "roster.import": {ADMINISTRATOR},
    "roster.import-status": {ADMINISTRATOR},
    "roster.export": {DIRECTOR, ADMINISTRATOR},
    "roster.export-part": {DIRECTOR, ADMINISTRATOR},
    # Taking an import back, and finding its id, the office does
    "roster.roll-back-import": {DIRECTOR, ADMINISTRATOR},
    "roster.imports": {DIRECTOR, ADMINISTRATOR},
    "roster.reviews": {ADMINISTRATOR},
    "roster.settle-review": {ADMINISTRATOR},
    # Ids are for whoever works with them, names for the office and for services that act for somebody
    "roster.people": {DIRECTOR, ADMINISTRATOR, CLASS_TEACHER},
    "roster.classes": {DIRECTOR, ADMINISTRATOR, CLASS_TEACHER, CONSENT, IDENTITY, NOTIFIER},
    "roster.person": {DIRECTOR, ADMINISTRATOR, NOTIFIER},
    "roster.by-snils": {IDENTITY},
    "roster.persons": {DIRECTOR, ADMINISTRATOR, CONSENT, IDENTITY},
    "roster.with-address": {IDENTITY},
    # What is held on somebody, and who has read it, is told to the office and to whom it is about
    "roster.journal": {DIRECTOR, ADMINISTRATOR, STAFF, PUPIL, GUARDIAN},
    "roster.dossier": {DIRECTOR, ADMINISTRATOR, STAFF, PUPIL, GUARDIAN},
    # Consents are collected by the school and withdrawn by whoever gave them
    "consent.record-decision": {ADMINISTRATOR, CLASS_TEACHER},
    "consent.record-decisions": {ADMINISTRATOR, CLASS_TEACHER, ROSTER},
    "consent.judge-decisions": {ADMINISTRATOR, ROSTER},
    "consent.request": {ADMINISTRATOR, CLASS_TEACHER},
    "consent.forms": {DIRECTOR, ADMINISTRATOR, CLASS_TEACHER},
    "consent.receipt": {ADMINISTRATOR, STAFF, PUPIL, GUARDIAN},
    "consent.withdraw": {ADMINISTRATOR, STAFF, PUPIL, GUARDIAN},
    # What never was valid the office says
    "consent.invalidate": {DIRECTOR, ADMINISTRATOR},
    "consent.invalidate-decisions": {ROSTER},
    "consent.status": {DIRECTOR, ADMINISTRATOR},
    # The director orders that somebody is forgotten at once; the office can prove it
    "consent.order-erasure": {DIRECTOR},
    "consent.erasure": {DIRECTOR, ADMINISTRATOR},
    "consent.act-of-destruction": {DIRECTOR, ADMINISTRATOR},
    # Accounts: whoever holds a code needs no role
    "identity.issue-credentials": {ADMINISTRATOR, CLASS_TEACHER},
    "identity.print-slips": {ADMINISTRATOR, CLASS_TEACHER},
    "identity.hand-over": {ADMINISTRATOR, CLASS_TEACHER},
    # Many codes at once are replaced by two people, of whom the second is of the office
    "identity.propose-reissue": {ADMINISTRATOR, CLASS_TEACHER},
    "identity.confirm-reissue": {DIRECTOR, ADMINISTRATOR},
    "identity.reissue": {DIRECTOR, ADMINISTRATOR},
    "identity.activate": EVERYBODY,
    "identity.begin-esia": {Role.ANONYMOUS},
    "identity.finish-esia": EVERYBODY,
    "identity.sign-in": EVERYBODY,
    "identity.change-password": EVERYBODY,
    # Links go by mail: notifier takes each once, and says what became of it
    "identity.mail-links": {ADMINISTRATOR, CLASS_TEACHER},
    "identity.take-link": {NOTIFIER},
    "identity.record-mailing": {NOTIFIER},
    "identity.activate-link": EVERYBODY,
    "identity.revoke-credentials": {ADMINISTRATOR},
    "identity.account": {DIRECTOR, ADMINISTRATOR},
    # The operator brings who was active from the portal; what comes of it concerns the office
    "identity.note-activity": set(),
    "identity.activity": {DIRECTOR, ADMINISTRATOR},
    "identity.annul": {ADMINISTRATOR},
    "identity.token": set(),
    # What identity signs in words of its own, for who audits
    "identity.checkpoint": set(),
    # The plan: the director answers for it, the ministry may start it, municipality and ministry see states and counts
    "plan.adopt-plan": {DIRECTOR, MINISTRY},
    "plan.adopt-revision": {DIRECTOR, MINISTRY},
    "plan.recount": {DIRECTOR, MUNICIPALITY, MINISTRY},
    "plan.override-calendar": {DIRECTOR, MUNICIPALITY, MINISTRY},
    "plan.waive-step": {MUNICIPALITY, MINISTRY},
    "plan.revoke-waiver": {MUNICIPALITY, MINISTRY},
    "plan.extend-deadline": {DIRECTOR, MUNICIPALITY, MINISTRY},
    "plan.schedule-training": {DIRECTOR, MINISTRY},
    "plan.cancel-training": {DIRECTOR, MINISTRY},
    "plan.record-attendance": {DIRECTOR, ADMINISTRATOR},
    "plan.hold-consultation": {ADMINISTRATOR},
    "plan.attest-step": {DIRECTOR, ADMINISTRATOR},
    "plan.register-order": {DIRECTOR},
    "plan.revoke-order": {DIRECTOR},
    "plan.status": {DIRECTOR, ADMINISTRATOR, CLASS_TEACHER, MUNICIPALITY, MINISTRY},
    "plan.annul": {DIRECTOR},
    "plan.diff": {DIRECTOR, ADMINISTRATOR, CLASS_TEACHER, MUNICIPALITY, MINISTRY},
    "plan.explain": {DIRECTOR, ADMINISTRATOR, CLASS_TEACHER, MUNICIPALITY, MINISTRY},
    "notifier.outbox": {DIRECTOR, ADMINISTRATOR},
    "notifier.preview": {DIRECTOR, ADMINISTRATOR},
    # The postmaster's program reads what came back, with the operator's token
    "notifier.report-bounce": set(),
    "plan.steps": {DIRECTOR, ADMINISTRATOR, NOTIFIER},
    "plan.announced": {NOTIFIER},
    "plan.calendar-feed": {DIRECTOR, ADMINISTRATOR, CLASS_TEACHER},
    "plan.notices-ahead": {NOTIFIER},
    "plan.own-dates": {NOTIFIER},
    "plan.people-due": {NOTIFIER},
    "instance.clock": EVERYBODY,
    # What every service answers about itself: to who reads its log, to whose logs it reads, and to who makes the dossier
    **{f"{service}.{verb}": readers for service, readers in READERS.items() for verb in ("head", "read-log", "recognize")},
    **{f"{service}.health": {other for other in SERVICES if service in READERS[other]} for service in SERVICES},
    **{f"{service}.held": {ROSTER} - {service} for service in SERVICES},
    **{
        f"{service}.{verb}": set[Role]()
        for service in SERVICES
        for verb in ("parked", "show-parked", "retry-parked", "skip-parked", "rotate-key", "timers", "move-time", "settle")
    },
    **{f"{service}.projections": set[Role]() for service in SERVICES},
    **{f"{service}.{verb}-projection": set[Role]() for service in SERVICES for verb in ("rebuild", "switch", "drop")},
}

HOW_FAR: dict[str, dict[Role, Scope]] = {
    # Gates 13 and 15→18: a class teacher acts for the own class
    "consent.record-decision": {CLASS_TEACHER: Scope.OWN_CLASS},
    "consent.record-decisions": {CLASS_TEACHER: Scope.OWN_CLASS},
    "consent.request": {CLASS_TEACHER: Scope.OWN_CLASS},
    "consent.forms": {CLASS_TEACHER: Scope.OWN_CLASS},
    "identity.issue-credentials": {CLASS_TEACHER: Scope.OWN_CLASS},
    "identity.print-slips": {CLASS_TEACHER: Scope.OWN_CLASS},
    "identity.hand-over": {CLASS_TEACHER: Scope.OWN_CLASS},
    "identity.mail-links": {CLASS_TEACHER: Scope.OWN_CLASS},
    "identity.propose-reissue": {CLASS_TEACHER: Scope.OWN_CLASS},
    "roster.people": {CLASS_TEACHER: Scope.OWN_CLASS},
    # What is held on somebody
    "roster.journal": {STAFF: Scope.SELF, PUPIL: Scope.SELF, GUARDIAN: Scope.SELF_AND_CHILDREN},
    "roster.dossier": {STAFF: Scope.SELF, PUPIL: Scope.SELF, GUARDIAN: Scope.SELF_AND_CHILDREN},
    # A family's decision is the family's to take back
    "consent.receipt": {STAFF: Scope.SELF, PUPIL: Scope.SELF, GUARDIAN: Scope.SELF_AND_CHILDREN},
    "consent.withdraw": {STAFF: Scope.SELF, PUPIL: Scope.SELF, GUARDIAN: Scope.SELF_AND_CHILDREN},
}
"""Where a role reaches less far than the widest that it can."""

OF_THE_WHOLE_SCHOOL = {"roster.timetable": {CLASS_TEACHER}}
"""Where somebody who is limited elsewhere may name any class of the school: a timetable hangs in the hall."""

every_call = pytest.mark.parametrize("call", CALLS.values(), ids=lambda call: call.name)


def test_who_may_make_which_call() -> None:
    declared = {name: {*call.allowed, *call.services} - {Role.SERVICE} for name, call in CALLS.items()}
    assert declared == {name: {OPERATOR, *who} for name, who in WHO_MAY_CALL.items()}


@every_call
def test_a_call_is_open_to_services_only_by_their_names(call: Call[Any, Any]) -> None:
    assert (Role.SERVICE in call.allowed) == bool(call.services)


@pytest.mark.parametrize(
    "who", [{"who": (Role.SERVICE,)}, {"who": tuple(Role), "services": (ROSTER,)}, {"who": (), "services": ("portal",)}]
)
def test_a_call_for_services_that_names_none_or_an_unknown_one_is_not_declared(who: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="name each service"):
        query("roster.whoever", Request, Reply, summary="For whoever", **who)
    assert "roster.whoever" not in CALLS


def test_how_far_each_role_reaches_in_which_call() -> None:
    narrower = {name: {role: scope for role, scope in call.scopes.items() if scope is not WIDEST[role]} for name, call in CALLS.items()}
    assert {name: roles for name, roles in narrower.items() if roles} == HOW_FAR


@every_call
def test_a_call_that_names_people_or_classes_says_how_far_those_reach_who_are_not_the_schools_office(call: Call[Any, Any]) -> None:
    limited = {CLASS_TEACHER, STAFF, PUPIL, GUARDIAN} & call.allowed - OF_THE_WHOLE_SCHOOL.get(call.name, set())
    if named_by(call.request):
        assert {role for role in limited if call.scopes[role] in (Scope.OWN_SCHOOL, Scope.EVERYTHING)} == set()


@every_call
def test_every_call_has_a_json_schema_for_both_of_its_bodies(call: Call[Any, Any]) -> None:
    request, reply = call.request.model_json_schema(), call.reply.model_json_schema(mode="serialization")
    assert request["type"] == "object"
    assert request["additionalProperties"] is False
    assert "$ref" in reply or reply["type"] == "object"


@every_call
def test_a_call_is_addressed_to_one_of_the_services_and_says_what_it_does(call: Call[Any, Any]) -> None:
    assert call.service in {*SERVICES, "instance"}
    assert call.subject == f"call.{call.name}"
    assert call.summary
    assert not call.summary.endswith(".")


@every_call
def test_an_act_has_a_reply_that_can_be_kept_and_read_again(call: Call[Any, Any]) -> None:
    """A repeated command answers with its kept reply, so a reply must say whatever it needs without its secrets."""
    properties: dict[str, dict[str, Any]] = call.reply.model_json_schema().get("properties", {})
    secrets = {name for name, schema in properties.items() if schema.get("secret")}
    required = {name for name, field in call.reply.model_fields.items() if field.is_required()}
    assert not call.command or not secrets & required


def test_a_call_is_declared_once() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        query("roster.school", Request, Reply, (), "Again")


def test_a_misspelt_field_of_a_request_is_refused() -> None:
    with pytest.raises(ValueError, match="scool"):
        CALLS["roster.school"].request.model_validate({"scool": "school-7"})
