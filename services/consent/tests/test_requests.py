"""What follows from forms that are handed out: each is recorded once a day."""

from datetime import date

from hypothesis import given as for_all
from hypothesis import strategies as st

from consent import templates
from consent.forms import Form
from consent.requests import REQUESTS, HandOut, Requests
from contracts.consent import ConsentRequested, SubjectKind
from contracts.roster import Seat, SeatHolder
from eventkit.testing import given

DAY = date(2015, 8, 17)
NEXT_DAY = date(2015, 8, 18)
CHILD = next(template for template in templates.every() if template.name == "portal-child")
STAFF = next(template for template in templates.every() if template.name == "portal-staff")
SEATS = [Seat(class_id="5a", number=number, holder=SeatHolder.PUPIL) for number in range(1, 4)]


def requested(seat: Seat, on: date = DAY) -> ConsentRequested:
    return ConsentRequested(
        seat=seat,
        person=None,
        subject_kind=SubjectKind.PUPIL,
        template="portal-child",
        template_version=1,
        template_sha256=CHILD.terms.template_sha256 or "",
        requested_on=on,
    )


def test_a_form_is_handed_out_to_each_seat():
    forms = [Form(CHILD, seat=seat) for seat in SEATS]
    given(REQUESTS).when(HandOut(forms, DAY)).then(*(requested(seat) for seat in SEATS))


def test_on_the_same_day_only_who_has_none_yet_gets_one():
    forms = [Form(CHILD, seat=seat) for seat in (*SEATS, *SEATS)]
    given(REQUESTS, requested(SEATS[0]), requested(SEATS[1])).when(HandOut(forms, DAY)).then(requested(SEATS[2]))


def test_on_another_day_it_is_handed_out_again():
    given(REQUESTS, requested(SEATS[0])).when(HandOut([Form(CHILD, seat=SEATS[0])], NEXT_DAY)).then(requested(SEATS[0], NEXT_DAY))


forms = st.one_of(
    st.builds(Form, st.just(CHILD), seat=st.sampled_from(SEATS)), st.builds(Form, st.just(STAFF), person=st.sampled_from(["p-1", "p-2"]))
)
commands = st.builds(HandOut, st.lists(forms, max_size=5), st.sampled_from([DAY, NEXT_DAY]))


def carry_out(history: list[HandOut]) -> Requests:
    requests: Requests = frozenset()
    for command in history:
        requests = REQUESTS.fold(REQUESTS.decide(command, requests), requests)
    return requests


@for_all(history=st.lists(commands, max_size=5), command=commands)
def test_saying_it_twice_is_saying_it_once(history: list[HandOut], command: HandOut):
    assert REQUESTS.decide(command, carry_out([*history, command])) == []


@for_all(history=st.lists(commands, max_size=5))
def test_whatever_the_order_the_same_forms_have_been_handed_out(history: list[HandOut]):
    assert carry_out(history) == carry_out(history[::-1])
