"""Where the five logs are sealed, under identity's signature, and with what is signed what is made of them up to there.

An embedded instance has all keys in its folder, and need not run. Of services apart identity alone has its key: it is asked, signs what it
has heard of the seals itself, and names the operator beside it, who signs the rest. What it says is held against the record as an auditor
reads it before anything is made of that.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, select

from contracts.event import SERVICES
from contracts.identity import CHECKPOINT
from contracts.operations import KeyPublication, Nothing
from eventkit import checkpoint, log, seals
from eventkit.checkpoint import SIGNER, Checkpoint, Named, Sealed
from eventkit.event import decode, rfc3339
from eventkit.keys import KEYS, trusted
from eventkit.log import log_table
from eventkit.seals import Keys, SealKey
from eventkit.secrets import OPERATOR, Secrets, key_id, public_bytes
from vekha.client import Target, connected
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder
from vekha.loop import run
from vekha.records import reading

_SEE = "See: vekha audit verify"


@dataclass(frozen=True)
class Signing:
    """A checkpoint, and the key that signs what is made of the record up to there: identity's, or that of whom identity has named."""

    checkpoint: Checkpoint
    key: Ed25519PrivateKey
    named: Named | None = None


def signing(target: Target) -> Signing:
    """Binds the last kept seals of all five together.

    Raises Failure `checkpoint.not-yet` where one has none; of services apart `checkpoint.differs` or `checkpoint.forged` where the record
    does not hold what identity says.
    """
    if target.folder.database_server is None:
        return _at_hand(target.folder)
    return run(_of_services_apart(target))


def _at_hand(folder: DataFolder) -> Signing:
    folder.about()
    key = folder.secrets().signing_key(SIGNER)
    sealed: dict[str, Sealed] = {}
    for service in SERVICES:
        with reading(folder, service) as connection:
            last = seals.last_kept(connection) if seals.are_kept(connection) else None
            if last is None or last.position == 0:
                raise Failure(
                    "checkpoint.not-yet", f"{service} has sealed nothing yet.", "Start the instance once: it seals within a second."
                )
            sealed[service] = Sealed(log.log_id(connection), last.position, last.hash.hex(), last.recorded_at)
    return Signing(checkpoint.signed(rfc3339(folder.time()), sealed, key), key)


async def _of_services_apart(target: Target) -> Signing:
    async with connected(target) as client:
        told = (await client.ask(CHECKPOINT, Nothing())).reply
    made, key = checkpoint.read(told.page), Secrets.key_of(target.folder.secrets_folder, OPERATOR)
    for service in SERVICES:
        with reading(target.folder, service) as connection:
            _hold(made.sealed[service], service, connection)
            if service == SIGNER and not made.holds(_keys(target.folder, connection)):
                raise Failure(
                    "checkpoint.forged", f"The checkpoint is not signed with a key of {SIGNER}'s log.", _SEE, exit_code=Exit.UNVERIFIED
                )
    return Signing(made, key, Named(public_bytes(key.public_key()).hex(), told.named))


def _hold(at: Sealed, service: str, connection: Connection) -> None:
    kept = seals.kept_after(connection, at.position - 1, 1)
    sealed = [Sealed(seal.log, seal.position, seal.hash, seal.recorded_at) for seal in kept]
    chain = connection.execute(select(log_table.c.hash).where(log_table.c.position == at.position)).scalar()
    if sealed != [at] or chain is None or bytes(chain).hex() != at.hash:
        text = f"{service} has sealed its log at {at.position}, and its database does not hold that."
        raise Failure("checkpoint.differs", text, _SEE, exit_code=Exit.UNVERIFIED)


def _keys(folder: DataFolder, connection: Connection) -> Keys:
    """Identity's keys, as its log publishes them behind the one that it began with."""
    events = [decode(data).event() for data in log.of_streams(connection, KEYS.stream(SIGNER))]
    published = [event for event in events if isinstance(event, KeyPublication)]
    first = key_id(Secrets.known(folder.secrets_folder)[SIGNER])
    return {name: SealKey(key) for name, key in trusted(SIGNER, published, {first}).items()}
