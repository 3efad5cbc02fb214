"""The envelope: eventkit reads and writes, faster, the very bytes that contracts describe."""

import hashlib
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import contracts
from contracts import Envelope
from contracts.event import newest, parse
from contracts.roster import ClassHeadcountDeclared
from eventkit.event import Draft, Origin, decode, genesis, link, moment, rfc3339, stamp

# Beside the package, in a source tree: the samples are of the language, and both of its readers are held to them.
SAMPLES = sorted((Path(contracts.__file__).parents[2] / "tests" / "samples").glob("*.json"))

moments = st.datetimes(timezones=st.just(UTC))

every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)


def stored(sample: Path) -> bytes:
    return sample.read_bytes().removesuffix(b"\n")


def test_there_are_samples() -> None:
    assert len(SAMPLES) == len(contracts.EVENTS)


@every_sample
def test_a_sample_is_read_as_contracts_say(sample: Path) -> None:
    fast, envelope = decode(stored(sample)), Envelope.model_validate_json(stored(sample))
    fields = {name: getattr(fast, name) for name in Envelope.model_fields if name != "data"}
    assert fields == envelope.model_dump(mode="json", exclude={"data"})
    assert msgspec.json.decode(fast.data) == envelope.data
    assert fast.event() == parse(envelope.type, envelope.data)
    assert fast.facts() == newest(envelope.type, envelope.data)


@every_sample
def test_a_sample_is_written_as_contracts_say(sample: Path) -> None:
    envelope = Envelope.model_validate_json(stored(sample))
    origin = Origin(
        actor=envelope.actor,
        command_id=envelope.commandid,
        correlation_id=envelope.correlationid,
        principal=envelope.principal,
        causation_id=envelope.causationid,
        traceparent=envelope.traceparent,
    )
    event = contracts.EVENTS[envelope.type].model_validate(envelope.data)
    draft = Draft(event, envelope.stream, envelope.version, envelope.school, envelope.happenedon, origin)
    service = envelope.source.removeprefix("/vekha/")
    written = stamp(draft, service=service, position=envelope.position, event_id=envelope.id, recorded_at=envelope.recordedat)
    assert written == stored(sample)


@every_sample
def test_what_was_read_is_written_as_the_same_bytes(sample: Path) -> None:
    assert msgspec.json.encode(decode(stored(sample))) == stored(sample)


@given(st.data())
def test_every_stamped_event_is_an_envelope_in_contracts_eyes(data: st.DataObject) -> None:
    token = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)
    draft = Draft(
        ClassHeadcountDeclared(class_id=data.draw(token), pupils=data.draw(st.integers(0, 99))),
        stream=f"class-{data.draw(token)}",
        version=data.draw(st.integers(1, 2**31)),
        school=data.draw(token),
        happened_on=data.draw(st.dates(date(2000, 1, 1), date(2100, 1, 1))),
        origin=Origin(
            actor=data.draw(st.text()),  # whatever stands here, it is escaped the same way
            command_id=data.draw(token),
            correlation_id=data.draw(token),
            principal=data.draw(st.none() | st.text()),
            causation_id=data.draw(st.none() | token),
        ),
    )
    recorded_at = rfc3339(data.draw(moments))
    written = stamp(draft, service="roster", position=data.draw(st.integers(1, 2**53)), event_id="e1", recorded_at=recorded_at)
    envelope = Envelope.model_validate_json(written)
    assert envelope.model_dump_json(exclude_unset=True).encode() == written
    assert decode(written).event() == draft.event


def test_moments_are_written_in_utc_and_always_of_one_width_so_that_text_order_is_time_order() -> None:
    moscow = timezone(timedelta(hours=3))
    assert rfc3339(datetime(2015, 8, 17, 9, 30, tzinfo=moscow)) == "2015-08-17T06:30:00.000000Z"
    assert moment("2015-08-17T06:30:00.000000Z") == datetime(2015, 8, 17, 6, 30, tzinfo=UTC)


@given(st.lists(moments, min_size=2))
def test_the_order_of_moments_is_the_order_of_their_texts(several: list[datetime]) -> None:
    assert sorted(map(rfc3339, several)) == list(map(rfc3339, sorted(several)))
    assert [moment(rfc3339(at)) for at in several] == several


def test_every_log_begins_its_chain_elsewhere() -> None:
    assert genesis("roster", "a1") == hashlib.sha256(b"vekha/roster/a1").digest()
    assert len({genesis("roster", "a1"), genesis("roster", "a2"), genesis("consent", "a1")}) == 3
    assert link(b"previous", b"bytes") == hashlib.sha256(b"previous" + b"bytes").digest()
