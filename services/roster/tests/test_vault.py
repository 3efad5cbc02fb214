"""The vault: what is sealed opens for the same person alone, and not at all once a byte of it was changed."""

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from roster.vault import Box, Damaged, Sealed, Vault

MASTER_KEY = bytes(range(32))
DETAILS = {"last_name": "Ёлкина", "first_name": "Анна-Мария", "birth_date": "2004-02-29"}


@for_all(st.dictionaries(st.text(max_size=20), st.text(max_size=200), max_size=6))
def test_what_is_sealed_opens_again(details: dict[str, str]):
    vault = Vault(MASTER_KEY)
    assert vault.open("p-1", vault.seal("p-1", details)) == details


def test_nothing_of_a_person_stands_in_the_row():
    sealed = Vault(MASTER_KEY).seal("p-1", DETAILS)
    for value in DETAILS.values():
        assert value.encode() not in sealed.key + sealed.sealed


def test_two_people_with_the_same_details_are_sealed_differently():
    vault = Vault(MASTER_KEY)
    one, other = vault.seal("p-1", DETAILS), vault.seal("p-1", DETAILS)
    assert one.sealed != other.sealed
    assert one.key != other.key


def test_another_persons_row_does_not_open():
    vault = Vault(MASTER_KEY)
    with pytest.raises(Damaged):
        vault.open("p-2", vault.seal("p-1", DETAILS))


def test_another_persons_details_do_not_open_under_the_own_key():
    vault = Vault(MASTER_KEY)
    one, other = vault.seal("p-1", DETAILS), vault.seal("p-2", DETAILS)
    with pytest.raises(Damaged):
        vault.open("p-1", Sealed(one.key, other.sealed))
    with pytest.raises(Damaged):
        vault.open("p-1", Sealed(other.key, one.sealed))


@pytest.mark.parametrize("part", ["key", "sealed"])
def test_every_changed_byte_is_found_out(part: str):
    vault = Vault(MASTER_KEY)
    sealed = vault.seal("p-1", DETAILS)
    data: bytes = getattr(sealed, part)
    for index in range(len(data)):
        changed = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
        damaged = Sealed(changed, sealed.sealed) if part == "key" else Sealed(sealed.key, changed)
        with pytest.raises(Damaged):
            vault.open("p-1", damaged)


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_a_row_that_was_cut_off_does_not_open(length: int):
    vault = Vault(MASTER_KEY)
    sealed = vault.seal("p-1", DETAILS)
    with pytest.raises(Damaged):
        vault.open("p-1", Sealed(sealed.key, sealed.sealed[:length]))


def test_another_instances_master_key_opens_nothing():
    sealed = Vault(MASTER_KEY).seal("p-1", DETAILS)
    with pytest.raises(Damaged):
        Vault(bytes(32)).open("p-1", sealed)


def test_changed_details_keep_the_persons_key():
    vault = Vault(MASTER_KEY)
    before = vault.seal("p-1", DETAILS)
    after = vault.seal("p-1", {**DETAILS, "email": "anna@school.example"}, before)
    assert after.key == before.key
    assert vault.open("p-1", after)["email"] == "anna@school.example"


def test_a_box_is_bound_to_its_context():
    box = Box(MASTER_KEY)
    with pytest.raises(Damaged):
        box.open(box.seal(b"rows", "import/school-7/i-1"), "import/school-8/i-1")
