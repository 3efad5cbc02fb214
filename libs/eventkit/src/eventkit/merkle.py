"""Merkle trees over events, as RFC 9162 (2.1) draws them: a dozen hashes prove that an event is one of a thousand. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

EMPTY = hashlib.sha256().digest()
"""The tree of no events."""


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def tree(events: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of events in their order."""
    return _tree([leaf(data) for data in events])


def path(events: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from one event, the first being 0, to the tree of all: an inclusion proof."""
    return _path([leaf(data) for data in events], index)


def _tree(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return EMPTY
    level = list(leaves)
    while len(level) > 1:  # a lone last one rises as it is: the same tree as by halving at powers of two
        pairs = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs if len(level) % 2 == 0 else [*pairs, level[-1]]
    return level[0]


def _path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < half:
        return [*_path(leaves[:half], index), _tree(leaves[half:])]
    return [*_path(leaves[half:], index - half), _tree(leaves[:half])]


def leads_to(root: bytes, size: int, index: int, data: bytes, hashes: Sequence[bytes]) -> bool:
    """Whether an inclusion proof leads from an event, the first of `size` being 0, to the root of a tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf(data)
    for sibling in hashes:
        if last == 0:
            return False
        if at % 2 or at == last:
            found = _node(sibling, found)
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            found = _node(found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root
