"""One person's account, from the first code to the day on which it is blocked (steps 18 and 19).

A code is issued, handed over, then used once; a link is issued, mailed, then used once. Issuing again replaces what was there, used or
not, and opens a blocked account anew: whoever is issued something has passed the gates at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from contracts.consent import SubjectKind
from contracts.event import Event
from contracts.identity import (
    AccountActivated,
    AccountBlocked,
    AccountProvisioned,
    Channel,
    CredentialsDispatched,
    CredentialsHandedOver,
    CredentialsIssued,
    CredentialsRevoked,
    LinkPrepared,
    PasswordSet,
    RevocationReason,
)
from eventkit.decider import Decider, Refused

BlockReason = Literal[
    "consent-withdrawn", "consent-refused", "consent-expired", "consent-invalidated", "left", "dismissed", "never-entered", "erased"
]


@dataclass(frozen=True, slots=True)
class Issue:
    """Make a code, or a `link`, under a new `credential` id; `account` is the account's id if it is the first one. `expires_on` is its
    last day."""

    person: str
    kind: SubjectKind
    account: str
    credential: str
    on: date
    expires_on: date
    reissue: bool = False
    link: bool = False


@dataclass(frozen=True, slots=True)
class HandOver:
    """The receiver has got the code on a day; `since` is the day on which it was issued, where that may be later."""

    on: date
    channel: Channel
    receiver: str
    since: date = date.min


@dataclass(frozen=True, slots=True)
class Activate:
    """Somebody shows the code or the link of this credential on a day; `said_on` is the day of the act where an earlier one is named, and
    `since` that of what became of the credential last."""

    credential: str
    on: date
    said_on: date | None = None
    since: date = date.min


@dataclass(frozen=True, slots=True)
class ActivateByEsia:
    """The state's single sign-on has said who somebody is."""


@dataclass(frozen=True, slots=True)
class SetPassword:
    """The owner has chosen a password: a new one each time, even if it is the same."""


@dataclass(frozen=True, slots=True)
class Block:
    reason: BlockReason


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The mail server has taken the message with this credential's link."""

    credential: str
    message: str


@dataclass(frozen=True, slots=True)
class Return:
    """The message with this credential's link has come back."""

    credential: str


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take back what was issued last, if it was not used yet, on a day; `since` is the day of what became of it last, where that may be
    later."""

    reason: RevocationReason
    on: date
    since: date = date.min


Command = Issue | HandOver | Activate | ActivateByEsia | SetPassword | Block | Dispatch | Return | Revoke


@dataclass(frozen=True, slots=True)
class Account:
    """How far an account is; `credential` is the newest one, valid to the end of `expires_on`. It is `provisioned` again once that was
    revoked."""

    state: Literal["none", "provisioned", "issued", "handed-over", "activated", "blocked"] = "none"
    account: str = ""
    person: str = ""
    credential: str | None = None
    expires_on: date = date.min
    is_link: bool = False


def decide(command: Command, account: Account) -> Sequence[Event]:
    match command:
        case Issue():
            return _issue(command, account)
        case HandOver():
            return _hand_over(command, account)
        case Activate():
            return _activate(command, account)
        case ActivateByEsia():
            return _activate_by_esia(account)
        case SetPassword():
            return _set_password(account)
        case Block(reason):
            if account.state in ("none", "blocked"):
                return []
            return [AccountBlocked(account=account.account, person=account.person, reason=reason)]
        case Dispatch():
            return _dispatch(command, account)
        case Return(credential):
            unused = account.state in ("issued", "handed-over") and credential == account.credential
            return [_revoked(account, RevocationReason.RETURNED)] if unused else []
        case Revoke():
            return _revoke(command, account)


def _issue(command: Issue, account: Account) -> Sequence[Event]:
    if command.credential == account.credential:
        return []
    if not command.reissue:
        check_nothing_live(account, command.on)
    events: list[Event] = []
    if account.state == "none":
        events.append(AccountProvisioned(account=command.account, person=command.person, kind=command.kind))
    events.append(
        CredentialsIssued(
            credential=command.credential,
            account=account.account or command.account,
            person=command.person,
            replaces=account.credential,
            expires_on=command.expires_on,
        )
    )
    if command.link:
        events.append(LinkPrepared(credential=command.credential, person=command.person))
    return events


def has_live_code(account: Account, on: date) -> bool:
    """Whether another code takes something away: one that can still be used, or an account in use."""
    return account.state == "activated" or (account.state in ("issued", "handed-over") and on <= account.expires_on)


def check_nothing_live(account: Account, on: date) -> None:
    """Raises Refused where another code takes something away, which nobody has asked for."""
    if not has_live_code(account, on):
        return
    if account.state != "activated":
        what = "link" if account.is_link else "code"
        raise Refused("credentials.already-issued", f"There is a {what} that is valid until {account.expires_on}.", _REISSUE)
    raise Refused("account.already-activated", "This account is in use.", _REISSUE)


def _hand_over(command: HandOver, account: Account) -> Sequence[Event]:
    if account.state == "blocked":
        raise blocked()
    if account.credential is None or account.state == "provisioned":
        raise Refused("credentials.not-issued", "There is no code to hand over. Issue one first.")
    if account.is_link:
        raise Refused("credentials.link", "A link goes by mail, and is recorded when the mail server has taken it.", _REISSUE)
    if account.state != "issued":
        raise Refused("credentials.already-handed-over", "This code has been handed over already.", _REISSUE)
    if command.on < command.since:
        raise _not_yet_issued(command.since)
    if command.on > account.expires_on:
        raise Refused("credentials.expired", f"This code was valid until {account.expires_on}. Issue another one.")
    return [CredentialsHandedOver(credential=account.credential, person=account.person, channel=command.channel, receiver=command.receiver)]


def _activate(command: Activate, account: Account) -> Sequence[Event]:
    """Step 19. Whoever shows the right code is told the truth about it; a wrong one never comes this far.

    A code that nobody has been recorded as receiving may have been taken from the printer, so it opens nothing (18→19). A link is nowhere
    but in the mail that its owner has received.
    """
    if account.state == "blocked":
        raise blocked()
    if command.credential != account.credential:
        raise Refused("activation.replaced", "Another code has been issued since. Use the newest one.")
    if account.state == "activated":
        raise Refused("activation.used", "This code has been used already. If it was not you, ask for another one at once.")
    if account.state == "provisioned":
        raise Refused("activation.revoked", "This code was taken back. Ask for another one.")
    if command.on > account.expires_on:
        raise Refused("activation.expired", f"This code was valid until {account.expires_on}. Ask for another one.")
    if account.state != "handed-over" and not account.is_link:
        raise Refused("activation.not-handed-over", "Nobody has recorded yet that you received this code. Ask whoever gave it to you.")
    if (command.said_on or command.on) < command.since:
        text = f"What opens this account was issued, or handed over, on {command.since}: nobody can have used it before that day."
        raise Refused("activation.too-early", text, "Look at the day, or leave it out where it is today.")
    method = "link" if account.is_link else "temporary-password"
    return [AccountActivated(account=account.account, person=account.person, method=method)]


def _dispatch(command: Dispatch, account: Account) -> Sequence[Event]:
    """Step 18. What has been replaced or taken back since is no longer out; whoever has used it before this was known has received it."""
    if account.state != "issued" or command.credential != account.credential:
        return []
    return [CredentialsDispatched(credential=command.credential, person=account.person, message=command.message)]


def _revoke(command: Revoke, account: Account) -> Sequence[Event]:
    match account.state:
        case "none":
            raise Refused("credentials.not-issued", "Nothing was issued to this person that could be taken back.")
        case "provisioned":
            return []
        case "activated":
            raise Refused("credentials.used", "What was issued has been used already. With `reissue` another code takes its place.")
        case "blocked":
            raise blocked()
        case "issued" if command.on < command.since:
            raise _not_yet_issued(command.since)
        case "handed-over" if command.on < command.since:
            text = f"This was handed over on {command.since}: it cannot be taken back before that day."
            raise Refused("credentials.not-yet-handed-over", text, "Name the day on which it was taken back, or annul the hand-over.")
        case "issued" | "handed-over":
            return [_revoked(account, command.reason)]


def _revoked(account: Account, reason: RevocationReason) -> CredentialsRevoked:
    return CredentialsRevoked(credential=account.credential or "", person=account.person, reason=reason)


def _activate_by_esia(account: Account) -> Sequence[Event]:
    """Step 19, without a code. There must be something issued all the same (18→19): it says that the school has let this person in."""
    if account.state == "blocked":
        raise blocked()
    if account.state == "activated":
        raise Refused("account.already-activated", "This account is in use. Sign in to it.")
    if account.credential is None or account.state == "provisioned":
        raise Refused("credentials.not-issued", "The school has not issued you anything yet. Ask the school to.")
    return [AccountActivated(account=account.account, person=account.person, method="esia")]


def _set_password(account: Account) -> Sequence[Event]:
    if account.state == "blocked":
        raise blocked()
    if account.state != "activated":
        raise Refused("account.not-activated", "This account is not in use yet. Activate it first, with what was issued last.")
    return [PasswordSet(account=account.account, person=account.person)]


def evolve(account: Account, event: Event) -> Account:
    match event:
        case AccountProvisioned():
            return replace(account, state="provisioned", account=event.account, person=event.person)
        case CredentialsIssued():
            return replace(account, state="issued", credential=event.credential, expires_on=event.expires_on, is_link=False)
        case LinkPrepared():
            return replace(account, is_link=True)
        case CredentialsRevoked():
            return replace(account, state="provisioned")
        case CredentialsHandedOver() | CredentialsDispatched():
            return replace(account, state="handed-over")
        case AccountActivated():
            return replace(account, state="activated")
        case PasswordSet():
            return account
        case AccountBlocked():
            return replace(account, state="blocked")
        case _:
            raise TypeError(f"{event.type} is no event of an account")


ACCOUNTS: Decider[Command, Account] = Decider("account", Account(), decide, evolve)
"""The account of one person; a stream's id is the person's."""

_REISSUE = "With `reissue` another code takes its place."


def _not_yet_issued(since: date) -> Refused:
    text = f"This was issued on {since}: nobody can have had it before that day."
    return Refused("credentials.not-yet-issued", text, "Look at the day, or leave it out where it is today.")


def blocked() -> Refused:
    return Refused("account.blocked", "This account is blocked. The school's administrator knows why.")
