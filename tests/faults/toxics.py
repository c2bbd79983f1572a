# SPDX-License-Identifier: MIT
"""What befalls a connection of faults.py: the toxics, and the scripts that deal them out.

A toxic turns the items of one direction into other items, each with the time at which it is
due: data, or an End. All is decided when data arrive, so that nothing here waits or has a clock.
"""

import enum
import json
import math
import random
import re
from typing import NamedTuple


class End(enum.Enum):
    """How a direction ends, in its place behind the data."""

    FIN = "its sender has no more"
    RESET = "its sender has reset the connection"
    CLOSE = "a toxic closes the connection"


class Attribute(NamedTuple):
    low: float
    high: float
    default: float | None = None  # without one it has to be given
    whole: bool = False


TIME = Attribute(0, 1e8)
ZERO_TIME = Attribute(0, 1e8, default=0)


class Toxic:
    ATTRIBUTES = {}

    def __init__(self, values, draws):
        self.values = values
        self.draws = draws
        self.latest = 0.0

    def begin(self, connection):
        """Called when the connection was accepted."""

    def change(self, due, item):
        """What becomes of one item, as pairs of a time and an item."""
        yield due, item

    def pass_on(self, items):
        """Changes items. None overtakes another."""
        for due, item in items:
            for later, changed in self.change(due, item):
                self.latest = max(self.latest, later)
                yield self.latest, changed


class Latency(Toxic):
    ATTRIBUTES = {"latency": TIME, "jitter": ZERO_TIME}

    def change(self, due, item):
        jitter = self.values["jitter"]
        delay = self.values["latency"] + self.draws.uniform(-jitter, jitter)
        yield due + max(0.0, delay) / 1e3, item


class Bandwidth(Toxic):
    ATTRIBUTES = {"rate": Attribute(0.001, 1e9)}
    PIECES_PER_SECOND = 100

    def change(self, due, item):
        if isinstance(item, End):
            yield due, item
            return
        bytes_per_second = self.values["rate"] * 1000
        size = max(1, int(bytes_per_second / self.PIECES_PER_SECOND))
        # The time of the last item is when the line is free again.
        due = max(due, self.latest)
        for start in range(0, len(item), size):
            piece = item[start : start + size]
            due += len(piece) / bytes_per_second
            yield due, piece


class SlowClose(Toxic):
    ATTRIBUTES = {"delay": TIME}

    def change(self, due, item):
        if isinstance(item, End):
            due = max(due, self.latest) + self.values["delay"] / 1e3
        yield due, item


class Timeout(Toxic):
    ATTRIBUTES = {"timeout": TIME}

    def begin(self, connection):
        if self.values["timeout"]:
            connection.after(self.values["timeout"] / 1e3, connection.end)

    def change(self, due, item):
        return ()


class ResetPeer(Toxic):
    ATTRIBUTES = {"timeout": ZERO_TIME}

    def begin(self, connection):
        connection.after(self.values["timeout"] / 1e3, connection.reset)


class Slicer(Toxic):
    ATTRIBUTES = {
        "average_size": Attribute(1, 1e9, whole=True),
        "size_variation": Attribute(0, 1e9, default=0, whole=True),
        "delay": Attribute(0, 1e11, default=0),
    }

    def change(self, due, item):
        if isinstance(item, End):
            yield due, item
            return
        average, variation = self.values["average_size"], self.values["size_variation"]
        start = 0
        while start < len(item):
            size = max(1, average + self.draws.randint(-variation, variation))
            due = max(due, self.latest + self.values["delay"] / 1e6)
            yield due, item[start : start + size]
            start += size


class LimitData(Toxic):
    ATTRIBUTES = {"bytes": Attribute(0, 1e15, whole=True)}

    def __init__(self, values, draws):
        super().__init__(values, draws)
        self.left = values["bytes"]
        self.closed = False

    def change(self, due, item):
        if self.closed:
            return
        if isinstance(item, End):
            yield due, item
            return
        piece = item[: self.left]
        self.left -= len(piece)
        if piece:
            yield due, piece
        if self.left == 0:
            self.closed = True
            yield due, End.CLOSE


class Down(Toxic):
    def begin(self, connection):
        connection.proxy.down()


TYPES = {
    "latency": Latency,
    "down": Down,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
}
STREAMS = ("upstream", "downstream")


# ---- scripts ---------------------------------------------------------------------------------


class ScriptError(Exception):
    """Says where, what was found and what was expected."""


def refusal(where, found, expected):
    text = json.dumps(found)
    if len(text) > 60:
        text = text[:57] + "..."
    return ScriptError(f"{where}: found {text}, expected {expected}")


class Range(NamedTuple):
    low: float
    high: float
    whole: bool

    def draw(self, draws):
        # Drawn even where there is no choice, so that the draws that follow stay the same.
        if self.whole:
            return draws.randint(self.low, self.high)
        return draws.uniform(self.low, self.high)


class Recipe(NamedTuple):
    """One toxic of a script."""

    kind: type
    stream: str
    toxicity: float
    ranges: dict


class Entry(NamedTuple):
    """One entry of a script: the first whose range and parity a connection has is its own."""

    first: int
    last: float
    parity: int | None  # None: both
    recipes: list

    def matches(self, number):
        return self.first <= number <= self.last and self.parity in (None, number % 2)


class Script:
    def __init__(self, entries, seed):
        self.entries = entries
        self.seed = seed

    def draw(self, number):
        """The toxics of connection `number`, each with the name of its stream."""
        drawn = []
        recipes = next((e.recipes for e in self.entries if e.matches(number)), ())
        for index, recipe in enumerate(recipes):
            # A generator for each: what one draws later is no concern of the others.
            draws = random.Random(f"{self.seed}/{number}/{index}")
            chosen = draws.random() < recipe.toxicity
            values = {name: limits.draw(draws) for name, limits in recipe.ranges.items()}
            if chosen:
                drawn.append((recipe.stream, recipe.kind(values, draws)))
        return drawn


def read_members(value, where, required, optional=()):
    if not isinstance(value, dict):
        raise refusal(where, value, "an object")
    known = [*required, *optional]
    for name in value:
        if name not in known:
            raise refusal(where, name, "one of " + ", ".join(known) if known else "no member")
    for name in required:
        if name not in value:
            raise refusal(where, list(value), f'a member "{name}"')
    return value


def read_list(value, where):
    if not isinstance(value, list):
        raise refusal(where, value, "a list")
    return [(item, f"{where}[{index}]") for index, item in enumerate(value)]


def read_number(value, where, low, high, whole=False):
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        what = "an integer" if whole else "a number"
        raise refusal(where, value, f"{what} from {low:g} to {high:g}")
    return value


def read_range(value, where, attribute):
    limits = (attribute.low, attribute.high, attribute.whole)
    if not isinstance(value, dict):
        number = read_number(value, where, *limits)
        return Range(number, number, attribute.whole)
    read_members(value, where, ("min", "max"))
    low = read_number(value["min"], where + ".min", *limits)
    high = read_number(value["max"], where + ".max", *limits)
    if low > high:
        raise refusal(where, value, "a min that is not above max")
    return Range(low, high, attribute.whole)


def read_word(value, where, words):
    if value not in list(words):
        raise refusal(where, value, "one of " + ", ".join(words))
    return value


def read_recipe(value, where):
    read_members(value, where, ("type",), ("stream", "toxicity", "attributes"))
    kind = TYPES[read_word(value["type"], where + ".type", TYPES)]
    stream = read_word(value.get("stream", "downstream"), where + ".stream", STREAMS)
    toxicity = read_number(value.get("toxicity", 1), where + ".toxicity", 0, 1)
    where += ".attributes"
    known = kind.ATTRIBUTES
    required = [name for name in known if known[name].default is None]
    optional = [name for name in known if name not in required]
    given = read_members(value.get("attributes", {}), where, required, optional)
    ranges = {
        name: read_range(given.get(name, attribute.default), f"{where}.{name}", attribute)
        for name, attribute in known.items()
    }
    return Recipe(kind, stream, toxicity, ranges)


def read_recipes(value, where):
    return [read_recipe(item, place) for item, place in read_list(value, where)]


def read_match(value, where):
    """The first and the last number, and the parity."""
    words = {"*": (1, math.inf, None), "odd": (1, math.inf, 1), "even": (1, math.inf, 0)}
    if isinstance(value, str):
        if value in words:
            return words[value]
        if match := re.fullmatch(r"([1-9][0-9]{0,8})(-([1-9][0-9]{0,8})?)?", value):
            first = int(match[1])
            last = int(match[3] or 0) or math.inf if match[2] else first
            if first <= last:
                return first, last, None
    raise refusal(where, value, 'a string such as "2", "3-5", "6-", "odd", "even" or "*"')


def read_entry(value, where):
    read_members(value, where, ("match", "toxics"))
    return Entry(
        *read_match(value["match"], where + ".match"),
        read_recipes(value["toxics"], where + ".toxics"),
    )


def parse(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        found = error.doc[error.pos : error.pos + 20] or "the end"
        where = f"line {error.lineno}, column {error.colno}"
        raise ScriptError(f"{where}: found {found!r}, expected JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ScriptError(f"expected JSON: {error}") from None


def read_script(text, seed):
    """The script of a file."""
    script = read_members(parse(text), "script", ("connections",))
    entries = read_list(script["connections"], "connections")
    return Script([read_entry(item, where) for item, where in entries], seed)


def same_for_all(text, seed):
    """The script that gives every connection the toxics of a JSON list."""
    return Script([Entry(1, math.inf, None, read_recipes(parse(text), "toxics"))], seed)
