"""Identity signs where all five logs are sealed. Nothing of what it signs is handed to it: it reads the seals on the bus itself, and
believes those that hold."""

from __future__ import annotations

from contracts import identity
from contracts.event import SERVICES
from contracts.operations import Nothing
from eventkit import checkpoint
from eventkit.answering import Caller
from eventkit.checkpoint import Sealed
from eventkit.decider import Refused
from eventkit.event import rfc3339
from eventkit.secrets import OPERATOR
from eventkit.service import Service


def register(service: Service) -> None:
    @service.query(identity.CHECKPOINT)
    async def sign(request: Nothing, caller: Caller) -> identity.SignedCheckpoint:
        service.require_appending()  # in quarantine nothing is sealed, and nobody is vouched for
        sealed: dict[str, Sealed] = {}
        for name in SERVICES:
            seal = await service.last_seal(name)
            if seal is None:
                raise Refused("checkpoint.not-yet", f"The bus tells no seal of {name} that holds. Is it running, and JetStream too?")
            sealed[name] = Sealed(seal.log, seal.position, seal.hash, seal.recorded_at)
        key = service.secrets.signing_key(service.name)
        made = checkpoint.signed(rfc3339(service.clock.now()), sealed, key)
        operator = service.secrets.public_keys()[OPERATOR]
        return identity.SignedCheckpoint(page=made.text(), named=checkpoint.named(made, operator, key).signature)
