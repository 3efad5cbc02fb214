"""`vekha import`: files handed in, rows handed back, and files that are none."""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from contracts.roster import FILE_BYTES, ImportJob, ImportStatus
from eventkit.calls import Answer
from vekha.client import Client
from vekha.failures import Failure
from vekha.importing import follow, read
from vekha.story import samples
from vekha.testing import OBEDIENT, Up, Vekha, run_binary

CLASSES = "Параллель;Литера;Учебный год;Заявлено учеников\n1;А;2015/2016;20\n1;Б;2015/2016;21\n"


@pytest.fixture
def school(open_school: Callable[[str], str]) -> str:
    return open_school(f"import-{secrets.token_hex(4)}")


def test_an_import_counts_what_it_did_and_the_same_file_again_changes_nothing(ask: Vekha, school: str, tmp_path: Path) -> None:
    file = tmp_path / "classes.csv"
    file.write_text(CLASSES)
    preview = ask("import", file, "--school", school, "--dry-run")
    assert (preview.code, preview.json["created"]) == (0, 2)
    assert "classes.csv: read as classes, utf-8 with semicolons, 2 rows." in preview.err
    done = ask("import", file, "--school", school)
    counts = {"created": 2, "updated": 0, "unchanged": 0, "review": 0, "conflict": 0, "leaving": 0}
    assert done.code == 0
    table = {"file": "classes.csv", "sheet": None, "kind": "classes", "encoding": "utf-8", "delimiter": ";", "rows": 2}
    more = {"rejected": [], "rejected_rows": 0, "rejected_file": None, "warnings": [], "tables": [table]}
    assert done.json == {"job": done.json["job"], **counts, **more}
    again = ask("import", file, "--school", school, "--as", f"administrator:{school}").json
    assert (again["created"], again["unchanged"]) == (0, 2)


async def test_an_import_is_followed_where_the_service_is_of_a_version_before_and_does_not_know_how_to_wait() -> None:
    def status(state: Literal["running", "done"]) -> ImportStatus:
        counts = dict.fromkeys(("done_rows", "total_rows", "created", "updated", "unchanged", "review"), 0)
        return ImportStatus(job="i-1", state=state, rejected=(), **counts)

    asked: list[ImportJob] = []

    class Older(Client):
        async def ask(self, call: Any, request: Any, **how: Any) -> Any:
            asked.append(request)
            if request.wait_s:
                raise Failure("body.invalid", "wait_s: Extra inputs are not permitted")
            return Answer(status("done" if len(asked) > 2 else "running"), {}, "c-1")

    done = await follow(Older.__new__(Older), "school-7", status("running"), on_progress=lambda done, total: None)
    assert done.state == "done"
    assert [bool(body.wait_s) for body in asked] == [True, False, False]


def test_a_folder_that_holds_only_the_folder_of_an_export_is_imported_too(ask: Vekha, school: str, tmp_path: Path) -> None:
    shutil.copytree(samples() / "oneroster-1.1", tmp_path / "school" / "2015-09-01")
    done = ask("import", tmp_path / "school", "--school", school, "--legal-basis", "law:273-FZ")
    assert (done.code, done.json["created"]) == (0, 32)


def test_bad_rows_come_back_as_a_file_with_their_places_and_the_good_ones_are_entered(ask: Vekha, school: str, tmp_path: Path) -> None:
    for name in ("school-classes.xlsx", "school-pupils-broken.csv"):
        shutil.copy(samples() / name, tmp_path)
    assert ask("import", tmp_path / "school-classes.xlsx", "--school", school).code == 0
    before = set(tmp_path.iterdir())
    preview = ask("import", tmp_path / "school-pupils-broken.csv", "--school", school, "--dry-run")
    assert (preview.code, preview.json["rejected_file"], set(tmp_path.iterdir())) == (3, None, before)
    ended = ask("import", tmp_path / "school-pupils-broken.csv", "--school", school)
    assert ended.code == 3
    found = {(cell["row"], cell["column"], cell["code"]) for cell in ended.json["rejected"]}
    assert {(3, "Дата рождения", "date.unreadable"), (5, "СНИЛС", "snils.checksum")} <= found
    assert {cell["file"] for cell in ended.json["rejected"]} == {"school-pupils-broken.csv"}
    assert ended.json["created"] == 10 - len({cell["row"] for cell in ended.json["rejected"]})
    rejected = Path(ended.json["rejected_file"])
    assert rejected == tmp_path / "school-pupils-broken-rejected.csv"
    assert rejected.stat().st_mode & 0o777 == 0o600
    assert len(rejected.read_text("utf-8-sig").splitlines()) == 1 + len({cell["row"] for cell in ended.json["rejected"]})
    rejected.write_text("half corrected")
    again = ask("import", tmp_path / "school-pupils-broken.csv", "--school", school)
    assert again.json["rejected_file"] == str(tmp_path / "school-pupils-broken-rejected-2.csv")
    assert rejected.read_text() == "half corrected"


def test_of_more_wrong_rows_than_are_listed_it_says_so(ask: Vekha, vekha: Vekha, instance: Up, school: str, tmp_path: Path) -> None:
    file = tmp_path / "classes.csv"
    file.write_text("\r\n".join([CLASSES.splitlines()[0], *(f"12;А;2015/2016;;;;{number}" for number in range(900)), ""]))
    ended = ask("import", file, "--school", school)
    assert (ended.code, ended.json["rejected_rows"]) == (3, 900)
    assert len(ended.json["rejected"]) < 900
    told = vekha("import", file, "--school", school, "--data", instance.data)
    assert "Of 900 rejected rows the first " in told.out


def test_a_folder_of_csv_files_is_one_import(ask: Vekha, school: str, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text(CLASSES)
    (tmp_path / "staff.csv").write_text("Табельный №;Фамилия;Имя;Должность;Роль;Дата приёма\n1;Ёлкина;Анна;директор;директор;01.09.2010\n")
    assert ask("import", tmp_path, "--school", school).json["created"] == 3
    (tmp_path / "bad.csv").write_bytes(b"\0")
    refused = ask("import", tmp_path, "--school", school)
    assert (refused.code, refused.error["code"]) == (3, "file.unreadable")
    assert refused.error["text"].startswith("bad.csv: ")


def test_files_named_on_an_old_windows_are_imported_under_the_names_that_they_had_there(
    ask: Vekha, vekha: Vekha, instance: Up, school: str, tmp_path: Path
) -> None:
    """CP1251 is no text to a system that speaks UTF-8."""
    folder = tmp_path / os.fsdecode("выгрузка".encode("cp1251"))
    folder.mkdir()
    file = folder / os.fsdecode("классы.csv".encode("cp1251"))
    file.write_text(CLASSES + "12;Б;2015/2016;;;;900\n")
    together = ask("import", folder, "--school", school)
    assert {cell["file"] for cell in together.json["rejected"]} == {"классы.csv"}
    alone = ask("import", file, "--school", school)
    assert (alone.code, {cell["file"] for cell in alone.json["rejected"]}) == (3, {"классы.csv"})
    assert Path(alone.json["rejected_file"]).parent == folder
    told = vekha("import", file, "--school", school, "--data", instance.data)
    assert (told.code, "классы.csv" in told.out) == (3, True)
    listed = ask("import", "list", "--school", school)
    assert {card["file_name"] for card in listed.json["imports"]} == {"классы.csv", "выгрузка.zip"}


def test_a_folder_of_files_from_before_1980_is_imported(ask: Vekha, school: str, tmp_path: Path) -> None:
    """An archive that keeps no times leaves its files at 1970."""
    file = tmp_path / "classes.csv"
    file.write_text(CLASSES)
    os.utime(file, (0, 0))
    assert ask("import", tmp_path, "--school", school).json["created"] == 2


def test_rows_that_have_to_be_compared_are_listed_in_json_too(ask: Vekha, school: str, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text(CLASSES)
    twins = "".join(f"{number};Ким;Ян;17.05.2008;1А;01.09.2015;{number};14.08.2015\n" for number in (1, 2))
    (tmp_path / "pupils.csv").write_text(f"ID;Фамилия;Имя;Дата рождения;Класс;Дата зачисления;Согласие №;Дата согласия\n{twins}")
    done = ask("import", tmp_path, "--school", school)
    assert done.json["review"] == 1
    assert any("pupils.csv, row 3" in warning and "row.review" in warning for warning in done.json["warnings"])
    assert done.code == 0
    assert f"`vekha import reviews --school {school}`" in done.err


def test_rows_that_are_put_aside_are_listed_and_settled(vekha: Vekha, ask: Vekha, instance: Up, school: str, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text(CLASSES)
    classes = enumerate(("1А", "1А", "1В"), 1)
    twins = "".join(f"{number};Ким;Ян;17.05.2008;{label};01.09.2015;{number};14.08.2015\n" for number, label in classes)
    (tmp_path / "pupils.csv").write_text(f"ID;Фамилия;Имя;Дата рождения;Класс;Дата зачисления;Согласие №;Дата согласия\n{twins}")
    job = ask("import", tmp_path, "--school", school).json["job"]
    listed = ask("import", "reviews", "--school", school, "--import", job)
    second, third = listed.json["reviews"]
    (first,) = second["near"]
    assert (listed.code, listed.json["total"], second["row"], third["row"]) == (0, 2, 3, 4)
    shown = vekha("import", "reviews", "--school", school, "--data", instance.data)
    assert f"{second['review']}  pupils.csv row 3, ID 2: " in shown.out
    assert f"Near: {first}." in shown.out

    assert ask("import", "settle", second["review"], "--school", school).code == 2
    assert ask("import", "settle", second["review"], "--school", school, "--new", "--leave").code == 2
    done = ask("import", "settle", second["review"], "--school", school, "--same-as", first)
    assert (done.code, done.json["state"], done.json["person"]) == (0, "settled", first)
    assert ask("import", "settle", second["review"], "--school", school, "--same-as", first).json == done.json
    refused = ask("import", "settle", second["review"], "--school", school, "--new")
    assert (refused.code, refused.error["code"]) == (1, "review.settled")

    bad = ask("import", "settle", third["review"], "--school", school, "--new")
    assert (bad.code, bad.json["state"], [cell["code"] for cell in bad.json["rejected"]]) == (3, "open", ["class.not-declared"])
    told = vekha("import", "settle", third["review"], "--school", school, "--new", "--data", instance.data)
    assert (told.code, told.out.splitlines()[-1]) == (3, "Nothing was entered, and the row waits on.")
    left = vekha("import", "settle", third["review"], "--school", school, "--leave", "--data", instance.data)
    assert (left.code, left.out) == (0, "Nothing of the row is entered, and it is forgotten.\n")
    assert ask("import", "reviews", "--school", school).json["total"] == 0


def test_files_that_are_none_are_refused_as_a_whole(ask: Vekha, school: str, tmp_path: Path) -> None:
    (tmp_path / "columns.csv").write_text("Параллель;Учебный год;Заявлено учеников\n1;2015/2016;20\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (tmp_path / "empty.csv").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "oneroster.zip", "w") as archive:
        archive.writestr("manifest.csv", "propertyName,value\n")
    codes = {"columns.csv": "file.column-missing", "missing.csv": "file.unreadable", "oneroster.zip": "file.oneroster-version"}
    for name in ("columns.csv", "picture.png", "empty.csv", "missing.csv", "oneroster.zip"):
        ended = ask("import", tmp_path / name, "--school", school)
        assert ended.code == 3
        assert ended.error["code"].startswith("file.")
        assert ended.error["code"] == codes.get(name, ended.error["code"])


def test_a_oneroster_folder_is_imported_like_its_archive(ask: Vekha, school: str, tmp_path: Path) -> None:
    folder = tmp_path / "выгрузка"
    shutil.copytree(samples() / "oneroster-1.2", folder)
    basis = ("--legal-basis", "law:273-FZ")
    preview = ask("import", folder, "--school", school, *basis, "--dry-run")
    assert (preview.code, preview.json["created"], preview.json["rejected"]) == (0, 32, [])
    assert "users.csv: read as guardians, utf-8 with commas, 47 rows." in preview.err
    refused = ask("import", folder, "--school", school)
    assert (refused.code, refused.json["created"]) == (3, 8)
    assert {cell["code"] for cell in refused.json["rejected"]} == {"consent.missing"}
    rejected = Path(refused.json["rejected_file"])
    assert rejected == tmp_path / "выгрузка-rejected.zip"
    done = ask("import", rejected, "--school", school, *basis)
    assert (done.code, done.json["created"], done.json["unchanged"]) == (0, 24, 2)
    packed = Path(shutil.make_archive(str(tmp_path / "export"), "zip", folder))
    again = ask("import", packed, "--school", school, *basis)
    assert (again.code, again.json["unchanged"]) == (0, 32)


def test_a_file_over_the_limit_is_refused_before_it_is_sent_and_told_how_large_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "school.xlsx"
    with path.open("wb") as file:
        file.truncate(FILE_BYTES)
    assert len(read(path)[1]) == FILE_BYTES
    with path.open("r+b") as file:
        file.truncate(FILE_BYTES + 1)
    with pytest.raises(Failure, match="is larger than 64 MiB") as refused:
        read(path)
    assert (refused.value.code, refused.value.exit_code) == ("file.too-large", 3)


def test_a_file_that_may_not_be_read_is_an_unreadable_one(instance: Up, school: str, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text(CLASSES)
    (tmp_path / "classes.csv").chmod(0)
    through = OBEDIENT if os.geteuid() == 0 else ()
    ended = run_binary("import", tmp_path / "classes.csv", "--school", school, "--data", instance.data, "--json", through=through)
    assert (ended.code, ended.error["code"]) == (3, "file.unreadable")


def test_an_unknown_school_or_a_wrong_role_imports_nothing(ask: Vekha, school: str, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text(CLASSES)
    unknown = ask("import", tmp_path / "classes.csv", "--school", "nowhere")
    assert (unknown.code, unknown.error["code"]) == (1, "school.unknown")
    role = ask("import", tmp_path / "classes.csv", "--school", school, "--as", "ministry")
    assert (role.code, role.error["code"]) == (1, "access.role")
    basis = ask("import", tmp_path / "classes.csv", "--school", school, "--legal-basis", "whim:7")
    assert basis.code == 2
    assert ask("call", "roster.classes", f'{{"school": "{school}"}}').json["reply"]["classes"] == []


def test_an_export_under_another_name_is_imported_once_its_org_is_confirmed(ask: Vekha, school: str, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(samples() / "oneroster-1.1", folder)
    orgs = folder / "orgs.csv"
    orgs.write_text(orgs.read_text("utf-8").replace("Школа № 7", "МБОУ СОШ № 7").replace("org-school", "org 7"), "utf-8")
    for name in ("classes", "users", "enrollments"):
        file = folder / f"{name}.csv"
        file.write_text(file.read_text("utf-8").replace("org-school", "org 7"), "utf-8")
    basis = ("--legal-basis", "law:273-FZ")
    refused = ask("import", folder, "--school", school, *basis, "--dry-run")
    assert (refused.code, refused.error["code"]) == (3, "file.school-unconfirmed")
    assert "`--org 'org 7'`" in refused.error["text"]
    confirmed = ask("import", folder, "--school", school, *basis, "--org", "org 7")
    assert (confirmed.code, confirmed.json["created"]) == (0, 32)
    assert ask("import", folder, "--school", school, *basis).json["unchanged"] == 32


def test_a_folder_that_holds_only_an_archive_or_nothing_says_what_to_hand_in(ask: Vekha, school: str, tmp_path: Path) -> None:
    empty = ask("import", tmp_path, "--school", school)
    assert (empty.code, empty.error["code"]) == (3, "file.empty")
    (tmp_path / "export.zip").write_bytes(b"PK")
    refused = ask("import", tmp_path, "--school", school)
    assert refused.error["hint"] == f"Hand in {tmp_path / 'export.zip'} itself."
