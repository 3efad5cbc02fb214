"""What identity records and answers: accounts, credentials, activation and the tokens that calls carry."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, get_args

from pydantic import Field

from contracts.call import EVERYBODY, AnnulEntry, Reply, Request, Role, SchoolRequest, Scope, command, query
from contracts.consent import SubjectKind
from contracts.event import Annulment, Event, Identifier, Value, event
from contracts.operations import Nothing, Signature
from contracts.roster import Act, Done

SLIPS_A_CALL = 80
"""So many slips, with the sheets to be signed for them, stay under the size of an answer however long the names are."""


class Channel(StrEnum):
    PAPER = "paper"
    EMAIL = "email"


class RevocationReason(StrEnum):
    """Why what was issued is taken back: the slip or mail was lost, somebody else has seen it, it was issued by mistake, the mail came
    back, or its digest was lost with the end of the database."""

    LOST = "lost"
    EXPOSED = "exposed"
    MISTAKE = "mistake"
    RETURNED = "returned"
    DIGEST_LOST = "digest-lost"


Signer = Annotated[str, Field(pattern=r"^[a-z_]+(:[A-Za-z0-9_-]{1,64})?$")]
"""A role and its scope: `staff:PERSON` of whoever has signed in, else in what somebody acts, such as `director:school-7`."""


# ---- Events -----------------------------------------------------------------------------------------------------------


@event("identity.account-provisioned.v1")
class AccountProvisioned(Event):
    account: Identifier
    person: Identifier
    kind: SubjectKind


@event("identity.credentials-issued.v1")
class CredentialsIssued(Event):
    """A one-time code was made for a person. Issuing again replaces what was issued before and restarts the own clock of step 19."""

    credential: Identifier
    account: Identifier
    person: Identifier
    replaces: Identifier | None
    expires_on: date


@event("identity.credentials-handed-over.v1")
class CredentialsHandedOver(Event):
    """The person has received the code (step 18); `receiver` is who took the slip: the person or a pupil's guardian."""

    credential: Identifier
    person: Identifier
    channel: Channel
    receiver: Identifier


@event("identity.account-activated.v1")
class AccountActivated(Event):
    account: Identifier
    person: Identifier
    method: Literal["temporary-password", "link", "esia"]


@event("identity.password-set.v1")
class PasswordSet(Event):
    """The owner of an account has chosen a password: the first one, or another. What was chosen stands nowhere but in a private table, as
    an argon2id hash."""

    account: Identifier
    person: Identifier


@event("identity.account-blocked.v1")
class AccountBlocked(Event):
    account: Identifier
    person: Identifier
    reason: Literal[
        "consent-withdrawn", "left", "dismissed", "consent-expired", "consent-invalidated", "consent-refused", "never-entered", "erased"
    ]


@event("identity.credentials-dispatched.v1")
class CredentialsDispatched(Event):
    """An activation link was handed to the mail server for this person, in a message of its own (step 18). `message` is notifier's."""

    credential: Identifier
    person: Identifier
    message: Identifier


@event("identity.link-prepared.v1")
class LinkPrepared(Event):
    """What was issued is an activation link, not a code. It waits sealed, for one reader and for a short while, to be mailed."""

    credential: Identifier
    person: Identifier


@event("identity.credentials-revoked.v1")
class CredentialsRevoked(Event):
    """What was issued opens nothing any more, before it was used: it is in nobody's hands (step 18). Something else may be issued now."""

    credential: Identifier
    person: Identifier
    reason: RevocationReason


@event("identity.reissue-proposed.v1")
class ReissueProposed(Event):
    """Somebody wants to replace the codes of many people at once. Nothing is replaced before somebody else has confirmed it."""

    proposal: Identifier
    people: tuple[Identifier, ...]
    proposed_by: Signer
    expires_on: date


@event("identity.reissue-confirmed.v1")
class ReissueConfirmed(Event):
    """A second person agrees that codes are replaced."""

    proposal: Identifier
    confirmed_by: Signer


@event("identity.reissue-carried-out.v1")
class ReissueCarriedOut(Event):
    """The codes of these people of a confirmed proposal were replaced; each has an event of its own."""

    proposal: Identifier
    people: tuple[Identifier, ...]


@event("identity.school-activity-rated.v1")
class SchoolActivityRated(Event):
    """How active a school was in the week that ended on `week_ends` (step 21, DOMAIN 7): of 100 points in all, and the shares in percent
    of teachers, of pupils with an active guardian, and of older pupils; null where a group is too small to say."""

    week_ends: date
    score: Annotated[int, Field(ge=0, le=100)]
    teachers: Annotated[int, Field(ge=0, le=100)] | None
    families: Annotated[int, Field(ge=0, le=100)] | None
    pupils: Annotated[int, Field(ge=0, le=100)] | None


@event("identity.entry-annulled.v1")
class EntryAnnulled(Annulment):
    """A fact of this log never was true."""


Audience = Literal["roster", "consent", "identity", "plan", "notifier", "instance"]
"""Who answers calls, and so whom a token can be for."""

# ---- Calls ------------------------------------------------------------------------------------------------------------


class IssueCredentials(Act):
    """Issues one-time codes to people, at most 200 in a call. Whoever has a live code already is answered so, unless `reissue`.

    More than five codes are replaced under a `proposal` alone that somebody else has confirmed.
    """

    people: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=200)]
    reissue: bool = False
    proposal: Identifier | None = None


class IssuedCredential(Reply):
    """`code` is told once, in the answer to the first call; it is kept as a keyed digest and never told again."""

    person: Identifier
    credential: Identifier | None = None
    login: str | None = None
    code: str | None = Field(default=None, json_schema_extra={"secret": True})
    refused: str | None = Field(default=None, description="The refusal's code, where nothing was issued to this person")
    text: str | None = None


class CredentialsIssuedReply(Reply):
    credentials: tuple[IssuedCredential, ...]


class PrintSlips(Act):
    """Issues one-time codes as `IssueCredentials` does, and prints them as slips to be cut apart. A reprint is a reissue.

    `class_id` is the class whose slips they are: of a guardian's children those in this class are named. An answer's size bounds how
    many slips one can hold.
    """

    people: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=SLIPS_A_CALL)]
    class_id: Identifier | None = None
    reissue: bool = False
    proposal: Identifier | None = None


class PrintedSlips(Reply):
    """`pdf` is told once, in the answer to the first call; its codes are kept as keyed digests, and nobody can print them again."""

    printed: tuple[Identifier, ...] = Field(description="For whom there is a slip")
    refused: dict[str, str] = Field(description="The refusal's code by person, for those for whom there is none")
    expires_on: date = Field(description="The last day of the codes")
    pdf: str | None = Field(
        default=None,
        description="Slips, and sheets to be signed, base64; it holds personal data and codes",
        json_schema_extra={"secret": True},
    )


class MailLinks(Act):
    """Issues activation links to people, and has each of them mailed alone. Whoever has a live code or link is answered so, unless
    `reissue`, which takes its place: a slip's as well."""

    people: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=200)]
    reissue: bool = False
    proposal: Identifier | None = None


class MailedLinks(Reply):
    """Nobody is told a link but its owner, by mail: whether that arrives is recorded when the mail server has answered."""

    prepared: tuple[Identifier, ...] = Field(description="For whom there is a link that will be mailed")
    refused: dict[str, str] = Field(description="The refusal's code by person, for those for whom there is none")
    expires_on: date = Field(description="The last day of the links")


class TakeLink(SchoolRequest):
    """Takes the clear link of a credential, to be mailed at once. Nobody can take it a second time."""

    credential: Identifier


class TakenLink(Reply):
    """`link` is the address to be opened. What is after its `#` stays in the reader's browser, and in no log on the way."""

    link: str = Field(json_schema_extra={"secret": True})
    login: str
    expires_on: date


class RecordMailing(Act):
    """What became of the mail with a link: taken by the mail server, or come back."""

    person: Identifier
    credential: Identifier
    message: Identifier
    outcome: Literal["accepted", "bounced"]


class RevokeCredentials(Act):
    """Takes back what was issued to people and not used yet, for instance because slips were lost; on no day before it was issued, or
    handed over."""

    people: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=200)]
    reason: Literal[RevocationReason.LOST, RevocationReason.EXPOSED, RevocationReason.MISTAKE]


class RevokedCredentials(Reply):
    revoked: int
    already: tuple[Identifier, ...] = Field(default=(), description="What was issued to them had been taken back before: nothing was done")
    refused: dict[str, str] = Field(description="The refusal's code by person, for those who have nothing to be taken back")


_PASSWORD = Field(max_length=512, repr=False, json_schema_extra={"secret": True})


class ActivateLink(Request):
    """Activates an account with its link's token: what stands after the `#`. Who holds it needs neither login nor another token.

    `password` is as in `Activate`.
    """

    token: Annotated[str, Field(min_length=1, max_length=200, repr=False)]
    password: Annotated[str | None, _PASSWORD] = None


class HandOver(Act):
    """Records that people received their codes, on no day before those were issued. `receiver` is the person where left out (given only
    for a single one)."""

    people: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=200)]
    channel: Channel = Channel.PAPER
    receiver: Identifier | None = None


class HandedOver(Reply):
    handed_over: int
    refused: dict[str, str] = Field(description="The refusal's code by person, for those who have none to hand over")


class ProposeReissue(SchoolRequest):
    """Proposes to replace the codes of many people, whether they are in use or not. It is valid for a week."""

    people: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=2000)]


class ProposedReissue(Reply):
    proposal: Identifier
    expires_on: date = Field(description="The last day on which it may be confirmed and carried out")


class ConfirmReissue(SchoolRequest):
    """Confirms what somebody else has proposed."""

    proposal: Identifier


class ReissueQuery(SchoolRequest):
    proposal: Identifier


class ReissueCard(Reply):
    people: tuple[Identifier, ...]
    left: tuple[Identifier, ...] = Field(description="Whose codes have not been replaced yet")
    proposed_by: str
    confirmed_by: str | None
    expires_on: date


Login = Annotated[str, Field(min_length=1, max_length=64)]
Password = Annotated[str, _PASSWORD]
"""A password as it is typed."""


class Activate(Request):
    """Activates an account with a login and its one-time code. Who knows both needs no token.

    `password` is the owner's own from then on, 10 to 128 symbols. On a production instance nobody activates without one; elsewhere an
    account without one is in use, but nobody can sign in to it until another code is issued. Who shows no token
    names no other day than today, and nobody one before the code was issued and handed over.
    """

    login: Login
    code: Annotated[str, Field(min_length=1, max_length=64)]
    password: Annotated[str | None, _PASSWORD] = None
    happened_on: date | None = None


class Activated(Reply):
    account: Identifier
    person: Identifier


class BeginEsia(SchoolRequest):
    """Begins to activate an account of a school by ЕСИА, the state's single sign-on."""


class BegunEsia(Reply):
    """`url` is where the person signs in. Whoever sends somebody there keeps `state` in that browser, and compares."""

    url: str = Field(json_schema_extra={"secret": True})
    state: str = Field(json_schema_extra={"secret": True})
    expires_in_s: int


class FinishEsia(Request):
    """Activates the account of whoever has signed in at ЕСИА, with the `code` and `state` that came back. A `password` of the own may be
    chosen at the same time."""

    code: Annotated[str, Field(min_length=1, max_length=2048, repr=False)]
    state: Annotated[str, Field(min_length=1, max_length=128)]
    password: Annotated[str | None, _PASSWORD] = None


class SignIn(Request):
    """Signs in with the own password. `role` is one of those that the person has, such as `director:school-7`; the first one where left
    out."""

    login: Login
    password: Password
    role: Annotated[str, Field(pattern=r"^[a-z_]+:[A-Za-z0-9_-]{1,64}$")] | None = None


class SignedIn(Reply):
    token: str = Field(json_schema_extra={"secret": True})
    expires_in_s: int
    person: Identifier
    role: str = Field(description="In what the token lets the person act, with its scope")
    roles: tuple[str, ...] = Field(description="In what this person may act, the widest first")


class ChangePassword(Request):
    """Chooses another password. Who knows login and password needs no token."""

    login: Login
    password: Password
    new_password: Password


class TokenRequest(Request):
    """Exchanges the caller's own right for a short-lived token: `role`, or `role:scope` such as `director:school-7`.

    `audience` are the services that it is for; where left out, all of them.
    """

    acting_as: Annotated[str, Field(pattern=r"^[a-z_]+(:[A-Za-z0-9_-]{1,64})?$")]
    audience: Annotated[tuple[Audience, ...], Field(min_length=1)] = get_args(Audience)


class Token(Reply):
    token: str = Field(json_schema_extra={"secret": True})
    expires_in_s: int


class AccountQuery(Act):
    person: Identifier


class AccountCard(Reply):
    person: Identifier
    account: Identifier | None
    state: Literal["none", "provisioned", "issued", "handed-over", "activated", "blocked"]


class NoteActivity(SchoolRequest):
    """Who was active on a day, as the portal has seen it. Nothing is recorded of it; what is said twice counts once."""

    day: date
    people: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=1000)]


class ActivityNoted(Reply):
    noted: int = Field(description="How many of the people the school knows; they count as active on that day")
    unknown: int = Field(description="How many it does not know; they are left out")


class ActivityQuery(SchoolRequest):
    weeks: Annotated[int, Field(ge=1, le=53)] = 10


class WeekRating(Value):
    """As in `SchoolActivityRated`: shares in percent, null where a group is empty or too small to say."""

    week_ends: date
    score: int
    teachers: int | None
    families: int | None
    pupils: int | None


class ActivityRatings(Reply):
    """The last weeks that were rated, the newest first."""

    ratings: tuple[WeekRating, ...]


class SignedCheckpoint(Reply):
    """Where the five logs are sealed, as a page to be kept; and identity's word that up to there the operator signs in its place."""

    page: str
    named: Signature


_GIVERS = {Role.ADMINISTRATOR: Scope.OWN_SCHOOL, Role.CLASS_TEACHER: Scope.OWN_CLASS}

ISSUE_CREDENTIALS = command(
    "identity.issue-credentials", IssueCredentials, CredentialsIssuedReply, _GIVERS, "Step 18: makes one-time codes for people", each=True
)
PRINT_SLIPS = command(
    "identity.print-slips",
    PrintSlips,
    PrintedSlips,
    _GIVERS,
    "Step 18: makes one-time codes for people and prints them as slips",
    each=True,
)
PROPOSE_REISSUE = command(
    "identity.propose-reissue", ProposeReissue, ProposedReissue, _GIVERS, "Proposes to replace the codes of many people at once"
)
CONFIRM_REISSUE = command(
    "identity.confirm-reissue",
    ConfirmReissue,
    Done,
    (Role.DIRECTOR, Role.ADMINISTRATOR),
    "Confirms as a second person that codes of many people are replaced",
)
REISSUE = query(
    "identity.reissue", ReissueQuery, ReissueCard, (Role.DIRECTOR, Role.ADMINISTRATOR), "Whose codes are to be replaced, and who wants it"
)
HAND_OVER = command("identity.hand-over", HandOver, HandedOver, _GIVERS, "Step 18: records that people received their codes", each=True)
MAIL_LINKS = command(
    "identity.mail-links", MailLinks, MailedLinks, _GIVERS, "Step 18: makes activation links for people and mails them", each=True
)
TAKE_LINK = query("identity.take-link", TakeLink, TakenLink, (), "The link of a credential, once, to be mailed", services=("notifier",))
RECORD_MAILING = command(
    "identity.record-mailing", RecordMailing, Done, (), "Step 18: records what became of the mail with a link", services=("notifier",)
)
REVOKE_CREDENTIALS = command(
    "identity.revoke-credentials",
    RevokeCredentials,
    RevokedCredentials,
    (Role.ADMINISTRATOR,),
    "Takes back codes and links that were not used yet",
)
ACTIVATE_LINK = command("identity.activate-link", ActivateLink, Activated, EVERYBODY, "Step 19: activates an account with its link")
ACTIVATE = command("identity.activate", Activate, Activated, EVERYBODY, "Step 19: activates an account with its one-time code")
BEGIN_ESIA = query(
    "identity.begin-esia", BeginEsia, BegunEsia, (Role.ANONYMOUS,), "Step 19: where to sign in at ЕСИА to activate an account"
)
FINISH_ESIA = command("identity.finish-esia", FinishEsia, Activated, EVERYBODY, "Step 19: activates an account by ЕСИА")
SIGN_IN = query("identity.sign-in", SignIn, SignedIn, EVERYBODY, "A short-lived token for whoever knows login and password")
CHANGE_PASSWORD = command("identity.change-password", ChangePassword, Done, EVERYBODY, "Chooses another password, with the one before")
ACCOUNT = query("identity.account", AccountQuery, AccountCard, (Role.DIRECTOR, Role.ADMINISTRATOR), "How far an account is")
NOTE_ACTIVITY = query(
    "identity.note-activity",
    NoteActivity,
    ActivityNoted,
    (),
    "Step 21: takes in who was active on a day, for the weekly rating",
)
ACTIVITY = query(
    "identity.activity", ActivityQuery, ActivityRatings, (Role.DIRECTOR, Role.ADMINISTRATOR), "Step 21: a school's last activity ratings"
)
ANNUL = command("identity.annul", AnnulEntry, Done, (Role.ADMINISTRATOR,), "Annuls a hand-over that was recorded by mistake")
TOKEN = query("identity.token", TokenRequest, Token, (), "A short-lived token to act in a role, for the operator of an embedded instance")
CHECKPOINT = query(
    "identity.checkpoint",
    Nothing,
    SignedCheckpoint,
    (),
    "Signs where all logs are sealed, and names who signs up to there",
)
