"""Secrets: made once, readable by their owner alone, a key for each purpose, and never quietly replaced."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkit.secrets import ISSUERS, SecretMissing, Secrets, public_bytes


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets.make(tmp_path / "secrets")


def test_only_the_owner_may_look_into_the_folder_and_its_files(secrets: Secrets) -> None:
    assert stat.S_IMODE(secrets.folder.stat().st_mode) == 0o700
    files = list(secrets.folder.iterdir())
    assert len(files) == 2 + len(ISSUERS)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_was_made_once_is_found_again(secrets: Secrets) -> None:
    again = Secrets(secrets.folder)
    assert again.key("vault") == secrets.key("vault")
    assert again.mac("consent-number", b"7") == secrets.mac("consent-number", b"7")
    assert {name: public_bytes(key) for name, key in again.public_keys().items()} == {
        name: public_bytes(key) for name, key in secrets.public_keys().items()
    }


def test_nothing_is_made_over_what_is_there(secrets: Secrets) -> None:
    before = {file.name: file.read_bytes() for file in secrets.folder.iterdir()}
    with pytest.raises(FileExistsError):
        Secrets.make(secrets.folder)
    assert {file.name: file.read_bytes() for file in secrets.folder.iterdir()} == before


def test_a_file_that_is_missing_stops_the_start_and_is_named(tmp_path: Path) -> None:
    names = [file.name for file in Secrets.make(tmp_path / "names").folder.iterdir()]
    for name in names:
        folder = Secrets.make(tmp_path / name).folder
        (folder / name).unlink()
        with pytest.raises(SecretMissing, match=name):
            Secrets(folder)
        assert not (folder / name).exists()


@pytest.mark.parametrize("damage", [b"", b"\n", b"c2hvcnQ=\n", b"not base64 at all!\n", b"\xff\xfe"])
def test_a_key_that_was_cut_short_or_overwritten_stops_the_start(secrets: Secrets, damage: bytes) -> None:
    (secrets.folder / "master.key").write_bytes(damage)
    with pytest.raises(SecretMissing, match="damaged"):
        Secrets(secrets.folder)


@pytest.mark.parametrize("damage", [b"", b"c2hvcnQ=\n"])
def test_a_damaged_signing_key_is_named(secrets: Secrets, damage: bytes) -> None:
    (secrets.folder / "signing-roster.key").write_bytes(damage)
    with pytest.raises(SecretMissing, match=r"signing-roster\.key is damaged"):
        Secrets(secrets.folder).public_keys()


@given(st.text(min_size=1), st.text(min_size=1))
def test_each_purpose_has_a_key_of_its_own(tmp_path_factory: pytest.TempPathFactory, one: str, other: str) -> None:
    secrets = Secrets.make(tmp_path_factory.mktemp("instance") / "secrets")
    assert len(secrets.key(one)) == 32
    assert (secrets.key(one) == secrets.key(other)) == (one == other)
    assert (secrets.mac(one, b"7") == secrets.mac(other, b"7")) == (one == other)


def test_another_instance_has_other_keys(tmp_path: Path, secrets: Secrets) -> None:
    other = Secrets.make(tmp_path / "other")
    assert other.key("vault") != secrets.key("vault")
    assert other.mac("consent-number", b"7") != secrets.mac("consent-number", b"7")
    assert not {public_bytes(key) for key in other.public_keys().values()} & {public_bytes(key) for key in secrets.public_keys().values()}


def test_a_key_is_not_shown_where_the_secrets_are_printed(secrets: Secrets) -> None:
    assert secrets.key("vault").hex() not in repr(secrets)
