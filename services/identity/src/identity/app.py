"""Puts the identity service together."""

from __future__ import annotations

from eventkit.service import Service, Settings
from identity import api, credentials, policies, projections


def build(settings: Settings) -> Service:
    service = Service(settings, credentials.metadata)
    service.projection(projections.People())
    service.reaction(policies.BlockAccounts(service))
    api.register(service)
    return service
