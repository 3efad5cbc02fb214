"""Puts the consent service together."""

from __future__ import annotations

from consent import api, destruction, forgetting, forms, held, policies, projections, receipt, registry, requests, restoring
from consent.grounds import Grounds
from contracts.erasure import ConsentDataErased
from eventkit.access import Known
from eventkit.erasure import Forgetting, Holder
from eventkit.migrations import Migrations
from eventkit.service import Service, Settings

MIGRATIONS = Migrations("consent")


def build(settings: Settings) -> Service:
    service = Service(settings, registry.metadata, migrations=MIGRATIONS)
    service.projection(projections.People())
    service.projection(Grounds())
    service.timer(policies.Expiry(service))
    service.knows(
        Known(
            teaches=projections.teaches, people_of_class=registry.people_of_class, children=projections.children, subjects=registry.subjects
        )
    )
    service.holds(held.decisions)
    service.holds(held.forms)
    service.holds(held.registered)
    service.reaction(forgetting.Terms(service, settings.left_term_days))
    service.timer(forgetting.Due(service))
    Forgetting(service, ConsentDataErased, Holder())
    service.reaction(forgetting.Answers(service))
    service.restores(restoring.follow)
    api.register(service)
    requests.register(service)
    forms.register(service)
    receipt.register(service)
    destruction.register(service)
    return service
