"""Puts the consent service together."""

from __future__ import annotations

from consent import api, projections, registry
from eventkit.service import Service, Settings


def build(settings: Settings) -> Service:
    service = Service(settings, registry.metadata)
    service.projection(projections.People())
    api.register(service)
    return service
