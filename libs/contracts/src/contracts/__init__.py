"""The published language of Vekha: every event and every call, one module a service, each declared once for both ends."""

from contracts import consent, erasure, identity, notifier, operations, parking, plan, rebuilding, roster
from contracts.call import CALLS, Call
from contracts.event import EVENTS, SERVICES, Envelope, Event

__all__ = [
    "CALLS",
    "EVENTS",
    "SERVICES",
    "Call",
    "Envelope",
    "Event",
    "consent",
    "erasure",
    "identity",
    "notifier",
    "operations",
    "parking",
    "plan",
    "rebuilding",
    "roster",
]
