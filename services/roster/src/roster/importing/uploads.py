"""Files on their way in: parts that may come in any order, more than once. They hold personal data, so they are sealed, and expire.

They also fill a disk, so none stays that nobody reads any more: a file that was imported or refused is gone at once, and one that was only
looked at in a preview after an hour, in which it may be imported without being sent again.
"""

from __future__ import annotations

import base64
import io
from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, Connection, Integer, LargeBinary, MetaData, Table, Text, delete, func, insert, select, update

from contracts.roster import UploadPart
from eventkit.decider import Refused
from eventkit.event import rfc3339
from roster.files import FileRefused
from roster.files.cells import tidy
from roster.files.limits import refuse_large
from roster.vault import BOX_BYTES, Box, Damaged

LIFETIME = timedelta(days=30)
LOOKED_AT = timedelta(hours=1)
PART_BYTES = 256 * 1024

metadata = MetaData()

upload_table = Table(
    "upload",
    metadata,
    Column("school", Text, primary_key=True),
    Column("upload", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("parts", Integer, nullable=False),
    Column("file_name", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("expires_at", Text, nullable=False, index=True),
)


def take(connection: Connection, box: Box, part: UploadPart, sender: str, now: datetime) -> tuple[int, ...]:
    """Keeps one part and answers the numbers of those that are missing.

    Raises Refused `upload.malformed`, `upload.part-too-large`, `upload.other-parts` or, where there is more than a file may have,
    `file.too-large`.
    """
    content = _content(part)
    if part.part > part.parts:
        raise Refused("upload.malformed", f"There is no part {part.part} of {part.parts}. Number the parts from 1.")
    here = _parts(part.school, part.upload)
    counts = connection.execute(select(upload_table.c.parts).where(here).limit(1)).scalar()
    if counts not in (None, part.parts):
        raise Refused("upload.other-parts", f"{part.upload} was begun with {counts} parts. Begin a new upload under another id.")
    connection.execute(delete(upload_table).where(here, upload_table.c.part == part.part))
    sealed = connection.execute(select(func.count(), func.sum(func.length(upload_table.c.content))).where(here)).one()
    try:
        refuse_large((sealed[1] or 0) - sealed[0] * BOX_BYTES + len(content), "")
    except FileRefused as refused:
        raise Refused(refused.code, refused.text, refused.hint) from None
    context = _context(part.school, sender, part.upload, part.part)
    row = {
        "school": part.school,
        "upload": part.upload,
        "part": part.part,
        "parts": part.parts,
        "file_name": box.seal(tidy(part.file_name).encode(), context),
        "content": box.seal(content, context),
        "expires_at": rfc3339(now + LIFETIME),
    }
    connection.execute(insert(upload_table), row)
    return missing(connection, part.school, part.upload) or ()


def missing(connection: Connection, school: str, upload: str) -> tuple[int, ...] | None:
    """The numbers of the parts that have not come; None where none has, or the upload is not kept any more."""
    rows = connection.execute(select(upload_table.c.part, upload_table.c.parts).where(_parts(school, upload))).all()
    there = {row.part for row in rows}
    return tuple(part for part in range(1, rows[0].parts + 1) if part not in there) if rows else None


def whole(connection: Connection, box: Box, school: str, sender: str, upload: str) -> tuple[str, bytes]:
    """The file's name and content. Raises Refused `upload.unknown`, `upload.incomplete` or `upload.not-own`."""
    parts = missing(connection, school, upload)
    if parts is None:
        raise unknown(upload)
    if parts:
        raise incomplete(upload, parts)
    here = _parts(school, upload)
    content = io.BytesIO()
    try:
        # One part after the other: of a long file only one copy is held.
        for part in connection.execute(select(upload_table.c.part).where(here).order_by(upload_table.c.part)).scalars().all():
            sealed = connection.execute(select(upload_table.c.content).where(here, upload_table.c.part == part)).scalar_one()
            content.write(box.open(sealed, _context(school, sender, upload, part)))
        named = connection.execute(select(upload_table.c.file_name).where(here, upload_table.c.part == 1)).scalar_one()
        return box.open(named, _context(school, sender, upload, 1)).decode(), content.getvalue()
    except Damaged:
        text = f"Parts of {upload} were sent by somebody else. Send the whole file yourself, under another id."
        raise Refused("upload.not-own", text) from None


def file_name(connection: Connection, box: Box, school: str, sender: str, upload: str) -> str | None:
    """The name of a file that is kept still, and was sent by this sender."""
    wanted = select(upload_table.c.part, upload_table.c.file_name).where(_parts(school, upload))
    row = connection.execute(wanted.limit(1)).first()
    try:
        return None if row is None else box.open(row.file_name, _context(school, sender, upload, row.part)).decode()
    except Damaged:
        return None


def drop(connection: Connection, school: str, upload: str) -> None:
    """Forgets the parts of a file that nobody reads any more."""
    connection.execute(delete(upload_table).where(_parts(school, upload)))


def let_expire(connection: Connection, school: str, upload: str, now: datetime) -> None:
    """Has a file that was looked at, or may be imported when something is confirmed, stay a while only."""
    sooner = {"expires_at": rfc3339(now + LOOKED_AT)}
    connection.execute(update(upload_table).where(_parts(school, upload), upload_table.c.expires_at > sooner["expires_at"]).values(sooner))


def hold(connection: Connection, school: str, upload: str, now: datetime) -> None:
    """Has a file that is imported now not expire on the way: rejected rows are written from it in the end."""
    soon = upload_table.c.expires_at <= rfc3339(now + LOOKED_AT)
    connection.execute(update(upload_table).where(_parts(school, upload), soon).values(expires_at=rfc3339(now + LIFETIME)))


def unknown(upload: str) -> Refused:
    kept = f"One is kept for {LIFETIME.days} days, for an hour after a preview, and until it is imported or anybody of the school is erased"
    return Refused("upload.unknown", f"There is no upload {upload}. {kept}: send the file again.")


def incomplete(upload: str, parts: tuple[int, ...]) -> Refused:
    return Refused("upload.incomplete", f"Of {upload} these parts are missing: {', '.join(map(str, parts))}. Send them, then import.")


def _parts(school: str, upload: str) -> ColumnElement[bool]:
    return (upload_table.c.school == school) & (upload_table.c.upload == upload)


def _content(part: UploadPart) -> bytes:
    try:
        content = base64.b64decode(part.content, validate=True)
    except ValueError as error:
        raise Refused("upload.malformed", f"Part {part.part} is no base64. Encode it and send it again.") from error
    if len(content) > PART_BYTES:
        raise Refused("upload.part-too-large", f"Part {part.part} is over {PART_BYTES // 1024} KiB. Cut the file into smaller parts.")
    return content


def _context(school: str, sender: str, upload: str, part: int) -> str:
    return f"upload/{school}/{sender}/{upload}/{part}"
