"""Checks of the data: a class's are signed off at a revision of them unless an issue blocks it (step 3), a school's on a day (step 20)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from contracts.event import Event
from contracts.roster import DataIssueOpened, DataIssueResolved, IssueKind, RosterDataVerified, VerificationLapsed
from eventkit.decider import Decider, Refused
from roster.domain.classes import SchoolClass, require_declared


@dataclass(frozen=True, slots=True)
class Issue:
    kind: IssueKind
    blocking: bool


@dataclass(frozen=True, slots=True)
class Check:
    """`verified` is the revision signed off, None once the data have changed since. Of `issues`, a resolved one stays as None."""

    verified: int | None = None
    issues: Mapping[str, Issue | None] = field(default_factory=dict[str, Issue | None])

    def same(self, issue: Issue) -> str | None:
        """The id of an open issue that says the same: what exactly is wrong is told to whoever mends it, not to the record."""
        return next((identifier for identifier, one in self.issues.items() if one == issue), None)

    @property
    def blocking(self) -> int:
        return sum(issue is not None and issue.blocking for issue in self.issues.values())


@dataclass(frozen=True, slots=True)
class Verify:
    """`looked_at` is the revision that was checked, `newest` the one at which the class's data stand."""

    class_id: str
    of_class: SchoolClass
    looked_at: int
    newest: int


@dataclass(frozen=True, slots=True)
class Open:
    issue: str
    class_id: str
    of_class: SchoolClass
    about: Issue


@dataclass(frozen=True, slots=True)
class Resolve:
    issue: str
    class_id: str


@dataclass(frozen=True, slots=True)
class Lapse:
    """The class's data have changed, and stand at this revision now."""

    class_id: str
    revision: int


Command = Verify | Open | Resolve | Lapse


def decide(command: Command, state: Check) -> Sequence[Event]:
    match command:
        case Verify():
            return _verify(command, state)
        case Open():
            require_declared(command.class_id, command.of_class)
            if state.same(command.about) is not None:
                return []
            about = command.about
            return [DataIssueOpened(issue=command.issue, class_id=command.class_id, kind=about.kind, blocking=about.blocking)]
        case Resolve():
            if command.issue not in state.issues:
                raise unknown_issue(command.issue)
            if state.issues[command.issue] is None:
                return []
            return [DataIssueResolved(issue=command.issue, class_id=command.class_id)]
        case Lapse():
            if state.verified is None or state.verified >= command.revision:
                return []
            return [VerificationLapsed(class_id=command.class_id, revision=command.revision)]


def _verify(command: Verify, state: Check) -> Sequence[Event]:
    require_declared(command.class_id, command.of_class)
    if command.looked_at != command.newest:
        raise Refused(
            "class.changed-since",
            f"The data of {command.class_id} stand at revision {command.newest}, not {command.looked_at}: look at them again.",
            "roster.classes answers with the newest revision; sign off that one when the data are right.",
        )
    if state.blocking:
        raise Refused(
            "issue.blocking-open",
            f"Blocking issues of {command.class_id} that are open: {state.blocking}. Mend the data and resolve them first.",
            "roster.issues lists them, roster.resolve-issue resolves one.",
        )
    if state.verified == command.looked_at:
        return []
    return [RosterDataVerified(class_id=command.class_id, revision=command.looked_at)]


def unknown_issue(issue: str) -> Refused:
    return Refused(
        "issue.unknown", f"There is no issue {issue} in this school.", "Opening one answers with its id; roster.issues lists them."
    )


def evolve(state: Check, event: Event) -> Check:
    match event:
        case RosterDataVerified():
            return replace(state, verified=event.revision)
        case VerificationLapsed():
            return replace(state, verified=None)
        case DataIssueOpened():
            return replace(state, issues={**state.issues, event.issue: Issue(event.kind, event.blocking)})
        case DataIssueResolved():
            return replace(state, issues={**state.issues, event.issue: None})
        case _:
            return state


CHECK = Decider("check", Check(), decide, evolve)
"""A stream for each class."""


@dataclass(frozen=True, slots=True)
class VerifySchool:
    pass


def _verify_school(command: VerifySchool, verified: bool) -> Sequence[Event]:
    return [] if verified else [RosterDataVerified(class_id=None, revision=None)]


def _verified(verified: bool, event: Event) -> bool:
    return verified or isinstance(event, RosterDataVerified)


REGULAR_CHECK: Decider[VerifySchool, bool] = Decider("regular-check", False, _verify_school, _verified)
"""Step 20. A stream for each day of a school: the check is recorded once a day."""
