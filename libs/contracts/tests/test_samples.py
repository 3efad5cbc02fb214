"""Golden samples: one event of every version that was ever published, as it is stored. What loads today must load for ever.

`samples/<type>.json` holds an event's bytes verbatim, and a newline after them. A sample is written once, when its version is, and is
never edited: whoever changes an event class and finds one of these tests failing has changed the past, and needs a new version instead.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts import EVENTS, Envelope
from contracts.event import newest, parse, subject_of

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))

every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)


def stored(sample: Path) -> bytes:
    return sample.read_bytes().removesuffix(b"\n")


def data_of(sample: Path) -> dict[str, Any]:
    return json.loads(stored(sample))["data"]


def test_every_event_has_exactly_one_sample() -> None:
    assert [sample.stem for sample in SAMPLES] == sorted(EVENTS)


@every_sample
def test_a_sample_is_an_envelope_and_encodes_to_the_same_bytes_again(sample: Path) -> None:
    envelope = Envelope.model_validate_json(stored(sample))
    assert envelope.type == sample.stem
    assert envelope.model_dump_json(exclude_unset=True).encode() == stored(sample)


@every_sample
def test_a_sample_loads_and_its_data_encode_to_the_same_again(sample: Path) -> None:
    event = EVENTS[sample.stem].model_validate(data_of(sample))
    assert event.type == sample.stem
    assert json.loads(event.model_dump_json()) == data_of(sample)


@every_sample
def test_a_sample_is_read_in_the_newest_version_of_its_event(sample: Path) -> None:
    name = sample.stem.rpartition(".v")[0]
    last = max(int(known.rpartition(".v")[2]) for known in EVENTS if known.rpartition(".v")[0] == name)
    assert newest(sample.stem, data_of(sample))[0] == f"{name}.v{last}"
    assert parse(sample.stem, data_of(sample)).type == f"{name}.v{last}"


@every_sample
def test_a_sample_is_consistent_in_itself(sample: Path) -> None:
    envelope = Envelope.model_validate_json(stored(sample))
    service = envelope.type.split(".")[0]
    assert envelope.source == f"/vekha/{service}"
    assert subject_of(envelope.type, envelope.school).split(".")[:3] == ["evt", service, envelope.school]
    assert envelope.position >= envelope.version >= 1
    assert envelope.recordedat[:10] >= envelope.happenedon.isoformat()
