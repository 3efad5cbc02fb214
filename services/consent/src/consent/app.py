"""Puts the consent service together."""

from __future__ import annotations

from consent import api, policies, projections, registry
from eventkit.service import Service, Settings


def build(settings: Settings) -> Service:
    service = Service(settings, registry.metadata)
    service.projection(projections.People())
    service.timer(policies.Expiry(service))
    api.register(service)
    return service
