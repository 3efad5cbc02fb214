"""What becomes of a message: queued once, then taken or refused for good."""

from datetime import date

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.notifier import MessageAccepted, MessageBounced, MessageQueued, Notice
from eventkit.decider import Refused
from eventkit.testing import given
from notifier.domain.message import MESSAGES, Accept, Bounce, Command, Contents, Queue, message_id

DAY = date(2015, 9, 2)
NOTICE = Notice(kind="deadline-approaching", step=18, day=DAY, due=date(2015, 9, 7), working_days=3, cause="e-1")
QUEUE = Queue("m-1", "p-1", "daily", DAY, 41, Contents(notices=(NOTICE,)))
QUEUED = MessageQueued(
    message="m-1", recipient="p-1", template="daily", day=DAY, read_to=41, notices=(NOTICE,), own=(), classes=(), overdue=()
)
ACCEPTED = MessageAccepted(message="m-1", recipient="p-1")
BOUNCED = MessageBounced(message="m-1", recipient="p-1", status=550)


def test_a_message_is_queued_with_its_recipient_its_day_and_all_that_it_tells() -> None:
    given(MESSAGES).when(QUEUE).then(QUEUED)


def test_what_the_mail_server_takes_is_accepted() -> None:
    given(MESSAGES, QUEUED).when(Accept()).then(ACCEPTED)


def test_what_it_refuses_for_good_has_bounced_with_its_answer() -> None:
    given(MESSAGES, QUEUED).when(Bounce(550)).then(BOUNCED)


def test_a_message_that_nobody_queued_has_no_outcome() -> None:
    given(MESSAGES).when(Accept()).then_refused("message.unknown")
    given(MESSAGES).when(Bounce(550)).then_refused("message.unknown")


def test_an_outcome_is_final() -> None:
    given(MESSAGES, QUEUED, ACCEPTED).when(Bounce(550)).then_refused("message.settled")
    given(MESSAGES, QUEUED, BOUNCED).when(Accept()).then_refused("message.settled")


@for_all(st.lists(st.sampled_from([QUEUE, Accept(), Bounce(550)]), max_size=6))
def test_saying_it_twice_yields_nothing(commands: list[Command]) -> None:
    state = MESSAGES.initial
    for command in commands:
        try:
            state = MESSAGES.fold(MESSAGES.decide(command, state), state)
        except Refused:
            continue
        assert MESSAGES.decide(command, state) == []


@pytest.mark.parametrize(
    ("school", "recipient", "day"), [("s-1", "p-2", DAY), ("s-2", "p-1", DAY), ("s-1", "p-1", date(2015, 9, 3)), ("s-1/p", "1", DAY)]
)
def test_another_school_recipient_or_day_is_another_message(school: str, recipient: str, day: date) -> None:
    assert message_id(school, recipient, day) != message_id("s-1", "p-1", DAY)
    assert message_id("s-1", "p-1", DAY) == message_id("s-1", "p-1", DAY)
