"""Entry: one endpoint as one source tells of it. Answer: all of one answer, within limits.

An entry that cannot be used is left out with a remark, as the stock gateway skips it; an answer of which
no entry can be used is not the format. Too much of anything refuses the whole answer: a list that was cut
somewhere would look like one from which orchestrators have gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite
from typing import Any, NoReturn
from urllib.parse import urlsplit

LARGEST = 8 * 1024**2  # bytes of an answer
MOST_ENTRIES = 5000
MOST_NAMES = 1000  # of one endpoint
LONGEST_NAME = 200
LONGEST_URI = 255
DEEPEST = 30
MOST_REMARKS = 20


class NotTheFormat(ValueError):
    """The answer is something else. The text is a sentence for the operator."""


class Kind(StrEnum):
    """How a name is called: as a BYOC capability, a pipeline of the stock AI workers, a Live Runner app."""

    BYOC = "byoc"
    PIPELINE = "pipeline"
    RUNNER = "live-runner"


@dataclass(frozen=True, slots=True)
class Named:
    """`name`: what the orchestrator calls it. `price`: text of a `Price`, "" when not told. `path`: of a
    runner, behind the endpoint. `model`: what is said to serve it, for people; never routed on (R30).
    """

    name: str
    kind: Kind = Kind.BYOC
    price: str = ""
    path: str = ""
    model: str = ""
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """`service_uri`: `http(s)://host[:port]`, host in lower case. `score`: 0 to 1, None when not told."""

    service_uri: str
    score: float | None = None
    eth_address: str = ""
    region: str = ""
    serves: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """`entries`: each endpoint once. `remarks`: what was left out, and why; a bounded number of them."""

    entries: tuple[Entry, ...]
    remarks: tuple[str, ...] = ()


Read = Callable[[Any], Iterable[Entry]]


def load(data: bytes) -> Any:
    """The JSON document, nested no deeper than any of these formats is."""
    if len(data) > LARGEST:
        raise NotTheFormat(f"The answer is larger than {LARGEST // 1024**2} MiB.")
    try:
        document = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise NotTheFormat(f"The answer is not JSON ({exc}); it begins with {_beginning(data)}.") from exc
    if _depth_over(document, DEEPEST):
        raise NotTheFormat(f"The answer is nested deeper than {DEEPEST} levels.")
    return document


def gather(items: object, read_item: Read, *, what: str) -> Answer:
    """Read every item. `what`: how a person calls the list."""
    if not isinstance(items, list):
        raise NotTheFormat(f"{what} is {describe(items)}, not a list.")
    if len(items) > MOST_ENTRIES:
        raise NotTheFormat(f"{what} has {len(items)} entries; more than {MOST_ENTRIES} are not read.")
    found: dict[str, Entry] = {}
    faults: list[str] = []
    for number, item in enumerate(items, 1):
        try:
            for entry in read_item(item):
                found[entry.service_uri] = _joined(found.get(entry.service_uri), entry)
        except NotTheFormat:
            raise
        except ValueError as exc:
            faults.append(f"Entry {number} is left out: {exc}")
    if faults and not found:
        raise NotTheFormat(f"None of the {len(items)} entries of {what} can be read. {faults[0]}")
    if len(faults) > MOST_REMARKS:
        faults[MOST_REMARKS:] = [f"{len(faults) - MOST_REMARKS} more are left out."]
    return Answer(tuple(found.values()), tuple(faults))


def service_uri(value: object) -> str:
    """Raises ValueError. A trailing slash goes, and a host is written in lower case; a port stays as it is."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"its address is {describe(value)}, not text.")
    shown = value[:100]
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as exc:
        raise ValueError(f'"{shown}" is not an address: {exc}.') from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f'"{shown}" is not http:// or https:// with a host.')
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f'"{shown}" has more than a host and a port.')
    if len(value) > LONGEST_URI or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f'"{shown}" is too long, or has characters that no address has.')
    return f"{parts.scheme}://{parts.netloc.lower()}"


def score(value: object) -> float | None:
    """A number, or the text of one: both are in the wild. Raises ValueError."""
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        number = None
    if number is None or not isfinite(number):
        raise ValueError(f"its score is {describe(value)}, not a number.")
    return min(max(number, 0.0), 1.0)


def name(value: object) -> str:
    """What a capability is called on the wire: one line of printable ASCII. Raises ValueError."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise ValueError(f"a name of what it serves is {describe(value)}, not short text.")
    if not value.isascii() or not value.isprintable():
        raise ValueError(f"the name {value!r} has characters that no capability's name has.")
    return value


def text(value: object, longest: int = LONGEST_NAME) -> str:
    """For people: "" for whatever is no text."""
    return value[:longest] if isinstance(value, str) and value.isprintable() else ""


def count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def described_object(value: object, what: str) -> dict[str, Any]:
    """The JSON object, or a ValueError that says what there is instead."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {describe(value)}, not an object.")
    return value


def describe(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, dict):
        keys = ", ".join(str(key)[:30] for key in list(value)[:5])
        return f"an object with {keys or 'no keys'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"{str(value)[:60]!r}"


def _joined(known: Entry | None, entry: Entry) -> Entry:
    """One endpoint told of twice: the first that says something counts; of a name, the first with a price.
    Runners of one app at several paths are several."""
    if known is not None:
        entry = Entry(
            entry.service_uri,
            entry.score if known.score is None else known.score,
            known.eth_address or entry.eth_address,
            known.region or entry.region,
            known.serves + entry.serves,
        )
    serves: dict[tuple[str, str], Named] = {}
    for each in entry.serves:
        key = each.name, each.path
        if key not in serves or (each.price and not serves[key].price):
            serves[key] = each
    if len(serves) > MOST_NAMES:
        raise NotTheFormat(f"{entry.service_uri} serves more than {MOST_NAMES} names.")
    return replace(entry, serves=tuple(serves.values()))


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _beginning(data: bytes) -> str:
    return repr(data[:40].decode("utf-8", "replace"))


def _depth_over(document: object, limit: int) -> bool:
    level: list[object] = [document]
    for _ in range(limit):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        if not inner:
            return False
        level = inner
    return any(isinstance(each, dict | list) for each in level)
