"""Who may do what on a NATS server that serves services apart: one account a service, derived from what the contracts declare.

Accounts share nothing. Each exports its calls, to those alone who may make them, and of its bus stream what its readers need: to pull from
their own durable, to move it to their position, and to read a message again. Nobody may make or change a stream or a durable but the
provisioner, and nobody may delete one but the administrator, whose key is not on the server's machine. A reply goes back through the server
alone, so that none can be aimed at somebody else's subjects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from contracts.call import CALLS, Call
from contracts.event import SERVICES
from eventkit.broker import MAX_PAYLOAD_BYTES
from eventkit.provision import SEALS as SEAL_STREAM
from eventkit.sealing import subject as seal_subject

OPERATIONS = "operations"
"""The account of those who operate the instance: all calls, and all streams to read."""

SEALS = "seals"
"""The account of the stream in which all services keep the seals of their logs."""

Job = Literal["service", "provisioner", "administrator"]
USERS: tuple[tuple[str, Job], ...] = (
    *((service, "service") for service in SERVICES),
    *((owner, job) for owner in (*SERVICES, SEALS) for job in ("provisioner", "administrator")),
)
"""Whom the accounts know, beside the operator: by the account's owner, and what the user does there."""

_ANSWER_WITHIN = "5m"


@dataclass(frozen=True)
class Reader:
    """A durable consumer of a stream's, and the service that reads by it."""

    stream: str
    durable: str
    service: str


def account(service: str) -> str:
    return service.upper()


def inbox(service: str) -> str:
    """The prefix of the subjects on which a service's user hears answers."""
    return f"_INBOX_{service}"


def configuration(readers: Collection[Reader], public_keys: Mapping[tuple[str, Job], str], operator: str) -> str:
    """The part `accounts` of the server's configuration. `public_keys` are nkeys, as the server writes them ("U…")."""
    accounts = {account(service): _account(service, readers, public_keys) for service in SERVICES}
    accounts[account(SEALS)] = _seals(public_keys)
    accounts[account(OPERATIONS)] = _operations(operator)
    return f"max_payload: {MAX_PAYLOAD_BYTES}\naccounts: {msgspec.json.format(msgspec.json.encode(accounts)).decode()}\n"


def may_call(service: str) -> list[Call[Any, Any]]:
    """What a service may call of others."""
    return [call for call in CALLS.values() if call.service in SERVICES and service in call.services]


def _account(service: str, readers: Collection[Reader], public_keys: Mapping[tuple[str, Job], str]) -> dict[str, Any]:
    stream = account(service)
    reads = [reader for reader in readers if reader.service == service]
    own = [verb for reader in reads if reader.stream == stream for verb in _reader_verbs(reader)]
    foreign = [reader for reader in reads if reader.stream != stream]
    foreign_verbs = [(reader.stream, verb) for reader in foreign for verb in _reader_verbs(reader)]
    foreign_verbs += [(account(other), f"DIRECT.GET.{account(other)}") for other in (*SERVICES, SEALS) if other != service]
    service_may = [
        f"evt.{service}.>",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        *(f"$JS.API.{verb}" for verb in own),
        *(f"JS.{other}.API.{verb}" for other, verb in foreign_verbs),
        *(call.subject for call in may_call(service)),
        seal_subject(service, "told"),
        seal_subject(service, "kept"),
    ]
    return {
        "jetstream": "enabled",
        "users": [
            {
                "nkey": public_keys[service, "service"],
                "permissions": {
                    "publish": {"allow": service_may},
                    "subscribe": {"allow": [f"call.{service}.* {service}", seal_subject("*", "told"), f"{inbox(service)}.>"]},
                    "allow_responses": {"max": 1, "expires": _ANSWER_WITHIN},
                },
            },
            *_who_makes_streams(service, stream, readers, public_keys),
        ],
        "exports": [
            *(
                {"service": call.subject, "accounts": sorted([account(OPERATIONS), *callers])}
                for call in CALLS.values()
                if call.service == service
                for callers in [[account(other) for other in SERVICES if call in may_call(other)]]
            ),
            *_stream_exports(stream, readers),
            {"stream": seal_subject(service, "told"), "accounts": sorted(account(other) for other in SERVICES if other != service)},
        ],
        "imports": [
            *({"service": {"account": account(call.service), "subject": call.subject}} for call in may_call(service)),
            *(_stream_import(other, verb) for other, verb in foreign_verbs),
            {"service": {"account": account(SEALS), "subject": seal_subject(service, "kept")}},
            *({"stream": {"account": account(other), "subject": seal_subject(other, "told")}} for other in SERVICES if other != service),
        ],
    }


def _who_makes_streams(
    owner: str, stream: str, readers: Collection[Reader], public_keys: Mapping[tuple[str, Job], str]
) -> list[dict[str, Any]]:
    """Of an account: who makes what is missing there, and who may delete the stream."""
    making = [f"$JS.API.{verb}" for verb in _provisioning(stream, readers)]
    allowed: dict[Job, list[str]] = {"provisioner": making, "administrator": [*making, f"$JS.API.STREAM.DELETE.{stream}"]}
    return [
        {"nkey": public_keys[owner, job], "permissions": {"publish": {"allow": may}, "subscribe": {"allow": [f"{inbox(job)}.>"]}}}
        for job, may in allowed.items()
    ]


def _seals(public_keys: Mapping[tuple[str, Job], str]) -> dict[str, Any]:
    """Each service keeps its own seals there, and everybody reads all."""
    return {
        "jetstream": "enabled",
        "users": _who_makes_streams(SEALS, SEAL_STREAM.name, (), public_keys),
        "exports": [
            *({"service": seal_subject(service, "kept"), "accounts": [account(service)]} for service in SERVICES),
            *_stream_exports(SEAL_STREAM.name, ()),
        ],
    }


def _operations(operator: str) -> dict[str, Any]:
    calls = [call for call in CALLS.values() if call.service in SERVICES]
    verbs = [(account(service), verb) for service in (*SERVICES, SEALS) for verb in _operator_verbs(account(service))]
    return {
        "users": [
            {
                "nkey": operator,
                "permissions": {
                    # Of what is asked of an instance in one process, it hears at once that nobody answers.
                    "publish": {
                        "allow": [
                            "call.instance.*",
                            *(call.subject for call in calls),
                            *(f"JS.{stream}.API.{verb}" for stream, verb in verbs),
                        ]
                    },
                    "subscribe": {"allow": [f"{inbox(OPERATIONS)}.>"]},
                },
            }
        ],
        "imports": [
            *({"service": {"account": account(call.service), "subject": call.subject}} for call in calls),
            *(_stream_import(stream, verb) for stream, verb in verbs),
        ],
    }


def _stream_exports(stream: str, readers: Iterable[Reader]) -> list[dict[str, Any]]:
    """By what is asked of the stream: who may. An answer to a pull, or to a read of several messages, comes in many parts."""
    who: dict[str, set[str]] = defaultdict(set)
    for reader in readers:
        if reader.stream == stream and account(reader.service) != stream:
            for verb in _reader_verbs(reader):
                who[verb].add(account(reader.service))
    who[f"DIRECT.GET.{stream}"] |= {account(service) for service in SERVICES if account(service) != stream}
    for verb in _operator_verbs(stream):
        who[verb].add(account(OPERATIONS))
    return [
        {"service": f"$JS.API.{verb}", "accounts": sorted(accounts)} | ({"response_type": "stream"} if _in_parts(verb) else {})
        for verb, accounts in sorted(who.items())
    ]


def _stream_import(stream: str, verb: str) -> dict[str, Any]:
    return {"service": {"account": stream, "subject": f"$JS.API.{verb}"}, "to": f"JS.{stream}.API.{verb}"}


def _reader_verbs(reader: Reader) -> list[str]:
    return [f"CONSUMER.{verb}.{reader.stream}.{reader.durable}" for verb in ("INFO", "RESET", "MSG.NEXT")]


def _operator_verbs(stream: str) -> list[str]:
    return [f"STREAM.INFO.{stream}", f"DIRECT.GET.{stream}"]


def _in_parts(verb: str) -> bool:
    return verb.startswith(("CONSUMER.MSG.NEXT.", "DIRECT.GET."))


def _provisioning(stream: str, readers: Iterable[Reader]) -> list[str]:
    durables = sorted({reader.durable for reader in readers if reader.stream == stream})
    return [
        *(f"STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE")),
        *(f"CONSUMER.{verb}.{stream}.{durable}" for durable in durables for verb in ("INFO", "CREATE")),
    ]
