"""The board and a step's explanation as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, cast

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from contracts.plan import (
    AdoptPlan,
    BaselineReply,
    Board,
    CountingEvent,
    Difference,
    DueReason,
    Explanation,
    ExtendDeadline,
    PlanAdoptedReply,
    RegionRow,
    StepRow,
    Vector,
)
from plan_tracker.domain.plan import PlanInvalid, load_plan

_STATES = {"done": "green", "in_progress": "yellow", "reopened": "magenta", "waived": "blue", "not_started": "dim"}
_DEADLINES = {
    "overdue": "bold red",
    "overdue_at_adoption": "red",
    "done_late": "yellow",
    "due_today": "yellow",
    "due_soon": "yellow",
    "done_on_time": "green",
    "on_track": "",
    "none": "dim",
}
_MOST_IDS = 10
_MOST_EVENTS = 5
_ANNULMENT = ".entry-annulled.v1"
_TITLE = "title"
_HIDDEN = "hidden"  # from those who see no people, where a few could be told apart by the count (DESIGN 3)
_WIDE = 110  # columns of a terminal that has room for everything


def board_table(board: Board, width: int) -> Table:
    """A school's board, or the region's, for a terminal of so many columns."""
    return _region(board, width) if board.school is None else _school(board, width)


def baseline_table(request: AdoptPlan, adopted: PlanAdoptedReply, width: int) -> Table:
    """The due dates that were frozen at adoption."""
    titles = _titles(adopted.plan, adopted.revision)
    rows = [[step, titles.get(int(step), ""), _day(due)] for step, due in sorted(adopted.baseline.items(), key=lambda item: int(item[0]))]
    title = f"{request.school}: {adopted.plan}, revision {adopted.revision}, from {request.start}"
    return _table(title, ["step", _TITLE, "due"], rows, width)


def moved_table(request: ExtendDeadline, reply: BaselineReply, width: int) -> Table:
    """The due dates that an extension moved."""
    rows = [[step, _day(due)] for step, due in sorted(reply.changed.items(), key=lambda item: int(item[0]))]
    title = f"{request.school}: step {request.step} until {request.due}{'' if rows else ', as it was'}"
    return _table(title, ["step", "due"], rows, width)


def explanation(found: Explanation) -> Group:
    """Why a step stands where it stands."""
    row = found.row
    lines = [
        Text(f"{found.school}, step {found.step}: {found.title_ru}", style="bold"),
        Text.assemble(
            _styled(row.state, _STATES),
            f", {_count(row)}, deadline ",
            _styled(row.deadline, _DEADLINES),
            f", at the end of {found.as_of}",
        ),
        Text(f"Rule      {found.rule_ru}"),
        Text(f"          {found.rule}"),
        Text(f"Due       {_why(found.baseline)}"),
        Text(f"Due now   {_why(found.live)}"),
    ]
    for entry in found.timeline:
        lines.append(Text(f"          {entry.change.replace('-', ' ')} on {entry.day}"))
    if found.granted is not None:
        lines.append(Text(f"Granted   {found.granted} of {row.done} who decided"))
    if found.missing_total:
        who = f": {_some(found.missing, found.missing_total)}" if found.missing else ""
        lines.append(Text(f"Missing   {found.missing_total}{who}"))
    if found.warnings:
        lines.append(Text(f"Better    after step {', '.join(map(str, found.warnings))}, not done yet"))
    struck = [event for event in found.events if event.annulled]
    counting = [event for event in found.events if not event.annulled and not event.type.endswith(_ANNULMENT)]
    lines += _newest("Counting", counting, found.events_total - 2 * found.annulled_total)
    lines += _newest("Annulled", struck, found.annulled_total)
    return Group(*lines)


def _newest(what: str, events: Sequence[CountingEvent], total: int) -> list[Text]:
    """How many there are, and the newest of those that the answer lists."""
    if not total:
        return []
    shown = events[-_MOST_EVENTS:]
    lines = [Text(f"{what:<10}{_counted(total, 'event')}{f', the newest {len(shown)}:' if shown else ''}")]
    style = "strike" if shown and shown[0].annulled else ""
    return lines + [Text(f"          {one.service} {one.position}: {one.type}, on {one.happened_on}", style=style) for one in shown]


def difference(found: Difference) -> Group:
    """What two boards differ in, a line a field."""
    whose = f"The region{_following(found.plan)}" if found.school is None else found.school
    lines = [Text(f"{whose}, from {_seen_from(found.before)} to {_seen_from(found.after)}", style="bold")]
    for step in found.steps:
        for field, (before, after) in step.changes.items():
            lines.append(Text(f"step {step.step:>2}  {field.replace('_', ' ')}: {_value(before)} → {_value(after)}"))
    if not found.steps:
        lines.append(Text("No step differs."))
    return Group(*lines)


def _following(plan: str | None) -> str:
    return f" following {plan}" if plan else ""


def _seen_from(vector: Vector) -> str:
    return f"{vector.as_of} (known: {', '.join(f'{service} {position}' for service, position in vector.at.items())})"


def _value(value: Any) -> str:
    match value:
        case None | []:
            return "none"
        case dict():
            counts = cast("dict[str, Any]", value)
            return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items()) or "none"
        case list():
            return ", ".join(map(str, cast("list[Any]", value)))
        case _:
            return str(value).replace("_", " ")


def _school(board: Board, width: int) -> Table:
    titles = _titles(board.plan, board.revision)
    rows = [
        [
            str(row.step),
            titles.get(row.step, ""),
            _styled(row.state, _STATES),
            _count(row),
            _HIDDEN if row.suppressed else str(row.late or ""),
            _day(row.due),
            _styled(row.deadline, _DEADLINES),
            _day(row.due_live),
            ", ".join(map(str, row.blocked_by)),
        ]
        for row in board.steps
        if isinstance(row, StepRow)
    ]
    columns = ["step", _TITLE, "state", "done", "late", "due", "deadline", "due now", "blocked by"]
    if width < _WIDE:
        columns, rows = columns[:-2], [row[:-2] for row in rows]
    return _table(f"{board.school} at the end of {board.as_of}{', incomplete' if board.incomplete else ''}", columns, rows, width)


def _region(board: Board, width: int) -> Table:
    rows = [
        [
            str(row.step),
            Text(", ").join(
                [Text(f"{number} {state.replace('_', ' ')}", style=_STATES.get(state, "")) for state, number in row.states.items()]
            ),
            str(row.done),
            str(row.total),
            Text(str(row.overdue), style="bold red") if row.overdue else "",
            f"without {_counted(row.suppressed, 'school')}" if row.suppressed else "",
        ]
        for row in board.steps
        if isinstance(row, RegionRow)
    ]
    columns = ["step", "states", "done", "of", "overdue", "too few to tell"]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    title = f"The region, {_counted(board.schools or 0, 'school')}{_following(board.plan)}, at the end of {board.as_of}"
    return _table(title, columns, rows, width)


def _table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], width: int) -> Table:
    """A table in which the steps' titles take what room the other columns leave."""
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    widths = [max([len(column), *(row[index].cell_len for row in cells)]) for index, column in enumerate(columns)]
    left = width - sum(size for column, size in zip(columns, widths, strict=True) if column != _TITLE) - 2 * (len(columns) - 1)
    for column in columns:
        is_title = column == _TITLE
        table.add_column("" if is_title else column, no_wrap=True, overflow="ellipsis", max_width=max(left, 8) if is_title else None)
    for row in cells:
        table.add_row(*row)
    return table


def _titles(plan: str | None, revision: int | None) -> dict[int, str]:
    """The steps' titles in the source's words; none for a plan that this program does not carry."""
    try:
        return {step.n: step.title_ru for step in load_plan(plan, revision).steps} if plan else {}
    except PlanInvalid:
        return {}


def _styled(word: str, styles: dict[str, str]) -> Text:
    return Text(word.replace("_", " "), style=styles.get(word, ""))


def _count(row: StepRow) -> str:
    if row.suppressed and row.total is None:
        return _HIDDEN
    return "" if row.total is None else f"{row.done}/{row.total}"


def _day(day: date | None) -> str:
    return "" if day is None else day.isoformat()


def _why(reason: DueReason) -> str:
    text = f"{_day(reason.due) or 'never'}{', provisionally' if reason.provisional else ''}: {reason.rule}"
    if reason.working_days is not None and reason.anchor_day is not None:
        text += f", counted from {reason.anchor_day}"
    elif reason.anchor_day is not None and reason.anchor_day != reason.due:
        text += f", {reason.anchor_day}"
    if reason.skipped:
        text += f", skipping {', '.join(f'{skipped.day} ({skipped.why})' for skipped in reason.skipped)}"
    return text


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _some(ids: Iterable[str], total: int) -> str:
    shown = list(ids)[:_MOST_IDS]
    return ", ".join(shown) + (f" and {total - len(shown)} more" if total > len(shown) else "")
