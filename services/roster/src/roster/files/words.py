"""The words that schools use for yes and no, for sexes, kinships and roles, and how words are compared."""

import re
from typing import Literal, TypeVar

Sex = Literal["female", "male"]
Kinship = Literal[
    "mother",
    "father",
    "step_parent",
    "adoptive_parent",
    "foster_parent",
    "grandparent",
    "sibling",
    "relative",
    "guardian",
    "trustee",
    "other",
]
Role = Literal["director", "administrator", "class_teacher", "teacher", "other"]

Meaning = TypeVar("Meaning")

_SIGNS = re.compile(r"[\W_]+")


def folded(text: str) -> str:
    """What remains of a title, a word or a name for comparing: no case, no spaces, no signs; ё is е and № is «номер»."""
    word = text.casefold().replace("ё", "е")
    return word if word.isalnum() else _SIGNS.sub("", word.replace("№", "номер"))


def _by_word(words: dict[Meaning, str]) -> dict[str, Meaning]:
    return {folded(word): meaning for meaning, line in words.items() for word in line.split("|")}


YES_NO = _by_word({True: "да|д|yes|y|true|истина|1", False: "нет|н|no|n|false|ложь|0"})

_NOTHING = {
    folded(word)
    for word in (
        *("нет", "нет данных", "нет сведений", "не указано", "не имеет", "не имеется", "отсутствует", "н/д", "без отчества"),
        *("no", "n/a", "none", "null", "not applicable", "not specified", "not available"),
    )
}


def says_nothing(text: str) -> bool:
    """Whether it is what people and programs write where they have nothing to write."""
    if text[:1].isalnum() and text[0].casefold() not in _NOTHING_BEGINS:
        return False
    return folded(text) in _NOTHING


_NOTHING_BEGINS = {word[0] for word in _NOTHING}


SEXES: dict[str, Sex] = _by_word(
    {"female": "ж|жен|женский|f|female|девочка|девушка", "male": "м|муж|мужской|m|male|мальчик|юноша"},
)

KINSHIPS: dict[str, Kinship] = _by_word(
    {
        "mother": "мать|мама|mother",
        "father": "отец|папа|father",
        "step_parent": "отчим|мачеха|stepfather|stepmother|step-parent",
        "adoptive_parent": "усыновитель|усыновительница|удочеритель|adoptive parent",
        "foster_parent": "приёмный родитель|приёмная мать|приёмный отец|foster parent",
        "grandparent": "бабушка|дедушка|бабка|дед|бабушка или дедушка|grandmother|grandfather|grandparent",
        "sibling": "брат|сестра|brother|sister|sibling",
        "relative": "тётя|дядя|тётка|родственник|родственница|aunt|uncle|relative",
        "guardian": "опекун|опекунша|guardian",
        "trustee": "попечитель|попечительница|trustee",
        "other": "прочее|другое|иное|иной представитель|законный представитель|представитель организации|other",
    }
)

ROLES: dict[str, Role] = _by_word(
    {
        "director": "директор|директор школы|и.о. директора|исполняющий обязанности директора|director|principal|head teacher",
        # «Координатор» and «администратор системы» are one role (DOMAIN section 1).
        "administrator": "администратор|координатор|администратор системы|координатор системы|системный администратор"
        "|administrator|system administrator|coordinator",
        "class_teacher": "классный руководитель|кл. рук.|class teacher|homeroom teacher",
        "teacher": "учитель|преподаватель|педагог|teacher",
        "other": "прочее|другое|иное|сотрудник|other|staff|employee|учитель-логопед|учитель-дефектолог|логопед|дефектолог|психолог"
        "|педагог-психолог|социальный педагог|педагог-организатор|педагог-библиотекарь|педагог дополнительного образования|библиотекарь"
        "|тьютор|воспитатель|вожатый|секретарь|делопроизводитель|лаборант|медсестра|медицинская сестра|врач|завхоз|заведующий хозяйством"
        "|бухгалтер|главный бухгалтер|повар",
    }
)

# Positions with a subject or a field behind them: «учитель математики», «заместитель директора по УВР».
_ROLE_BEGINNINGS: dict[str, Role] = {
    "учитель": "teacher",
    "преподаватель": "teacher",
    "заместительдиректора": "other",
    "замдиректора": "other",
}


def role_of(words: str) -> Role | None:
    """The role that a word or a position names, or None."""
    word = folded(words)
    return ROLES.get(word) or next((role for beginning, role in _ROLE_BEGINNINGS.items() if word.startswith(beginning)), None)
