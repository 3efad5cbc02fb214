"""Puts the identity service together."""

from __future__ import annotations

from contracts.erasure import IdentityDataErased
from eventkit.access import Known
from eventkit.erasure import Forgetting
from eventkit.migrations import Migrations
from eventkit.service import Service, Settings
from identity import (
    activity,
    api,
    attempts,
    checkpoints,
    credentials,
    erasing,
    esia,
    held,
    links,
    mailing,
    passwords,
    policies,
    printing,
    projections,
    reissues,
    restoring,
    signing_in,
)
from identity.hashing import Hashing

PRIVATE = (credentials.metadata, links.metadata, activity.metadata, passwords.metadata, attempts.metadata, esia.metadata)
"""What stands beside the log and is no fold of it."""

MIGRATIONS = Migrations("identity")


def build(settings: Settings) -> Service:
    service = Service(settings, *PRIVATE, migrations=MIGRATIONS)
    service.projection(projections.People())
    service.reaction(policies.BlockAccounts(service))
    Forgetting(service, IdentityDataErased, erasing.Accounts(*PRIVATE))
    restoring.RevokeLost(service)
    ratings = policies.Ratings(service)
    service.timer(ratings)
    forgetting = links.ForgetLinks(service)
    service.timer(forgetting)
    service.knows(Known(people_of_class=projections.people_of_class, teaches=projections.teaches))
    service.holds(held.account)
    service.holds(held.password)
    service.holds(held.mailed_links)
    service.holds(held.attempts_of(settings.secrets))
    service.holds(held.active_days)
    api.register(service, ratings)
    checkpoints.register(service)
    hashing = Hashing()
    service.figure(hashing.figure)
    signing_in.register(service, ratings, hashing)
    esia.register(service, hashing)
    printing.register(service)
    mailing.register(service, forgetting, hashing)
    reissues.register(service)
    return service
