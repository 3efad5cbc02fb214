"""Who may make a call, and about whom: what every service asks before anything else happens (DESIGN 3).

The call's declaration says which roles may make it and how far each reaches; the request's fields say whom it is about. A narrow scope
is held against both by what the service knows at that moment: inside a command, in the transaction of the act itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel
from sqlalchemy import Executable, Row

from contracts.call import NAMING, Call, Request, Role, Scope, named_by
from eventkit.decider import Refused
from eventkit.tokens import Actor

ANONYMOUS = Actor(Role.ANONYMOUS)

Rows = Callable[[Executable], Sequence[Row[Any]]]
"""Reads a service's tables: inside a command `Transaction.rows`, elsewhere over a connection."""

_OF_ONE_SCHOOL = frozenset({Role.DIRECTOR, Role.ADMINISTRATOR, Role.CLASS_TEACHER, Role.STAFF, Role.PUPIL, Role.GUARDIAN})
_OF_ONE_PERSON = (Scope.SELF, Scope.SELF_AND_CHILDREN)


@dataclass(frozen=True)
class Known:
    """What a service knows of who belongs where, as far as its calls need it. Each answers for all that it is asked about at once."""

    people_of_class: Callable[[Rows, str, str, Collection[str]], Collection[str]] | None = None
    """Of these people of a school, those who are a class's pupils or their guardians."""
    teaches: Callable[[Rows, str, str, str], bool] | None = None
    """Whether a member of a school's staff is the teacher of a class now."""
    children: Callable[[Rows, str, str, Collection[str]], Collection[str]] | None = None
    """Of these people of a school, those whom a guardian is linked with as a legal representative."""
    subjects: Callable[[Rows, str, Collection[str]], Mapping[str, str]] | None = None
    """Whose these consents of a school are; one that there is not is left out."""
    municipality: Callable[[Rows, str], str] | None = None
    """In which municipality a school lies. Raises Refused `school.unknown`."""

    def check_sufficient(self, call: Call[Any, Any]) -> None:
        """Raises ValueError where a scope of this call cannot be held against what it names."""
        scopes, named = set(call.scopes.values()), named_by(call.request)
        needed = {
            "teaches": Scope.OWN_CLASS in scopes,
            "people_of_class": Scope.OWN_CLASS in scopes and bool({"person", "consent"} & named),
            "children": Scope.SELF_AND_CHILDREN in scopes and bool({"person", "consent"} & named),
            "subjects": bool({*_OF_ONE_PERSON, Scope.OWN_CLASS} & scopes) and "consent" in named,
            "municipality": Scope.OWN_MUNICIPALITY in scopes and "school" in call.request.model_fields,
        }
        for what, is_needed in needed.items():
            if is_needed and getattr(self, what) is None:
                raise ValueError(f"{call.name} needs to know {what}")


class Reach:
    """How far one actor reaches in one call.

    `look` finds out, and refuses what the request names alone; of a call that answers for each, `check` is asked for each.
    """

    def __init__(self, call: Call[Any, Any], actor: Actor, request: Request, known: Known) -> None:
        self._scope = call.scopes.get(actor.role, Scope.EVERYTHING)
        self._each = call.each
        self._actor = actor
        self._school: str | None = getattr(request, "school", None)
        self._known = known
        self._named = _names(request) if self.is_narrow else {}
        self._inside: set[str] = set()
        self._asked: set[str] = set()
        self._denied: dict[tuple[str, ...], Refused] = {}

    @property
    def is_narrow(self) -> bool:
        """Whether it ends before the school does."""
        return self._scope in (Scope.OWN_CLASS, *_OF_ONE_PERSON)

    @property
    def class_id(self) -> str | None:
        """The one class that it is limited to."""
        return self._actor.scope if self._scope is Scope.OWN_CLASS else None

    @property
    def denials(self) -> Sequence[Refused]:
        """What `check` has refused so far, once for the same names however often they were asked for: a handler may answer each of these
        instead of raising it."""
        return tuple(self._denied.values())

    @property
    def needs_rows(self) -> bool:
        """Whether anything must be looked up: not for a school's own office, which most calls are made by."""
        return self.is_narrow or (self._scope is Scope.OWN_MUNICIPALITY and self._school is not None)

    def look(self, rows: Rows) -> None:
        """Reads who is in reach now. Raises Refused `access.…` where the request is about somebody else, or about nobody at all."""
        if self._scope is Scope.OWN_MUNICIPALITY:
            self._check_municipality(rows)
        if not self.is_narrow:
            return
        self._asked.clear()
        self._inside = self._find(rows)
        if not any(self._named.values()):
            raise self._refusal()
        if not self._each:
            self.check(*(name for names in self._named.values() for name in names))

    def check(self, *named: str) -> None:
        """Raises Refused where one of these people, classes or consents that the request names is out of reach."""
        self._asked.update(named)
        if self.is_narrow and not self._inside.issuperset(named):
            raise self._denied.setdefault(named, self._refusal())

    def check_all_asked(self) -> None:
        """Raises RuntimeError where a call that answers for each has not asked for each: nothing of it may be kept."""
        forgotten = {name for names in self._named.values() for name in names} - self._asked
        if forgotten:
            raise RuntimeError(f"{len(forgotten)} of those named were not held against the caller's scope")

    def _check_municipality(self, rows: Rows) -> None:
        if self._school is None or self._known.municipality is None:
            return
        if self._known.municipality(rows, self._school) != self._actor.scope:
            raise Refused("access.other-municipality", f"School {self._school} does not belong to municipality {self._actor.scope}.")

    def _find(self, rows: Rows) -> set[str]:
        school, own = self._school or self._actor.school or "", self._actor.scope or ""
        consents = self._named.get("consent", set())
        subjects = dict(self._known.subjects(rows, school, consents)) if consents and self._known.subjects is not None else {}
        people = self._named.get("person", set()) | set(subjects.values())
        if self._scope is Scope.OWN_CLASS and not self._teaches(rows, school, own):
            return set()
        inside = {own}
        if self._scope is Scope.OWN_CLASS and people and self._known.people_of_class is not None:
            inside |= set(self._known.people_of_class(rows, school, own, people))
        if self._scope is Scope.SELF_AND_CHILDREN and people - inside and self._known.children is not None:
            inside |= set(self._known.children(rows, school, own, people))
        return inside | {consent for consent in consents if subjects.get(consent) in inside}

    def _teaches(self, rows: Rows, school: str, class_id: str) -> bool:
        """Whether who had signed in is the class's teacher still; an operator who tries the role out is taken for whoever is."""
        role, _, person = (self._actor.principal or "").partition(":")
        return role != Role.STAFF or self._known.teaches is None or self._known.teaches(rows, school, class_id, person)

    def _refusal(self) -> Refused:
        if self._scope is Scope.OWN_CLASS:
            text = f"A class teacher acts for the pupils of {self._actor.scope} and their guardians alone: name them, or the class."
            return Refused("access.other-class", text)
        whose = "yourself alone" if self._scope is Scope.SELF else "yourself and your children alone"
        return Refused("access.other-person", f"You can do this for {whose}. The school's administrator does it for others.")


def check_role(call: Call[Any, Any], actor: Actor) -> None:
    """Raises Refused `access.role` or `access.service` where this role, or this service, may not make this call at all."""
    if actor.role not in call.scopes:
        if actor.role is Role.ANONYMOUS:
            raise Refused("access.no-token", f"{call.name} needs a token.")
        raise Refused("access.role", f"The role of {_words(actor.role)} may not call {call.name}.")
    if actor.role is Role.SERVICE and actor.scope not in call.services:
        raise Refused("access.service", f"Of the services {', '.join(sorted(call.services))} alone may call {call.name}.")


def check_school(actor: Actor, request: Request) -> None:
    """Raises Refused `access.other-school` where the request is about another school than the actor's, or about all of them.

    A service that acts on behalf of a school's office reaches no further than that.
    """
    if actor.school is None:
        if actor.role in _OF_ONE_SCHOOL:
            raise Refused("access.no-school", f"The token of a {_words(actor.role)} must name a school. Ask identity for a new one.")
        own = _school_behind(actor)
    else:
        own = actor.school
    if own is None:
        return
    about: str | None = getattr(request, "school", own)
    if about != own:
        raise Refused("access.other-school", f"This token is for school {own}, not for {about or 'all of them'}.")


def _school_behind(actor: Actor) -> str | None:
    role, _, scope = (actor.on_behalf_of or "").partition(":")
    return scope if role in (Role.DIRECTOR, Role.ADMINISTRATOR) else None


def _names(request: BaseModel) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)

    def gather(value: BaseModel) -> None:
        for name in type(value).model_fields:
            part: Any = getattr(value, name)
            parts = cast("tuple[Any, ...]", part) if isinstance(part, tuple) else (part,)
            if name in NAMING:
                found[NAMING[name]].update(str(one) for one in parts if one is not None)
            for one in parts:
                if isinstance(one, BaseModel):
                    gather(one)

    gather(request)
    return found


def _words(role: Role) -> str:
    return role.value.replace("_", " ")
