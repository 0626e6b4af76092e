"""Random names, keys, values, paths and numbers; what the test uses never occurs in training.

Every string that must be copied (key, value, path, content, number) belongs to one side by its checksum, so the two sides
are disjoint by construction; the test also has nouns and file names of its own.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import TypeVar

T = TypeVar("T")
HELD_OUT_SHARE = 8
SYLLABLES = [
    "ba",
    "be",
    "bo",
    "da",
    "de",
    "di",
    "fa",
    "fo",
    "ga",
    "gi",
    "ka",
    "ke",
    "ko",
    "la",
    "le",
    "lo",
    "ma",
    "mi",
    "mo",
    "na",
    "ne",
    "no",
    "pa",
    "pe",
    "ra",
    "re",
    "ri",
    "sa",
    "se",
    "so",
    "ta",
    "te",
    "ti",
    "to",
    "va",
    "vi",
    "za",
    "zo",
    "lin",
    "mar",
    "ton",
    "ber",
    "gul",
    "dex",
    "fyr",
    "qua",
    "wen",
    "jor",
    "pli",
    "stra",
    "cho",
    "nes",
    "tra",
    "ix",
    "um",
    "el",
    "gra",
    "thu",
    "ovo",
    "ska",
    "rud",
    "nim",
    "plo",
    "vex",
    "yar",
    "zum",
    "hil",
    "ock",
    "eth",
    "urn",
    "dal",
]
NOUNS = [
    "code",
    "password",
    "pin",
    "color",
    "number",
    "address",
    "birthday",
    "name",
    "budget",
    "city",
    "email",
    "phone",
    "key",
    "id",
    "token",
    "port",
    "score",
    "team",
    "size",
    "date",
    "deadline",
    "room",
    "gate",
    "seat",
    "food",
    "movie",
    "song",
    "book",
    "hobby",
    "limit",
    "rate",
    "price",
    "target",
    "weight",
    "height",
    "version",
    "branch",
    "server",
    "car",
    "dog",
    "cat",
    "job",
    "street",
    "car_plate",
    "animal",
    "drink",
    "sport",
    "teacher",
    "doctor",
    "bank",
    "airline",
    "country",
    "language",
    "goal",
]
NOUNS_TEST = ["nickname", "extension", "quota", "balance", "station", "flower", "badge", "username", "landmark"]
ADJECTIVES = [
    "locker",
    "wifi",
    "favorite",
    "dentist",
    "flight",
    "door",
    "bank",
    "office",
    "home",
    "project",
    "work",
    "gym",
    "car",
    "school",
    "laptop",
    "garage",
    "hotel",
    "train",
    "account",
    "user",
    "api",
    "printer",
    "alarm",
    "backup",
    "mother",
    "boss",
    "client",
    "meeting",
    "lunch",
    "router",
    "order",
    "invoice",
    "best",
    "new",
    "old",
    "daily",
    "main",
    "second",
    "first",
    "dinner",
    "travel",
    "birthday",
    "customer",
    "support",
    "shop",
    "tax",
    "game",
    "kitchen",
    "phone",
]
ADJECTIVES_TEST = ["cabin", "bicycle", "studio", "passport", "parking", "sister", "landlord", "vault", "holiday"]
STEMS = [
    "notes",
    "report",
    "data",
    "todo",
    "config",
    "list",
    "plan",
    "log",
    "draft",
    "summary",
    "results",
    "output",
    "input",
    "names",
    "items",
    "tasks",
    "readme",
    "journal",
    "letter",
    "table",
    "prices",
    "numbers",
    "memo",
    "story",
    "total",
    "index",
    "info",
    "draft_two",
    "my_file",
    "backup_data",
    "day_plan",
    "test_run",
    "shopping",
    "meeting",
    "ideas",
    "agenda",
    "quotes",
    "status",
    "result",
    "answer",
    "text",
    "hello",
    "main",
    "contacts",
    "sales",
    "scores",
]
STEMS_TEST = ["recipes", "diary", "inventory", "schedule", "budget_sheet", "song_list", "answers", "outline"]
EXTENSIONS = ["txt", "md", "csv", "json", "log", "dat", "py", "html"]
FOLDERS = ["docs", "tmp", "data", "work", "out", "home", "src", "files", "reports/2024"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


@cache
def vocabulary() -> tuple[str, ...]:
    """Return about 2,400 common words and word pieces."""
    return tuple(files("aios_evals.embedded").joinpath("words.txt").read_text(encoding="utf-8").split())


def held_out(text: str) -> bool:
    """Tell whether a string belongs to the test."""
    return zlib.crc32(text.lower().encode()) % HELD_OUT_SHARE == 0


class Source:
    """Draw everything a task is made of from one seed; `test` selects the held-out side."""

    def __init__(self, seed: int, *, test: bool = False) -> None:
        """Seed the source."""
        self.random = random.Random(seed)
        self.test = test

    def pick(self, items: Sequence[T]) -> T:
        """Return one item."""
        return self.random.choice(items)

    def side(self, train: Sequence[T], test: Sequence[T]) -> T:
        """Return one item of this side's list."""
        return self.random.choice(test if self.test else train)

    def chance(self, share: float) -> bool:
        """Return True in this share of the cases."""
        return self.random.random() < share

    def own(self, make: Callable[[], str]) -> str:
        """Draw until a string is on this side."""
        while True:
            text = make()
            if held_out(text) == self.test:
                return text

    def invented(self) -> str:
        """Return a word that does not exist."""
        word = "".join(self.pick(SYLLABLES) for _ in range(self.random.randint(2, 4)))
        return word.capitalize() if self.chance(0.3) else word

    def word(self) -> str:
        """Return a word, sometimes an invented one: more often in training, since those are what is copied wrong."""
        return self.invented() if self.chance(0.3 if self.test else 0.5) else self.pick(vocabulary())

    def phrase(self, low: int = 1, high: int = 5) -> str:
        """Return some words."""
        return " ".join(self.word() for _ in range(self.random.randint(low, high)))

    def digits(self, count: int) -> str:
        """Return a number of so many digits."""
        return str(self.random.randint(2 if count == 1 else 10 ** (count - 1), 10**count - 1))

    def number(self, digits: int | None = None) -> str:
        """Return a number; those of three digits and more belong to one side."""
        count = digits or self.pick([1, 2, 2, 3, 3, 3, 4, 4, 5, 6] + ([] if self.test else [5, 6, 6]))
        if count < 3:  # too few to divide
            return self.digits(count)
        return self.own(lambda: self.digits(count))

    def key(self) -> str:
        """Return the name of a note."""
        return self.own(self._key)

    def _key(self) -> str:
        share = self.random.random()
        test = self.test and self.chance(0.6)
        noun = self.pick(NOUNS_TEST if test else NOUNS)
        adjective = self.pick(ADJECTIVES_TEST if test else ADJECTIVES)
        if share < 0.12:
            return self.invented()
        if share < 0.3:
            return noun if share < 0.18 else f"{self.pick(vocabulary())} {noun}"
        if share < 0.42:
            return f"{adjective}_{noun}"
        if share < 0.5:
            return f"{adjective} {self.pick(ADJECTIVES)} {noun}"
        if share < 0.56:
            return f"{self.pick(vocabulary())} {self.pick(vocabulary())}"
        return f"{adjective} {noun}"

    def value(self) -> str:
        """Return what a note may hold."""
        return self.own(self._value)

    def _value(self) -> str:
        pick, number = self.pick, self.random.randint
        letters = "ABCDEFGHJKLMNPRSTVXZ"
        makers: list[Callable[[], str]] = [
            lambda: self.digits(pick([2, 3, 4, 5, 6])),
            lambda: self.digits(pick([3, 4, 5])),
            lambda: "".join(pick(letters) for _ in range(number(1, 3))) + "-" + self.digits(pick([2, 3, 4])),
            lambda: self.digits(2) + pick(letters),
            lambda: "".join(pick("abcdefghkmnpqrstuvwxyz0123456789") for _ in range(number(5, 8))),
            lambda: self.invented().capitalize(),
            lambda: self.invented().capitalize() + " " + self.invented().capitalize(),
            lambda: self.phrase(1, 1),
            lambda: self.phrase(1, 3),
            lambda: self.phrase(2, 4),
            lambda: f"{pick(MONTHS)} {number(1, 31)}",
            lambda: f"{number(2020, 2039)}-{number(1, 12):02d}-{number(1, 28):02d}",
            lambda: f"{number(1, 12)}:{number(0, 59):02d}" + pick([" am", " pm", ""]),
            lambda: f"{self.invented().lower()}@{self.invented().lower()}.{pick(['com', 'org', 'net'])}",
            lambda: f"{number(100, 999)}-{number(1000, 9999)}",
            lambda: (
                f"{self.digits(pick([1, 2, 3]))} {pick(['euros', 'dollars', 'km', 'kg', 'meters', 'people', 'hours'])}"
            ),
            lambda: f"{self.invented()}{number(1, 99)}",
        ]
        return pick(makers)()

    def content(self) -> str:
        """Return the text of a file."""
        return self.own(self._content)

    def _content(self) -> str:
        share = self.random.random()
        if share < 0.6:
            return self.phrase(1, 6)
        if share < 0.7:
            return self._value()
        if share < 0.8:
            return self.phrase(2, 7).capitalize() + "."
        if share < 0.9:
            return f"{self.word()}, {self.word()} and {self.word()}"
        return f"{self.word()}: {self._value()}"

    def lines(self) -> str:
        """Return text of a few lines."""
        return self.own(lambda: "\n".join(self._content() for _ in range(self.random.randint(2, 3))))

    def path(self) -> str:
        """Return the path of a file."""
        return self.own(self._path)

    def _path(self) -> str:
        if self.chance(0.3):
            stem = self.invented().lower() if self.chance(0.6) else self.pick(vocabulary())
        else:
            stem = self.pick(STEMS_TEST) if self.test and self.chance(0.6) else self.pick(STEMS)
        if self.chance(0.15):
            stem += self.pick(["", "_", "-"]) + self.digits(self.pick([1, 2]))
        name = f"{stem}.{self.pick(EXTENSIONS if self.chance(0.5) else ['txt', 'md'])}"
        return f"{self.pick(FOLDERS)}/{name}" if self.chance(0.15) else name
