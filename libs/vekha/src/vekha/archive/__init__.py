"""Archives of a whole record: one signed zip file that explains and verifies itself.

    README.txt               what this is and how it is verified
    verify.py                a verifier that shares no code with ours
    checkpoint.txt           where the five logs end in here, signed by identity
    signer.json              who has signed the archive, if not identity: a key, and identity's signature that names it
    manifest.json            every other file with its SHA-256 and size
    logs/SERVICE.events      each event verbatim, behind a line with its position, the chain's hash after it, and its length
    seals/SERVICE.json       the seals that the service has kept
    schemas/TYPE.json        the JSON Schema of every event's data
    plans/                   the plans' files
    calendars/DIGEST.json    the tables of working days that the plan's log has pinned

The zip's comment signs every byte before it. Logs, seals and calendars are held against each other as well; plans and schemas stand there
to be read, and nothing is made of them. An archive ends with each log's last seal: what is not sealed yet is not in it.
"""

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint.txt"
SIGNER = "signer.json"
CALENDARS = "calendars/"


def events_file(service: str) -> str:
    return f"logs/{service}.events"


def seals_file(service: str) -> str:
    return f"seals/{service}.json"


def calendar_file(digest: str) -> str:
    return f"{CALENDARS}{digest}.json"
