"""Puts the consent service together."""

from __future__ import annotations

from consent import api, forms, held, policies, projections, receipt, registry, requests
from eventkit.access import Known
from eventkit.service import Service, Settings


def build(settings: Settings) -> Service:
    service = Service(settings, registry.metadata)
    service.projection(projections.People())
    service.timer(policies.Expiry(service))
    service.knows(
        Known(
            teaches=projections.teaches, people_of_class=registry.people_of_class, children=projections.children, subjects=registry.subjects
        )
    )
    service.holds(held.decisions)
    api.register(service)
    requests.register(service)
    forms.register(service)
    receipt.register(service)
    return service
