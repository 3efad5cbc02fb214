"""Measures: when a step counts a subject, and when that subject is satisfied. What the order's sentences mean, in days (DOMAIN 1).

Each is a pure function of the join of one subject's documents: a seat, a person, a class or the school. All are causal, for they are made
of nothing but sets of days.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from plan_tracker.domain.days import ALWAYS, NEVER, Days, Switch, at_least, both, either, without
from plan_tracker.domain.documents import Account, Decisions, Pupil, SchoolClass, Seat, Staff

RULES: Final = 2
"""Raised when the meaning of a measure changes, so that an answer says by which rules it was given."""


class Sentence(NamedTuple):
    ru: str
    en: str


SENTENCES: Final = {
    "attested": Sentence(
        "Ответственный подтвердил, что шаг выполнен.",
        "Somebody responsible has said that it is done.",
    ),
    "training-attended": Sentence(
        "Все, кто назван для обучения по графику министерства{positions_ru}, его посетили.",
        "Everybody named for a training session of the ministry's schedule{positions_en} has attended it.",
    ),
    "access-received": Sentence(
        "Директор и каждый координатор получили свои данные для доступа.",
        "The director and every coordinator have received their access data.",
    ),
    "data-verified": Sentence(
        "Данные каждого класса проверены в их нынешнем виде: после проверки ничего не менялось, и нет нерешённых блокирующих замечаний.",
        "Every class's data are signed off as they stand: nothing changed since, and no blocking issue is open.",
    ),
    "active-coordinator": Sentence(
        "Среди работающих сотрудников назначено координаторов не меньше {threshold}.",
        "Of the staff, {threshold} or more are appointed coordinators.",
    ),
    "workplaces": Sentence(
        "Число подключённых рабочих мест заявлено и подтверждено и с тех пор не уменьшилось.",
        "The number of connected workplaces is declared and attested, and has not become smaller since.",
    ),
    "school-order": Sentence(
        "Приказ школы зарегистрирован и не отменён.",
        "The school's own order is registered and not revoked.",
    ),
    "coordinators-trained": Sentence(
        "Каждый координатор прошёл очное обучение.",
        "Every coordinator has attended a face-to-face session.",
    ),
    "staff-decided": Sentence(
        "Каждый работающий сотрудник принял решение: согласие или отказ. {withdrawal_ru}",
        "Every active member of staff has decided: granted or refused. {withdrawal_en}",
    ),
    "periods-defined": Sentence(
        "Отчётные периоды внесены для каждой параллели, в которой есть классы, на учебный год этих классов.",
        "Reporting periods are entered for every parallel that has classes, for the classes' year.",
    ),
    "bells-defined": Sentence(
        "Для каждой смены, в которой есть классы, внесено расписание звонков.",
        "Every shift in which there are classes has a bell schedule.",
    ),
    "lists-filled": Sentence(
        "Все обязательные справочники заполнены.",
        "Every required reference list is filled.",
    ),
    "classes-created": Sentence(
        "Каждый заявленный и не закрытый класс создан.",
        "Every declared class that is not closed is created.",
    ),
    "families-decided": Sentence(
        "Есть решение или иное основание для каждого места ученика и для каждого родителя, который связан с учеником или принял решение. "
        "{withdrawal_ru}",
        "There is a decision, or another legal basis, for every pupil's seat and for every guardian linked or decided. {withdrawal_en}",
    ),
    "families-entered": Sentence(
        "На каждом месте без отказа и отзыва внесён ученик: с родителем или с указанной причиной его отсутствия.",
        "Every pupil's seat without refusal or withdrawal has a pupil entered, with a guardian or a reason for none.",
    ),
    "pupils-assigned": Sentence(
        "На каждом месте без отказа и отзыва ученик распределён в открытый класс.",
        "Every pupil's seat without refusal or withdrawal has a pupil assigned to an open class.",
    ),
    "timetables-published": Sentence(
        "У каждого созданного класса есть расписание уроков.",
        "Every created class has a timetable.",
    ),
    "consultations-held": Sentence(
        "Для семей каждого созданного класса проведена консультация.",
        "A consultation was held for the families of every created class.",
    ),
    "credentials-out": Sentence(
        "Каждый, кто дал согласие или обрабатывается на ином основании, получил последний код или зарегистрировал аккаунт.",
        "Everybody with a consent or another basis has received the newest code, or has activated the account.",
    ),
    "accounts-activated": Sentence(
        "Каждый, кто дал согласие или обрабатывается на ином основании, зарегистрировал аккаунт.",
        "Everybody with a consent or another basis has activated the account.",
    ),
    "data-checked": Sentence(
        "Данные проверяются каждый период, снова и снова: этот шаг не заканчивается.",
        "The data are checked in every period, again and again: this is never done.",
    ),
    "activity-rated": Sentence(
        "Недельный рейтинг активности достиг {threshold} из 100 и не был ниже две недели подряд.",
        "The weekly activity rating has reached {threshold} of 100 and was not below that for two weeks running.",
    ),
}
"""What each measure of a plan asks for, for people; what a plan may ask for otherwise stands in braces, for `sentence`."""

_WITHDRAWAL: Final = {
    False: Sentence("Отзыв согласия шаг не открывает.", "A withdrawal does not reopen it."),
    True: Sentence("Отзыв согласия открывает шаг снова.", "A withdrawal reopens it."),
}


def sentence(measure: str, *, threshold: int, positions: Sequence[str], withdrawal_reopens: bool) -> Sentence:
    """What a step asks for by its measure and its plan."""
    withdrawal, also = _WITHDRAWAL[withdrawal_reopens], ", ".join(positions)
    words = {
        "threshold": threshold,
        "withdrawal_ru": withdrawal.ru,
        "withdrawal_en": withdrawal.en,
        "positions_ru": f", и все, кто работает в должностях: {also}" if also else "",
        "positions_en": f", and everybody employed as {also}," if also else "",
    }
    return Sentence(*(text.format_map(words) for text in SENTENCES[measure]))


OF_MANY: Final = (
    "access-received",
    "data-verified",
    "coordinators-trained",
    "staff-decided",
    "periods-defined",
    "bells-defined",
    "classes-created",
    "families-decided",
    "families-entered",
    "pupils-assigned",
    "timetables-published",
    "consultations-held",
    "credentials-out",
    "accounts-activated",
)
"""The measures whose many subjects are the same in every plan; the others look at the school as a whole, or at what the plan names."""

OF_PEOPLE: Final = frozenset(
    {
        "training-attended",
        "access-received",
        "coordinators-trained",
        "staff-decided",
        "families-decided",
        "families-entered",
        "pupils-assigned",
        "credentials-out",
        "accounts-activated",
    }
)
"""The measures that count people: small numbers of them are nobody's business outside the school (DESIGN 3)."""


class Standing(NamedTuple):
    """How one subject stands in one measure."""

    counted: Days
    satisfied: Days
    """A subset of `counted`."""


def standing(counted: Days, satisfied: Days) -> Standing:
    return Standing(counted, both(counted, satisfied))


# ---- The school, its staff and its classes ------------------------------------------------------------------------------


def attested(day: int | None) -> Standing:
    """Steps that no event proves: the school itself; satisfied from the day on which somebody responsible says so."""
    return Standing(ALWAYS, NEVER if day is None else (day,))


def active_coordinator(coordinators: Iterable[Days], threshold: int) -> Standing:
    """Step 4: the school itself; satisfied while enough appointed coordinators are active staff."""
    return Standing(ALWAYS, at_least(threshold, coordinators))


def school_order(orders: Iterable[Days]) -> Standing:
    """Step 6: the school itself; satisfied while an order is in force."""
    return Standing(ALWAYS, at_least(1, orders))


def workplaces(declared: Iterable[tuple[int, int]], attested: Iterable[int]) -> Standing:
    """Step 5: the school itself; satisfied from the day on which there are connected workplaces and their number is attested, until there
    are fewer. `declared` holds from which day how many, in order: of several words on one day the last counts. An attestation on a day on
    which no number is known attests nothing.
    """
    numbers, said = dict(declared), set(attested)
    done = Switch()
    online = attested_with = 0
    for day in sorted({*numbers, *said}):
        online = numbers.get(day, online)
        if day in said:
            attested_with = online
        done.turn(day, 0 < attested_with <= online)
    return Standing(ALWAYS, done.days)


def training_attended(member: Staff, sessions: Iterable[tuple[Days, Days]], required: Days) -> Standing:
    """Step 1: active staff named for a session, or in a position whose holders must attend one; satisfied when no session that the person
    is named for is left to attend. `sessions` holds, for each, when the person is named and since when attended."""
    sessions = list(sessions)
    counted = both(member.active, either(at_least(1, (named for named, _ in sessions)), required))
    to_attend = at_least(1, (without(named, attended) for named, attended in sessions))
    return standing(counted, without(at_least(1, (attended for _, attended in sessions)), to_attend))


def access_received(member: Staff, account: Account) -> Standing:
    """Step 2: the director and the coordinators; satisfied from the first receipt of access data on."""
    return standing(both(member.active, either(member.director, member.coordinator)), account.reached)


def coordinator_trained(member: Staff, face_to_face: Iterable[Days]) -> Standing:
    """Step 7: coordinators; satisfied once they have attended a session face to face."""
    return standing(member.coordinator, at_least(1, face_to_face))


def staff_decided(member: Staff, decided: Days) -> Standing:
    """Step 8: active staff; satisfied from the first decision on."""
    return standing(member.active, decided)


def periods_defined(classes: Iterable[SchoolClass], defined: Days) -> Standing:
    """Step 9: a parallel in the academic year of its classes, while one of them is declared; satisfied when its periods are entered."""
    return standing(at_least(1, (one.declared for one in classes)), defined)


def bells_defined(classes: Iterable[SchoolClass], defined: Days) -> Standing:
    """Step 10: a shift in which there is an open class, or which has a bell schedule; satisfied while it has one."""
    return Standing(either(at_least(1, (one.open for one in classes)), defined), defined)


def list_filled(filled: Days) -> Standing:
    """Step 11: a required reference list; satisfied while it is filled."""
    return Standing(ALWAYS, filled)


def class_arranged(one: SchoolClass, done: Days) -> Standing:
    """Steps 3, 16 and 17: open classes; satisfied while their data are signed off, they have a timetable, a consultation was held."""
    return standing(one.open, done)


def class_created(one: SchoolClass) -> Standing:
    """Step 12: declared classes; satisfied once created."""
    return standing(one.declared, one.created)


# ---- Seats --------------------------------------------------------------------------------------------------------------


class Holder(NamedTuple):
    """Somebody who holds, or held, one seat."""

    held: Days
    """From a decision or from entering on, until leaving."""
    willing: Days
    """Held without a refusal or withdrawal that stands, or on another legal basis."""
    decided: Days
    """A decision or another legal basis."""
    entered: Days
    """Entered, with a guardian or a recorded reason for having none."""
    assigned: Days
    """Assigned to an open class."""


def seats_held(pupil: Pupil, decisions: Decisions) -> tuple[dict[Seat, Days], dict[Seat, Days]]:
    """On which days a person holds which seat, and which seats are gone because that person left and took them along.

    A decision holds a seat before anybody has a name; entering adopts the decision's subject and says the seat again, and then roster's
    word counts.
    """
    if len(decisions.seats) == 1 and len(pupil.moves) <= 1 and (not pupil.moves or pupil.moves[0][1] == decisions.seats[0][1]):
        day, seat = decisions.seats[0]
        return {seat: (min(day, pupil.moves[0][0]) if pupil.moves else day,)}, {}
    held: dict[Seat, Switch] = {}
    gone: dict[Seat, Switch] = {}
    current: Seat | None = None
    entered = False
    for day, by_roster, seat in sorted(
        [(day, False, seat) for day, seat in decisions.seats] + [(day, True, seat) for day, seat in pupil.moves],
        key=lambda move: move[:2],
    ):
        if entered and not by_roster:
            continue
        if current is not None and current != seat:
            held[current].turn(day, False)
            if seat is None:
                gone.setdefault(current, Switch()).turn(day, True)
        if seat is not None:
            held.setdefault(seat, Switch()).turn(day, True)
        current, entered = seat, by_roster and seat is not None
    return {seat: one.days for seat, one in held.items()}, {seat: one.days for seat, one in gone.items()}


def vacant(reached: Days, holders: Sequence[Holder], gone: Iterable[Days]) -> Days:
    """The days on which a seat of the headcount is nobody's yet. Who leaves takes the seat along: it is not vacant again."""
    for holder in holders:
        reached = without(reached, holder.held)
    for days in gone:
        reached = without(reached, days)
    return reached


def seat_decided(free: Days, holders: Sequence[Holder], counted_since: Days) -> Standing:
    """Step 13: the seats 1…headcount and any seat above with a decision or a pupil; satisfied when decided.

    Until somebody has said how many pupils the class has, nobody knows that all have decided: a signature may be older than the headcount.
    """
    counted, satisfied = free, NEVER
    for holder in holders:
        counted = either(counted, holder.held)
        satisfied = either(satisfied, both(holder.held, holder.decided))
    return Standing(counted, both(satisfied, counted_since))


def seat_entered(free: Days, holders: Sequence[Holder]) -> Standing:
    """Step 14: the seats of step 13 less refused and withdrawn; satisfied when a pupil is entered, with a guardian or a reason for none."""
    counted, satisfied = free, NEVER
    for holder in holders:
        counted = either(counted, holder.willing)
        satisfied = either(satisfied, both(holder.willing, holder.entered))
    return Standing(counted, satisfied)


def seat_assigned(free: Days, holders: Sequence[Holder]) -> Standing:
    """Step 15: the seats of step 14; satisfied when the pupil is assigned to an open class."""
    counted, satisfied = free, NEVER
    for holder in holders:
        counted = either(counted, holder.willing)
        satisfied = either(satisfied, both(holder.willing, holder.assigned))
    return Standing(counted, satisfied)


# ---- Guardians, and everybody with an account ------------------------------------------------------------------------------


class Guardian(NamedTuple):
    """Somebody as the guardian of those pupils to whom there ever was a link."""

    here: Days
    """Linked to a pupil of the school."""
    gone: Days
    """Linked only to pupils who have left."""
    basis: Days
    """Linked on another legal basis than consent."""


def guardian(person: str, pupils: Iterable[Pupil]) -> Guardian:
    here = gone = basis = NEVER
    for pupil in pupils:
        link = pupil.guardians.get(person, NEVER)
        here = either(here, without(link, pupil.left))
        gone = either(gone, both(link, pupil.left))
        basis = either(basis, pupil.guardians_basis.get(person, NEVER))
    return Guardian(here, without(gone, here), basis)


def guardian_decided(one: Guardian, decided: Days, counted_since: Days) -> Standing:
    """Step 13: guardians linked or decided, but those whose pupils have all left; satisfied when decided.

    As with a seat, not before a headcount is known: a guardian's signature alone would be all that there is to decide.
    """
    decided = either(decided, one.basis)
    return standing(either(one.here, without(decided, one.gone)), both(decided, counted_since))


def staff_entitled(member: Staff, decisions: Decisions) -> Days:
    """Active staff who granted, and the director and coordinators, who are exempt under step 2."""
    return both(member.active, either(decisions.granted, either(member.director, member.coordinator)))


def guardian_entitled(one: Guardian, decisions: Decisions) -> Days:
    """Linked guardians who granted or have another basis."""
    return both(one.here, either(decisions.granted, one.basis))


def pupil_entitled(held: Days, basis: Days, decisions: Decisions) -> Days:
    """The pupils of step 14, entered or not, who granted or have another basis."""
    return both(held, either(decisions.granted, basis))


def with_account(entitled: Days, account: Account) -> Days:
    """Steps 18 and 19: those entitled to an account, also before they have one, but the blocked.

    Whoever becomes entitled anew after a block (a new consent, employed again) is waited for again, although no new account exists yet.
    """
    if not account.blocked:
        return entitled
    blocked = Switch()
    free = {*account.blocked[1::2], *entitled[::2]}
    for day, on in sorted([(day, False) for day in free] + [(day, True) for day in account.blocked[::2]]):
        blocked.turn(day, on)
    return without(entitled, blocked.days)


def credential_out(counted: Days, account: Account) -> Standing:
    """Step 18: satisfied while the newest code is handed over, or the account activated."""
    return standing(counted, account.received)


def account_activated(counted: Days, account: Account) -> Standing:
    """Step 19: satisfied while the account is activated."""
    return standing(counted, account.active)
