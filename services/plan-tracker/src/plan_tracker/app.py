"""The plan tracker: built from its settings, run by whoever built it."""

from contracts.erasure import PlanDataErased
from eventkit.access import Known
from eventkit.erasure import Forgetting, Holder
from eventkit.migrations import Migrations
from eventkit.service import Service, Settings
from plan_tracker import ahead, api, figures, held, policies, queries
from plan_tracker.boards import Boards
from plan_tracker.projections import BoardProjection, municipality

MIGRATIONS = Migrations("plan_tracker")


def build(settings: Settings) -> Service:
    """The plan tracker, not started yet."""
    service = Service(settings, policies.metadata, migrations=MIGRATIONS)
    boards = Boards(lambda: service.reached(BoardProjection.name))
    service.projection(BoardProjection(), on_switch=boards.forget)
    Forgetting(service, PlanDataErased, Holder())  # its rows are facts about random ids
    service.timer(policies.Announcements(service, boards))
    service.knows(Known(municipality=municipality))
    service.holds(held.documents)
    api.register(service)
    queries.register(service, boards)
    ahead.register(service, boards)
    figures.register(service, boards)
    return service
