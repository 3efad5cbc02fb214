#!/usr/bin/env python3
"""Verifies an archive of a record, or the proof of an event or of an answer, without trusting whoever made it.

    python3 verify.py ARCHIVE.zip [--checkpoint FILE] [--json]
    python3 verify.py PROOF.json [--keys ARCHIVE.zip] [--json]

The proof of an answer is printed with what it answers.

Needs Python 3.11 and the package `cryptography`, and nothing else: no network, no database, none of the programs that made the record. It
ends with 0 where everything holds, with 4 where something does not, and then says in which log, from which position on, and what was done:
changed, removed, inserted, reordered, truncated or forged.

What it holds against what:

* The archive is a zip file. Its comment is a signature over every byte before it, and `manifest.json` names each file with its SHA-256.
* `logs/SERVICE.events` holds a service's events, each behind a line with its position, the chain's hash after it (hex) and its length.
  hash(0) = SHA-256("vekha/SERVICE/LOG"), hash(n) = SHA-256(hash(n-1) || bytes of event n). An event's bytes say its position, too.
* `seals/SERVICE.json` holds the service's seals: signatures (Ed25519) under the hash at a position.
* The keys stand in the logs, as events. The first of a log is the one to believe, or not: hold its id against what you know. Each later one
  was signed by the one before it.
* `calendars/DIGEST.json` are the tables of working days that the plan's log has pinned, and no others. Of plans and schemas no log speaks.
* `checkpoint.txt` says where the five logs end. One that you have kept (`--checkpoint`) shows whether anything that it spoke of is gone.
* Identity signs all of this; or it names, in `signer.json`, the key of who signs in its place up to this checkpoint and no other.
* A proof leads from an event's bytes by hashes to the root of a Merkle tree (RFC 9162, 2.1) that a seal has signed. That of an answer has
  many of them, and a signature under the answer, a checkpoint and all events: none can be left out, and none of the answer's is missing.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SERVICES = ("roster", "consent", "identity", "plan", "notifier")
SIGNER = "identity"  # of checkpoints and archives
HEAD_LINE = re.compile(rb"([1-9][0-9]{0,17}) ([0-9a-f]{64}) ([0-9]{1,9})\n")
LONGEST_LINE = 18 + 1 + 64 + 1 + 9 + 1
LONGEST_EVENT = 1 << 20  # bytes; a bus takes no more
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others are never written, and have errors of their own
MISSING_TOLD = 1000  # events of one gap, whose end may be anything that somebody has written there
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)

Damage = tuple[str, int, str]  # whose, from where on, what was done


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def read_json(data: bytes) -> Any:
    """JSON as it is defined: UTF-8, whole characters, no other numbers than numbers. Raises ValueError."""
    try:
        read = json.loads(data.decode(), parse_constant=refuse)
        if b"\\u" in data:
            json.dumps(read, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("too deep") from None
    return read


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def is_signed(public_key: str, signature: str, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True


# ---- keys ---------------------------------------------------------------------------------------------------------------


MOMENT = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?Z"
KEY = {"key_id": "[0-9a-f]{16}", "public_key": "[0-9a-f]{64}", "not_before": MOMENT}
OF_KEYS = {
    "key-published.v1": KEY,
    "key-published.v2": KEY | {"follows": "([0-9a-f]{16})?", "handed_over": "([0-9a-f]{128})?", "taken_over": "([0-9a-f]{128})?"},
    "key-retired.v1": {"key_id": "[0-9a-f]{16}", "not_after": MOMENT},
}


class Keys:
    """The keys that one log has published, in the order of its events."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.published: list[dict[str, Any]] = []
        self.places: list[int] = []
        self.not_after: dict[str, str] = {}

    def see(self, kind: str, data: dict[str, Any], place: int = 0) -> None:
        """An event at its place. Raises ValueError, TypeError or AttributeError for one of a key that is none."""
        service, _, what = kind.partition(".")
        if service != self.service or what not in OF_KEYS:
            return
        if data.keys() != OF_KEYS[what].keys():
            raise ValueError(kind)
        if not all(re.fullmatch(form, "" if data[name] is None else data[name]) for name, form in OF_KEYS[what].items()):
            raise ValueError(kind)
        if what == "key-retired.v1":
            self.not_after.setdefault(data["key_id"], data["not_after"])
        else:
            self.published.append(data)
            self.places.append(place)

    def believed(self) -> dict[str, str]:
        """Public keys by id: the first, and each that one of them has handed over to."""
        found: dict[str, str] = {}
        for key in self.published:
            if sha256(bytes.fromhex(key["public_key"])).hex()[:16] != key["key_id"]:
                continue
            if not found:
                found[key["key_id"]] = key["public_key"]
            elif (before := found.get(key.get("follows") or "")) is not None:
                said = f"vekha-key/1\n{self.service}\n{before}\n{key['public_key']}\n{key['not_before']}\n".encode()
                if is_signed(before, key["handed_over"] or "", said) and is_signed(key["public_key"], key["taken_over"] or "", said):
                    found[key["key_id"]] = key["public_key"]
        return found

    def signed(self, key_id: str, signature: str, said: bytes, when: str) -> bool:
        """Whether one of the keys has signed this, while it was good."""
        public = self.believed().get(key_id)
        return public is not None and when <= self.not_after.get(key_id, when) and is_signed(public, signature, said)


SEAL = {"position": int, "since": int} | dict.fromkeys(("service", "log", "hash", "recorded_at", "root", "key", "signature"), str)


def said_by(seal: dict[str, Any]) -> bytes:
    names = ("service", "log", "position", "hash", "recorded_at", "since", "root", "key")
    return "".join(f"{line}\n" for line in ("vekha-seal/1", *(seal[name] for name in names))).encode()


# ---- checkpoints --------------------------------------------------------------------------------------------------------


class NoCheckpoint(ValueError):
    """There is no checkpoint in what was given as one."""


class NotToBeBelieved(ValueError):
    """What was given as an archive whose keys are believed is none, or does not verify itself."""


class Checkpoint:
    """The page that says where all logs ended, from whatever it was printed or quoted in."""

    def __init__(self, text: str) -> None:
        moment = r"[0-9-]{10}T[0-9:.]{8,15}Z"
        where = f"(0|[1-9][0-9]{{0,17}}) recorded {moment} log ([0-9a-f]+) hash ([0-9a-f]{{64}})"
        logs = " ".join(f"{service} {where}" for service in SERVICES)
        page = f"VEKHA CHECKPOINT 1 made ({moment}) {logs} key ([0-9a-f]{{16}}) of {SIGNER}"
        words = " ".join(re.sub(r'\\n|["\\>]', " ", text).split())
        found = re.search(f"({page}) signature ([0-9a-f]{{64}} [0-9a-f]{{64}})", words)
        if found is None:
            raise NoCheckpoint
        self.said, self.made, *rest = found.groups()
        self.signature = rest.pop().replace(" ", "")
        self.key = rest.pop()
        self.ends = {service: (int(rest[3 * at]), rest[3 * at + 1], rest[3 * at + 2]) for at, service in enumerate(SERVICES)}

    def holds(self, keys: Keys) -> bool:
        return keys.signed(self.key, self.signature, self.said.encode(), self.made)

    def signed_by_named(self, signer: Any, signature: str, said: bytes, keys: Keys) -> str:
        """The id of the key that identity has named here, if this was signed with it; else nothing."""
        try:
            public, word = bytes.fromhex(signer["public_key"]), bytes.fromhex(signer["signature"])
        except (ValueError, LookupError, TypeError):
            return ""
        naming = f"vekha-signer/1\n{sha256(self.said.encode()).hex()}\n{public.hex()}\n".encode()
        holds = keys.signed(self.key, word.hex(), naming, self.made) and is_signed(public.hex(), signature, said)
        return sha256(public).hex()[:16] if holds else ""


# ---- logs ---------------------------------------------------------------------------------------------------------------


class FrameBroken(Exception):
    """A line that should say where the next event begins does not."""


def events_in(file: IO[bytes]) -> Iterator[tuple[int, str, bytes]]:
    """Position, hash after it and bytes of each event of a log's file, read one by one."""
    while head := file.readline(LONGEST_LINE):
        line = HEAD_LINE.fullmatch(head)
        if line is None or (size := int(line[3])) > LONGEST_EVENT:
            raise FrameBroken
        event = file.read(size + 1)
        if len(event) <= size or not event.endswith(b"\n"):
            raise FrameBroken
        yield int(line[1]), line[2].decode(), event[:-1]


WORDS = ("specversion", "id", "source", "type", "datacontenttype", "stream", "school", "happenedon", "recordedat", "actor", "commandid")
ENVELOPE = dict.fromkeys((*WORDS, "correlationid"), str) | {"position": int, "version": int, "data": dict}


class Log:
    """One service's log as it is followed. What does not fit is noted by position."""

    def __init__(self, service: str, log: str, end: int | None, seals: list[dict[str, Any]], checkpoints: Iterable[int] = ()) -> None:
        self.service, self.log, self.end, self.seals = service, log, end, seals
        self.keys = Keys(service)
        self.faults: dict[int, set[str]] = {}
        self.misplaced: dict[int, int] = {}  # by where it stands, where an event says that it belongs
        self.asked = {seal["position"] for seal in seals} | set(checkpoints)
        self.hashes: dict[int, str] = {}  # there
        self.calendars: dict[str, Any] = {}  # that it has pinned, by digest
        self.times: dict[int, str] = {seal["position"]: seal["recorded_at"] for seal in seals}  # of the events there, once they are seen
        self.recorded_at = ""
        self.last = self.vague_up_to = 0

    def fault(self, position: int, kind: str) -> None:
        self.faults.setdefault(position, set()).add(kind)

    def follow(self, file: IO[bytes]) -> None:
        chain, expected, is_whole = sha256(f"vekha/{self.service}/{self.log}".encode()), 1, False
        try:
            for position, stored, event in events_in(file):
                if position < expected:
                    self.fault(position, "doubled")
                    continue
                for missing in range(expected, min(position, expected + MISSING_TOLD)):
                    self.fault(missing, "missing")
                expected = position + 1
                chain = sha256(chain + event)
                if chain.hex() != stored:
                    self.fault(position, "differs")
                    chain = bytes.fromhex(stored)
                self.last = position
                if position in self.asked:
                    self.hashes[position] = chain.hex()
                self.look_into(position, event)
            is_whole = True
        except FrameBroken:
            self.fault(expected, "no line")
        if self.end is not None and is_whole:
            for missing in range(expected, min(self.end + 1, expected + MISSING_TOLD)):
                self.fault(missing, "missing")
            if self.last > self.end:
                self.fault(self.end + 1, "beyond")

    def look_into(self, position: int, data: bytes) -> None:
        try:
            event: dict[str, Any] = read_json(data)
            if not all(type(event[name]) is kind for name, kind in ENVELOPE.items()):
                raise TypeError
            if not all(isinstance(event.get(name), str | None) for name in ("principal", "causationid", "traceparent")):
                raise TypeError
            belongs, kind, fields, recorded_at = event["position"], event["type"], event["data"], event["recordedat"]
            self.keys.see(kind, fields, position)
            if kind == "plan.calendar-pinned.v1":
                self.calendars[fields["calendar"]["digest"]] = fields["calendar"]
        except (ValueError, TypeError, LookupError, AttributeError):
            self.fault(position, "unreadable")
            return
        if belongs != position:
            self.misplaced[position] = belongs
            self.fault(position, "misplaced")
        if position in self.times:
            self.times[position] = recorded_at
        if recorded_at < self.recorded_at:
            self.fault(position, "earlier")
        self.recorded_at = max(self.recorded_at, recorded_at)

    def hold_seals(self) -> None:
        since = agreed = 0
        for seal in sorted(self.seals, key=lambda seal: seal["position"]):
            position = seal["position"]
            # The time is the event's: else a key whose end has come would date its seals back.
            is_ours = (seal["service"], seal["log"], seal["recorded_at"]) == (self.service, self.log, self.times[position])
            holds = is_ours and self.keys.signed(seal["key"], seal["signature"], said_by(seal), seal["recorded_at"])
            if not holds:
                self.fault(position, "forged")
            elif seal["since"] > since:
                self.fault(since + 1, "seal gone")
            since = max(since, position)
            if agreed < 0 or not holds:
                continue
            if position > self.last:
                self.fault(self.last + 1, "cut")
                agreed = -1
            elif self.hashes.get(position) != seal["hash"]:
                self.fault(agreed + 1, "other")
                self.vague_up_to = position
                agreed = -1
            else:
                agreed = position
        if self.end is not None and since < self.end:
            self.fault(since + 1, "seal gone")

    def hold_checkpoint(self, checkpoint: Checkpoint) -> None:
        position, log, hash_ = checkpoint.ends[self.service]
        if log != self.log:
            self.fault(1, "forged")
        elif position > self.last:
            self.fault(self.last + 1, "cut")
        elif position and self.hashes.get(position) != hash_:
            agreed = [
                seal["position"] for seal in self.seals if seal["position"] < position and self.hashes.get(seal["position"]) == seal["hash"]
            ]
            self.fault(max(agreed, default=0) + 1, "other")
            self.vague_up_to = max(self.vague_up_to, position)

    def agrees(self, seal: dict[str, Any]) -> bool:
        """Whether a seal is one of this log's, or may be one of what it has recorded later. A key that has ended would date that back."""
        if seal["position"] > self.last:
            return seal["log"] == self.log and seal["recorded_at"] >= self.recorded_at
        return seal["log"] == self.log and seal["hash"] == self.hashes.get(seal["position"])

    def damage(self) -> Damage | None:
        believed = self.keys.believed()
        for key, place in zip(self.keys.published, self.keys.places, strict=True):
            if key["key_id"] not in believed:
                self.fault(place, "forged")
        if not self.faults:
            return None
        # An event that says nothing says nothing of what was done: whatever else is wrong does.
        readable = self.faults_but("unreadable", self.faults)
        # A seal shows that something before it is wrong; what it is, and where, may be known better.
        placed = self.faults_but("other", readable)
        faults = placed if any(position <= self.vague_up_to for position in placed) else readable or self.faults
        first = min(faults)
        return self.service, first, self.done(first, faults[first])

    @staticmethod
    def faults_but(kind: str, faults: dict[int, set[str]]) -> dict[int, set[str]]:
        return {position: kinds - {kind} for position, kinds in faults.items() if kinds != {kind}}

    def done(self, first: int, faults: set[str]) -> str:
        if "no line" in faults:
            return "changed"
        if "doubled" in faults:
            return "inserted"
        stands_elsewhere = first in self.misplaced.values()
        if "missing" in faults:
            return "reordered" if stands_elsewhere else "removed" if self.last > first else "truncated"
        if first in self.misplaced:
            return "inserted" if self.misplaced[first] < first else "reordered" if stands_elsewhere else "removed"
        if "differs" in faults:
            return "inserted" if stands_elsewhere else "changed"
        for fault, done in (
            ("beyond", "inserted"),
            ("cut", "truncated"),
            ("forged", "forged"),
            ("other", "forged"),
            ("seal gone", "removed"),
        ):
            if fault in faults:
                return done
        return "changed"


# ---- archives -----------------------------------------------------------------------------------------------------------


class Archive:
    """An archive's files, as far as they can be read, and what is wrong with the archive itself. Logs are never in memory as a whole."""

    def __init__(self, path: Path) -> None:
        path.open("rb").close()
        self.path, self.comment = path, b""
        self.digests: dict[str, str] = {}  # of its files, by name
        self.faults: set[str] = set()
        try:
            with zipfile.ZipFile(path) as packed:
                self.comment = packed.comment
                for name in packed.namelist():
                    if name in self.digests:
                        self.faults.add("inserted")
                    if packed.getinfo(name).compress_type not in METHODS:
                        raise zipfile.BadZipFile
                    with packed.open(name) as file:
                        self.digests[name] = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
            if "manifest.json" in self.digests:
                self.hold_manifest(read_json(self.read("manifest.json")))
            else:
                self.faults.add("removed")
        except (*UNREADABLE, LookupError, TypeError, AttributeError):
            self.digests.clear()
            self.faults = {"changed"}

    def hold_manifest(self, manifest: dict[str, Any]) -> None:
        """What the manifest names is there, unchanged, and nothing else.

        Raises LookupError, TypeError or AttributeError for one that is none.
        """
        files = manifest["files"]
        if (type(manifest["format"]), type(manifest["made"])) != (int, str):
            raise TypeError
        if any((type(about["sha256"]), type(about["bytes"])) != (str, int) for about in files.values()):
            raise TypeError
        named = set(files) | {"manifest.json"}
        if named - set(self.digests):
            self.faults.add("removed")
        if set(self.digests) - named:
            self.faults.add("inserted")
        if any(self.digests[name] != about["sha256"] for name, about in files.items() if name in self.digests):
            self.faults.add("changed")

    def read(self, name: str) -> bytes:
        """A small file. Raises KeyError where it is not there."""
        if name not in self.digests:
            raise KeyError(name)
        with zipfile.ZipFile(self.path) as packed:
            return packed.read(name)

    def follow(self, log: Log) -> None:
        with zipfile.ZipFile(self.path) as packed, packed.open(f"logs/{log.service}.events") as file:
            log.follow(io.BufferedReader(cast("Any", file), 1 << 20))

    def check_signature(self, checkpoint: Checkpoint | None, keys: Keys) -> None:
        """The comment signs every byte before it."""
        found = re.fullmatch(rb"vekha-archive/1 ([0-9TZ:.-]+) ([0-9a-f]{16}) ([0-9a-f]{128})", self.comment)
        if found is None:
            self.faults.add("forged")
            return
        made, key, signature = (part.decode() for part in found.groups())
        said = f"vekha-archive/1\n{made}\n{self.digest_before_comment()}\n".encode()
        if "signer.json" not in self.digests:
            holds = keys.signed(key, signature, said, made)
        elif checkpoint is None or checkpoint.made != made:
            holds = False
        else:
            holds = checkpoint.signed_by_named(self.signer(), signature, said, keys) == key
        if not holds:
            self.faults.add("forged")

    def signer(self) -> Any:
        """Who has signed in identity's place; nobody where that cannot be read."""
        try:
            return read_json(self.read("signer.json"))
        except ValueError:
            return None

    def digest_before_comment(self) -> str:
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            left = file.seek(0, io.SEEK_END) - len(self.comment)
            file.seek(0)
            while part := file.read(min(left, 1 << 20)):
                digest.update(part)
                left -= len(part)
        return digest.hexdigest()

    def damage(self) -> list[Damage]:
        for kind in ("removed", "inserted", "changed", "forged"):
            if kind in self.faults:
                return [("archive", 0, kind)]
        return []

    def followed(self, kept: Checkpoint | None) -> tuple[list[Log], Checkpoint | None]:
        """Its logs, held against its seals and its checkpoint; and that. `kept` is another one, which they are to be held against."""
        try:
            checkpoint = Checkpoint(self.read("checkpoint.txt").decode())
        except (KeyError, ValueError):
            return [], None
        logs: list[Log] = []
        for service in SERVICES:
            end, log, _ = checkpoint.ends[service]
            if f"logs/{service}.events" not in self.digests:
                self.faults.add("removed")  # whatever its manifest says
                continue
            checkpoints = [one.ends[service][0] for one in (checkpoint, kept) if one is not None]
            logs.append(Log(service, log, end, self.seals(service), checkpoints))
            self.follow(logs[-1])
            logs[-1].hold_seals()
            logs[-1].hold_checkpoint(checkpoint)
            if service == "plan":
                self.hold_calendars(logs[-1].calendars)
        return logs, checkpoint

    def hold_calendars(self, pinned: dict[str, Any]) -> None:
        """They are those that the plan's log has pinned."""
        files = {name for name in self.digests if name.startswith("calendars/")}
        try:
            if {name: read_json(self.read(name)) for name in files} == {f"calendars/{digest}.json": one for digest, one in pinned.items()}:
                return
        except ValueError:
            pass
        self.faults.add("changed")

    def seals(self, service: str) -> list[dict[str, Any]]:
        """The seals of a log; none where they are not such."""
        try:
            seals = cast("list[dict[str, Any]]", read_json(self.read(f"seals/{service}.json")))
            if type(seals) is list and all(type(seal[name]) is kind for seal in seals for name, kind in SEAL.items()):
                return seals
        except (LookupError, ValueError, TypeError, AttributeError):
            pass
        self.faults.add("changed")
        return []


def verify_archive(path: Path, kept: Checkpoint | None) -> tuple[list[Damage], list[Log]]:
    """What is damaged, the archive itself last; and its logs."""
    archive = Archive(path)
    logs, checkpoint = archive.followed(kept)
    signer = next((log.keys for log in logs if log.service == SIGNER), Keys(SIGNER))
    damaged: list[Damage] = []
    for log in logs:
        if kept is not None:
            log.hold_checkpoint(kept)
        if (damage := log.damage()) is not None:
            damaged.append(damage)
    for one in (checkpoint, kept):
        if one is not None and not one.holds(signer) and (SIGNER, 0, "forged") not in damaged:
            damaged.append((SIGNER, 0, "forged"))
    if checkpoint is None:
        archive.faults.add("changed")
    archive.check_signature(checkpoint, signer)
    return [*damaged, *archive.damage()], logs


# ---- proofs -------------------------------------------------------------------------------------------------------------


def leads_to(root: bytes, size: int, index: int, leaf: bytes, path: list[bytes]) -> bool:
    """The inclusion proof of RFC 9162, 2.1.3.2."""
    at, last, found = index, size - 1, sha256(b"\0" + leaf)
    for sibling in path:
        if last == 0:
            return False
        if at % 2 or at == last:
            found = sha256(b"\1" + sibling + found)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            found = sha256(b"\1" + found + sibling)
        at, last = at // 2, last // 2
    return last == 0 and found == root


def logs_of_archive(path: Path) -> dict[str, Log]:
    """The logs of an archive whose keys are believed. Raises NotToBeBelieved."""
    damaged, logs = verify_archive(path, None)
    if not logs:
        raise NotToBeBelieved("it is no archive, so there are no keys in it. Name an archive whose keys you believe.")
    if damaged:
        raise NotToBeBelieved("it does not verify, so its keys prove nothing. To see what is wrong with it, verify it by itself.")
    return {log.service: log for log in logs}


def verify_event(
    proof: dict[str, Any], seal: dict[str, Any], own: dict[str, Keys], known: dict[str, Log]
) -> tuple[dict[str, Any], list[Damage]]:
    """The event of a proof, and what is wrong with it. It stands at the position that its bytes say."""
    service = seal["service"]
    keys = known[service].keys if known else own[service]
    data = base64.b64decode(proof["event"], validate=True)
    event: dict[str, Any] = read_json(data)
    path = [bytes.fromhex(hash_) for hash_ in proof["path"]]
    index, size = event["position"] - seal["since"] - 1, seal["position"] - seal["since"]
    faults: list[Damage] = []
    if not (0 <= index < size and leads_to(bytes.fromhex(seal["root"]), size, index, data, path)):
        faults.append((service, event["position"], "changed"))
    is_signed_so = keys.signed(seal["key"], seal["signature"], said_by(seal), seal["recorded_at"])
    if not is_signed_so or (known and not known[service].agrees(seal)):
        faults.append((service, seal["position"], "forged"))
    return event, faults


def keys_in(service: str, events: list[str]) -> Keys:
    keys = Keys(service)
    for data in events:
        published = read_json(base64.b64decode(data, validate=True))
        keys.see(published["type"], published["data"])
    return keys


def verify_proof(proof: dict[str, Any], known: dict[str, Log]) -> tuple[list[Damage], list[str]]:
    """What is wrong with the proof of an event, and what it says. `known` are logs whose keys are believed rather than its own."""
    service = proof["seal"]["service"]
    keys = keys_in(service, proof["keys"])
    event, faults = verify_event(proof, proof["seal"], {service: keys}, known)
    kind, name, school, recorded = (event.get(field, "?") for field in ("type", "id", "school", "recordedat"))
    return faults, [
        f"{service} {event['position']}: {kind}, event {name} of {school}, recorded {recorded}",
        f"sealed at {proof['seal']['position']} under keys that begin with {next(iter(keys.believed()), 'none')}",
    ]


def verify_answer(proof: dict[str, Any], known: dict[str, Log]) -> tuple[list[Damage], list[str]]:
    """What is wrong with the proof of an answer, and what it answers."""
    own = {service: keys_in(service, proof["keys"][service]) for service in SERVICES}
    signer = known[SIGNER].keys if known else own[SIGNER]
    checkpoint, answer = Checkpoint(proof["checkpoint"]), read_json(proof["answer"].encode())
    faults: list[Damage] = []
    if not checkpoint.holds(signer):
        faults.append((SIGNER, 0, "forged"))
    proven: dict[tuple[str, int], tuple[str, str]] = {}
    digests: list[str] = []
    for one in proof["events"]:
        seal = proof["seals"][one["seal"]]
        event, wrong = verify_event(one, seal, own, known)
        faults += [fault for fault in wrong if fault not in faults]
        service, position = seal["service"], event["position"]
        if seal["log"] != checkpoint.ends[service][1] or position > answer["at"][service]:
            faults.append((service, position, "inserted"))
        proven[service, position] = event["type"].rpartition(".")[0], event["happenedon"]
        digests.append(sha256(base64.b64decode(one["event"])).hex())
    parts = [sha256(part.encode()).hex() for part in (proof["answer"], checkpoint.said)]
    said = "".join(f"{line}\n" for line in ("vekha-answer/1", *parts, *digests)).encode()
    if "signer" in proof:
        holds = checkpoint.signed_by_named(proof["signer"], proof["signature"], said, signer) != ""
    else:
        holds = signer.signed(checkpoint.key, proof["signature"], said, checkpoint.made)
    if not holds:
        faults.append(("answer", 0, "forged"))
    if answer["at"] != {service: end for service, (end, _, _) in checkpoint.ends.items()}:
        faults.append(("answer", 0, "changed"))
    for event in answer["events"]:  # a type in its newest version, so the version does not count
        if proven.get((event["service"], event["position"])) != (event["type"].rpartition(".")[0], event["happened_on"]):
            faults.append((event["service"], event["position"], "removed"))
    row = answer["row"]
    lines = [
        f"{answer['school']}, step {answer['step']}, at the end of {answer['as_of']}: {row['state']}, {row['done']} of {row['total']}",
        f"due {row['due'] or 'on no day'}, completed {row['completed_on'] or 'on no day'}: {answer['rule']}",
        f"{len(proof['events'])} events, at {', '.join(f'{service} {position}' for service, position in answer['at'].items())}",
        *(f"{service:<9} keys that begin with {next(iter(one.believed()), 'none')}" for service, one in own.items()),
    ]
    return faults, lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verifies an archive of a record, or the proof of an event or of an answer.")
    parser.add_argument("file", type=Path, help="an archive, or a proof (.json)")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint that you have kept")
    parser.add_argument("--keys", type=Path, help="for a proof: an archive whose keys you believe")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    try:
        is_proof = begins_like_a_proof(options.file)
        if options.checkpoint is not None and is_proof:
            parser.error("--checkpoint goes with an archive: a proof has its own")
        if options.keys is not None and not is_proof:
            parser.error("--keys goes with a proof: an archive has its own")
        return _verify(options, is_proof=is_proof)
    except OSError as error:
        print(f"{error.filename or options.file} cannot be read: {error.strerror or type(error).__name__}.", file=sys.stderr)
        return 1
    except NoCheckpoint:
        print(f"{options.checkpoint}: there is no checkpoint in it.", file=sys.stderr)
        return 3
    except NotToBeBelieved as unbelievable:
        print(f"{options.keys}: {unbelievable}", file=sys.stderr)
        return 3


def begins_like_a_proof(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix == ".json" or re.match(rb'\s*\{\s*"(event|answer)"\s*:', file.read(64)) is not None


def _verify(options: argparse.Namespace, *, is_proof: bool) -> int:
    if is_proof:
        known = dict[str, Log]()
        if options.keys is not None:
            known = logs_of_archive(options.keys)
        data = options.file.read_bytes()
        try:
            proof = read_json(data)
            damaged, lines = (verify_answer if "answer" in proof else verify_proof)(proof, known)
        except (ValueError, LookupError, TypeError, AttributeError):  # no proof at all, or not a whole one
            damaged, lines = [("proof", 0, "changed")], []
        heads: dict[str, int] = {}
    else:
        kept = None if options.checkpoint is None else Checkpoint(options.checkpoint.read_text(errors="replace"))
        damaged, logs = verify_archive(options.file, kept)
        heads = {log.service: log.last for log in logs}
        lines = [f"{log.service:<9} {log.last:>9} events, keys that begin with {next(iter(log.keys.believed()), 'none')}" for log in logs]
    if options.json:
        told = [{"service": service, "position": position, "kind": kind} for service, position, kind in damaged]
        print(json.dumps({"ok": not damaged, "heads": heads, "damage": told}))
    else:
        for line in lines:
            print(line)
        for service, position, kind in damaged:
            print(f"{service}: {kind}, from {position} on")
        print("It does not verify." if damaged else "It verifies.")
    return 4 if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
