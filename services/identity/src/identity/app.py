"""Puts the identity service together."""

from __future__ import annotations

from eventkit.access import Known
from eventkit.service import Service, Settings
from identity import activity, api, credentials, policies, printing, projections


def build(settings: Settings) -> Service:
    service = Service(settings, credentials.metadata, activity.metadata)
    service.projection(projections.People())
    service.reaction(policies.BlockAccounts(service))
    ratings = policies.Ratings(service)
    service.timer(ratings)
    service.knows(Known(people_of_class=projections.people_of_class))
    api.register(service, ratings)
    printing.register(service)
    return service
