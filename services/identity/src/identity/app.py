"""Puts the identity service together."""

from __future__ import annotations

from eventkit.access import Known
from eventkit.service import Service, Settings
from identity import (
    activity,
    api,
    attempts,
    credentials,
    esia,
    held,
    links,
    mailing,
    passwords,
    policies,
    printing,
    projections,
    reissues,
    signing_in,
)
from identity.hashing import Hashing


def build(settings: Settings) -> Service:
    own = (credentials, links, activity, passwords, attempts, esia)
    service = Service(settings, *(module.metadata for module in own))
    service.projection(projections.People())
    service.reaction(policies.BlockAccounts(service))
    ratings = policies.Ratings(service)
    service.timer(ratings)
    forgetting = links.ForgetLinks(service)
    service.timer(forgetting)
    service.knows(Known(people_of_class=projections.people_of_class, teaches=projections.teaches))
    service.holds(held.account)
    service.holds(held.active_days)
    api.register(service, ratings)
    hashing = Hashing()
    signing_in.register(service, ratings, hashing)
    esia.register(service, hashing)
    printing.register(service)
    mailing.register(service, forgetting, hashing)
    reissues.register(service)
    return service
