"""What becomes of a message: queued once, then taken or refused for good."""

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.notifier import MessageAccepted, MessageBounced, MessageQueued
from eventkit.decider import Refused
from eventkit.testing import given
from notifier.domain import MESSAGES, Accept, Bounce, Command, Queue, message_id

QUEUE = Queue("m-1", "p-1", "deadline-approaching", 18, "e-1")
QUEUED = MessageQueued(message="m-1", recipient="p-1", template="deadline-approaching", step=18, cause="e-1")
ACCEPTED = MessageAccepted(message="m-1", recipient="p-1")
BOUNCED = MessageBounced(message="m-1", recipient="p-1", status=550)


def test_a_message_is_queued_with_its_recipient_its_template_and_its_cause() -> None:
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


@pytest.mark.parametrize(("cause", "recipient"), [("e-1", "p-2"), ("e-2", "p-1"), ("e-1/p", "1")])
def test_another_cause_or_another_recipient_is_another_message(cause: str, recipient: str) -> None:
    assert message_id(cause, recipient) != message_id("e-1", "p-1")
    assert message_id("e-1", "p-1") == message_id("e-1", "p-1")
