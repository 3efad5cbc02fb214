"""How a week is rated: who counts, who was active, and what score comes of it (step 21, DOMAIN 7)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.identity import SchoolActivityRated
from contracts.roster import Position
from eventkit.testing import given
from identity.domain.gates import Person
from identity.domain.rating import RATINGS, Group, Groups, Rate, Register, Standing, groups

SUNDAY = date(2015, 9, 13)
NEXT_SUNDAY = date(2015, 9, 20)
LONG_AGO = date(2015, 8, 24)
IN_USE = Standing(in_use=True)
GRADES = {"4a": 4, "5a": 5, "11a": 11}


def before(*days: int) -> list[date]:
    """The days so many days before Sunday."""
    return [SUNDAY - timedelta(days=day) for day in days]


def teacher(**more: object) -> Person:
    return Person(**{"position": Position.TEACHER, "consent": "granted", **more})  # pyright: ignore[reportArgumentType] -- fields of a person


def pupil(class_id: str = "5a", *guardians: str, **more: object) -> Person:
    known: dict[str, object] = {"pupil": True, "classes": {class_id}, "guardians": set(guardians), "consent": "granted", **more}
    return Person(**known)  # pyright: ignore[reportArgumentType] -- fields of a person


def guardian(**more: object) -> Person:
    return Person(**{"guardian": True, "consent": "granted", **more})  # pyright: ignore[reportArgumentType] -- fields of a person


def counted(
    people: Mapping[str, Person], *, days: Mapping[str, Sequence[date]] | None = None, accounts: Mapping[str, Standing] | None = None
) -> Groups:
    """The groups of a school all of whose people have accounts in use where nothing else is said."""
    standing = dict.fromkeys(people, IN_USE) if accounts is None else accounts
    return groups(Register(people=people, grades=GRADES, accounts=standing, days=days or {}), SUNDAY)


# Teachers.


@pytest.mark.parametrize(
    ("days", "is_active"),
    [(before(0, 3, 6), True), (before(0, 1, 2, 3), True), (before(0, 1), False), (before(0, 1, 7), False), (before(-1, 0, 1), False)],
    ids=["three days", "more", "two", "one of three too early", "one of three too late"],
)
def test_a_teacher_is_active_on_three_of_the_last_seven_days(days: list[date], is_active: bool):
    assert counted({"t": teacher()}, days={"t": days}).teachers == Group(int(is_active), 1)


def test_only_teachers_are_counted_as_teachers():
    others = {f"s-{position}": Person(position=position, consent="granted") for position in Position if position is not Position.TEACHER}
    assert counted(others).teachers == Group(0, 0)


def test_a_teacher_who_has_not_been_given_a_code_counts():
    assert counted({"t": teacher()}, accounts={}).teachers == Group(0, 1)


# Families.


@pytest.mark.parametrize(("days", "is_active"), [(before(13), True), (before(14), False), (before(0), True), (before(-1), False)])
def test_a_family_is_active_where_a_guardian_was_on_one_of_the_last_fourteen_days(days: list[date], is_active: bool):
    people = {"p": pupil("5a", "mother", "father"), "mother": guardian(), "father": guardian()}
    assert counted(people, days={"father": days}).families == Group(int(is_active), 1)


def test_families_are_counted_by_pupil():
    people = {"p": pupil("4a", "m"), "q": pupil("5a", "m"), "r": pupil("5a", "n"), "m": guardian(), "n": guardian()}
    assert counted(people, days={"m": before(5)}).families == Group(2, 3)


def test_a_pupil_without_a_consenting_guardian_has_no_family_to_count():
    people = {"p": pupil("5a"), "q": pupil("5a", "m"), "m": guardian(consent="refused")}
    assert counted(people, days={"m": before(1)}).families == Group(0, 0)


def test_one_consenting_guardian_is_enough_for_a_family_to_count():
    people = {"p": pupil("5a", "m", "f"), "m": guardian(consent="refused"), "f": guardian()}
    assert counted(people, days={"m": before(1)}).families == Group(0, 1)


# Pupils.


@pytest.mark.parametrize(("class_id", "counts"), [("4a", False), ("5a", True), ("11a", True), ("closed", False)])
def test_the_pupils_of_grades_five_to_eleven_count(class_id: str, counts: bool):
    assert counted({"p": pupil(class_id)}, days={"p": before(6)}).pupils == Group(int(counts), int(counts))


@pytest.mark.parametrize(("days", "is_active"), [(before(6), True), (before(7), False), (before(0, 6), True)])
def test_a_pupil_is_active_on_one_of_the_last_seven_days(days: list[date], is_active: bool):
    assert counted({"p": pupil()}, days={"p": days}).pupils == Group(int(is_active), 1)


@pytest.mark.parametrize("account", [Standing(), None], ids=["blocked or not handed over", "none"])
def test_a_pupil_without_an_account_does_not_count(account: Standing | None):
    assert counted({"p": pupil()}, accounts={} if account is None else {"p": account}).pupils == Group(0, 0)


# Who is left out.


@pytest.mark.parametrize("consent", [None, "refused", "withdrawn", "expired", "invalidated"])
def test_whoever_has_no_consent_that_holds_is_left_out(consent: str | None):
    people = {"t": teacher(consent=consent), "p": pupil("5a", "m", consent=consent), "m": guardian(consent=consent)}
    everywhere = {person: before(0, 1, 2) for person in people}
    assert counted(people, days=everywhere) == Groups(Group(0, 0), Group(0, 0), Group(0, 0))


def test_another_legal_basis_stands_for_a_consent():
    people = {"p": pupil("5a", "m", consent=None, legal_basis=True), "m": guardian(consent="refused", legal_basis=True)}
    assert counted(people)[1:] == (Group(0, 1), Group(0, 1))


@pytest.mark.parametrize(("received", "counts"), [(13, False), (14, True), (0, False), (30, True)])
def test_whoever_has_received_a_code_is_left_out_for_fourteen_days(received: int, counts: bool):
    people = {"t": teacher(), "p": pupil("5a", "m"), "m": guardian()}
    [day] = before(received)
    one = Group(0, int(counts))
    assert counted(people, accounts=dict.fromkeys(people, Standing(received_on=day))) == Groups(one, one, one)


def test_whoever_has_registered_within_the_term_counts_at_once():
    people = {"t": teacher(), "p": pupil("5a", "m"), "m": guardian()}
    active = {person: before(0, 1, 2) for person in people}
    assert counted(people, days=active) == Groups(Group(1, 1), Group(1, 1), Group(1, 1))


def test_a_guardian_in_the_own_term_leaves_the_family_to_the_other_one():
    people = {"p": pupil("5a", "m", "f"), "m": guardian(), "f": guardian()}
    [yesterday] = before(1)
    in_term = Standing(received_on=yesterday)
    assert counted(people, accounts={"m": in_term, "f": IN_USE}, days={"f": before(2)}).families == Group(1, 1)
    assert counted(people, accounts={"m": in_term, "f": in_term}).families == Group(0, 0)


# The score.


def rate(teachers: tuple[int, int], families: tuple[int, int], pupils: tuple[int, int], week_ends: date = SUNDAY) -> Rate:
    return Rate(week_ends, Groups(Group(*teachers), Group(*families), Group(*pupils)))


def rated(score: int, teachers: int | None, families: int | None, pupils: int | None, week_ends: date = SUNDAY) -> SchoolActivityRated:
    return SchoolActivityRated(week_ends=week_ends, score=score, teachers=teachers, families=families, pupils=pupils)


def test_half_of_the_points_are_the_teachers_three_tenths_the_families_two_tenths_the_pupils():
    given(RATINGS).when(rate((10, 10), (0, 10), (0, 10))).then(rated(50, 100, 0, 0))
    given(RATINGS).when(rate((0, 10), (10, 10), (0, 10))).then(rated(30, 0, 100, 0))
    given(RATINGS).when(rate((0, 10), (0, 10), (10, 10))).then(rated(20, 0, 0, 100))


def test_score_and_shares_are_rounded_down():
    given(RATINGS).when(rate((2, 3 * 2), (5, 6), (5, 7))).then(rated(55, 33, 83, 71))  # 16,67 + 25 + 14,29
    given(RATINGS).when(rate((6, 7), (6, 7), (6, 7))).then(rated(85, 85, 85, 85))


def test_a_score_of_exactly_seventy_is_seventy():
    given(RATINGS).when(rate((7, 10), (7, 10), (7, 10))).then(rated(70, 70, 70, 70))


def test_a_group_under_five_does_not_count_and_the_others_share_its_points():
    given(RATINGS).when(rate((4, 4), (5, 5), (0, 5))).then(rated(60, None, 100, 0))  # 30 of 50
    given(RATINGS).when(rate((5, 10), (10, 10), (0, 0))).then(rated(68, 50, 100, None))  # (25 + 30) of 80


def test_a_group_that_alone_counts_is_rated_unless_its_share_singles_anybody_out():
    given(RATINGS).when(rate((0, 0), (6, 12), (4, 4))).then(rated(50, None, 50, None))
    given(RATINGS).when(rate((0, 0), (5, 5), (0, 0))).then(rated(100, None, 100, None))
    given(RATINGS).when(rate((0, 6), (1, 4), (0, 0))).then(rated(0, 0, None, None))
    for few in ((1, 10), (4, 12), (9, 10), (8, 12), (4, 5)):
        given(RATINGS).when(rate(few, (3, 4), (0, 0))).then_nothing_happens()


def test_where_no_group_counts_nothing_is_rated():
    given(RATINGS).when(rate((0, 0), (0, 0), (0, 0))).then_nothing_happens()
    given(RATINGS).when(rate((4, 4), (3, 4), (0, 1))).then_nothing_happens()


def test_a_week_is_rated_once_and_the_next_one_again():
    first = rated(50, 100, 0, 0)
    given(RATINGS, first).when(rate((0, 10), (0, 10), (0, 10))).then_nothing_happens()
    given(RATINGS, first).when(rate((10, 10), (0, 10), (0, 10), SUNDAY - timedelta(days=7))).then_nothing_happens()
    given(RATINGS, first).when(rate((10, 10), (0, 10), (0, 10), NEXT_SUNDAY)).then(rated(50, 100, 0, 0, NEXT_SUNDAY))


# Laws.

sizes = st.integers(0, 40)
some_groups = st.builds(Groups, *[st.tuples(sizes, sizes).map(lambda pair: Group(min(pair), max(pair)))] * 3)


def score_of(found: Groups) -> int | None:
    events = RATINGS.decide(Rate(SUNDAY, found), None)
    return next((event.score for event in events if isinstance(event, SchoolActivityRated)), None)


@for_all(found=some_groups)
def test_a_score_lies_between_the_lowest_and_the_highest_share(found: Groups):
    score = score_of(found)
    shares = [group.share * 100 for group in found if group.of >= 5]
    if score is None:
        assert len(shares) < 2
    else:
        assert min(shares) - 1 < score <= max(shares)


@for_all(found=some_groups, others=some_groups)
def test_what_a_group_under_five_did_changes_nothing_that_is_told(found: Groups, others: Groups):
    def small(group: Group) -> Group:
        return Group(min(group.active, 4), min(group.of, 4))

    for place in range(3):
        one, another = (found._replace(**{found._fields[place]: small(group)}) for group in (found[place], others[place]))
        assert RATINGS.decide(Rate(SUNDAY, one), None) == RATINGS.decide(Rate(SUNDAY, another), None)


@for_all(found=some_groups)
def test_one_more_who_was_active_never_lowers_a_score(found: Groups):
    for place, group in enumerate(found):
        if group.active < group.of:
            more = found._replace(**{found._fields[place]: Group(group.active + 1, group.of)})
            if (before_that := score_of(found)) is not None and (score := score_of(more)) is not None:
                assert score >= before_that


@for_all(found=some_groups)
def test_no_share_of_fewer_than_five_is_told(found: Groups):
    for event in RATINGS.decide(Rate(SUNDAY, found), None):
        assert isinstance(event, SchoolActivityRated)
        for group, shown in zip(found, (event.teachers, event.families, event.pupils), strict=True):
            assert shown == (None if group.of < 5 else int(Fraction(100 * group.active, group.of)))


@for_all(known=st.sets(st.sampled_from("tpmqn")), told=st.sets(st.sampled_from("tpmqnx")))
def test_nobody_is_active_who_does_not_count(known: Iterable[str], told: Iterable[str]):
    everybody = {"t": teacher(), "p": pupil("5a", "m"), "m": guardian(), "q": pupil("4a", "n"), "n": guardian(consent="refused")}
    people = {person: found for person, found in everybody.items() if person in known}
    found = counted(people, days={person: before(0, 1, 2) for person in told})
    assert all(0 <= group.active <= group.of for group in found)
    assert sum(group.of for group in found) <= 2 * len(people)
