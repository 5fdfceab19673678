"""Sentences that the gateway made, told in the reader's language.

What decides knows no languages, and what is written down is read by all: both speak English. Here a sentence
is known again by its form (`wordings.FORMS`) and told in the form that the catalogue has for it; what stands in
its gaps is told as the console tells such values, so that a price is short, with the exact one in its title.
What is no sentence of ours, such as an orchestrator's own words, stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, lru_cache

from django.utils.formats import number_format
from django.utils.html import conditional_escape, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from orchestrators.core.outcome import OutcomeClass
from orchestrators.core.price import Price, PriceError, Unit
from orchestrators.display.amounts import dollars, per, price
from orchestrators.display.states import word
from orchestrators.display.wordings import FORMS
from orchestrators.models import Mode

_GAP = re.compile(r"\{([a-z_]+)\}")
_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
# Strangers may say anything, and are looked at no further than this: characters, and ends of a part.
_LONGEST, _MOST_PARTS = 500, 8
_PART = re.compile(r"[.;] ")


def told(said: object) -> SafeString:
    """HTML; what is HTML already stays so."""
    text = str(said)
    if isinstance(text, SafeString):
        return text
    found = _read(text)
    if found is None:
        return conditional_escape(text)
    form, gaps = found
    pieces = _GAP.split(gettext(form))  # texts and names of gaps take turns
    pieces[1::2] = (_kind(name)[1](gaps[name]) for name in pieces[1::2])
    return format_html_join("", "{}", zip(pieces))


def _price(text: str) -> str:
    try:
        return price(Price.parse(text))
    except PriceError:  # a stranger's
        return text


def _number(text: str) -> str:
    places = len(text.partition(".")[2])
    return number_format(Decimal(text.replace(",", "")), places, force_grouping="," in text)


def _length(text: str) -> str:
    number, _space, measure = text.partition(" ")
    return f"{_number(number)} {measure}"


def _any_of(words: type[OutcomeClass | Mode | Unit]) -> str:
    return "|".join(each.value for each in words)


# How each kind of value reads in English, and how it is told. What a gap of another name holds is not ours.
KINDS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "price": (rf"[\d./]+ wei/(?:{_any_of(Unit)})", _price),
    "per": (f"per (?:{_any_of(Unit)})", lambda text: per(Unit(text.removeprefix("per ")))),
    "usd": (r"\$\d+(?:\.\d+)?", dollars),
    "unit": (_any_of(Unit), lambda text: per(Unit(text)).split()[-1]),
    "outcome": (_any_of(OutcomeClass), word),
    "mode": (_any_of(Mode), word),
    "n": (_NUMBER, _number),
    "length": (rf"{_NUMBER} (?:ms|s)", _length),
    "said": (".+?", told),
    "sentence": (r".+?\.", told),
}
_VERBATIM: tuple[str, Callable[[str], str]] = (".+?", str)


def _kind(gap: str) -> tuple[str, Callable[[str], str]]:
    return KINDS.get(gap.partition("_")[0], _VERBATIM)


def _compiled(form: str) -> re.Pattern[str]:
    pieces = _GAP.split(form)
    pieces[0::2] = map(re.escape, pieces[0::2])
    pieces[1::2] = (f"(?P<{name}>{_kind(name)[0]})" for name in pieces[1::2])
    return re.compile("".join(pieces), re.DOTALL)


def _telling(form: str) -> int:
    return sum(map(str.isalpha, _GAP.sub("", form)))


_PLAIN = frozenset(form for form in FORMS if not _GAP.search(form))


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Whichever says most of its own comes first. Made for the first page: they take 15 ms, and most processes
    show none."""
    gapped = sorted((form for form in FORMS if form not in _PLAIN), key=_telling, reverse=True)
    return [(form, _compiled(form)) for form in gapped]


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[str, Mapping[str, str]] | None:
    """Its form, and what stands in the gaps."""
    if text in _PLAIN:
        return text, {}
    if len(text) <= _LONGEST and len(_PART.findall(text)) <= _MOST_PARTS:
        for form, pattern in _patterns():
            match = pattern.fullmatch(text)
            if match is not None:
                return form, match.groupdict()
    return None
