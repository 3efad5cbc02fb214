"""The consultations that a school holds for its families (step 17)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

from contracts.event import Event
from contracts.plan import ConsultationHeld
from eventkit.decider import Decider


@dataclass(frozen=True)
class Hold:
    """A consultation for the families of some classes, of whom so many came."""

    day: date
    classes: frozenset[str]
    attendees: int

    @property
    def consultation(self) -> str:
        """The id: of the same day, classes and number there is one consultation, however often it is recorded."""
        return sha256(f"{self.day} {' '.join(sorted(self.classes))} {self.attendees}".encode()).hexdigest()[:32]


Held = frozenset[str]
"""The consultations that were held."""


def _hold(command: Hold, held: Held) -> Sequence[Event]:
    if command.consultation in held:
        return []
    return [
        ConsultationHeld(consultation=command.consultation, class_id=class_id, attendees=command.attendees)
        for class_id in sorted(command.classes)
    ]


def _evolve(held: Held, event: Event) -> Held:
    return held | {event.consultation} if isinstance(event, ConsultationHeld) else held


consultations: Decider[Hold, Held] = Decider("consultations", frozenset(), _hold, _evolve, rests_on=lambda later, earlier: False)
"""One school's consultations."""
