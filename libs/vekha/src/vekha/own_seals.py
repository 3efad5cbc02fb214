"""Which seals on the bus are a service's own: anybody who may write there may have put others among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from contracts.event import NO_SCHOOL
from contracts.operations import KeyPublication, KeyRetirement
from eventkit import sealing, seals
from eventkit.event import decode
from eventkit.jetstream import JetStream
from eventkit.keys import trusted
from eventkit.seals import SealKey
from eventkit.secrets import Secrets, key_id
from vekha.client import Target

_LAST = 2**53


def known_keys(target: Target) -> Mapping[str, Collection[str]]:
    """The keys that the services sign with, by the secrets folder, where that can be read: a log must have published them."""
    try:
        if target.folder.database_server is not None:
            return {issuer: {key_id(key)} for issuer, key in Secrets.known(target.folder.secrets_folder).items()}
        return {issuer: {key_id(key)} for issuer, key in Secrets(target.folder.secrets_folder).public_keys().items()}
    except (OSError, RuntimeError):
        return {}


async def sealed_on_bus(bus: JetStream, service: str, roots: Collection[str]) -> int:
    """The last position that a service's own seals on the bus speak for; 0 where none does.

    Its own is what holds under a key that its stream publishes and that hangs together with the `roots`, or else with the first one there.
    Raises BusError.
    """
    published: list[KeyPublication] = []
    ends: dict[str, str] = {}
    async for batch in bus.read_range(service.upper(), 1, _LAST, subject=f"evt.{service}.{NO_SCHOOL}.>"):
        for _, _, data in batch:
            try:
                event = decode(data).event()
            except (msgspec.MsgspecError, ValueError, LookupError):
                continue
            if isinstance(event, KeyPublication):
                published.append(event)
            elif isinstance(event, KeyRetirement):
                ends.setdefault(event.key_id, event.not_after)
    names = [event.key_id for event in published]
    known = trusted(service, published, set(roots).intersection(names) or names[:1])
    keys = {name: SealKey(key, ends.get(name)) for name, key in known.items()}
    return max((seal.position for seal in await sealing.published(bus.nc, service) if seals.holds(seal, keys)), default=0)
