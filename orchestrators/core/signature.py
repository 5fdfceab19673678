"""Signatures: words by which an answer is known for what it is, where its status does not tell.

Out of memory and loading have no status of their own. Operators keep the list; `DEFAULTS` is what a fresh
installation ships, and what counts where there is no list to read.

Plain substrings, upper and lower case alike: their time is bounded, a regular expression's is not. The
first that matches counts, so the order is the operator's to choose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrators.core.outcome import OutcomeClass

# What an answer can be known for. The others are judged by time (ok, slow), by the connection
# (unreachable) or by what the client did (cancelled).
RECOGNISABLE = (
    OutcomeClass.GPU_OOM,
    OutcomeClass.COLD_START,
    OutcomeClass.BUSY,
    OutcomeClass.NOT_CLAIMED,
    OutcomeClass.CONTAINER_CRASH,
    OutcomeClass.API_MISMATCH,
    OutcomeClass.TIMEOUT,
    OutcomeClass.UPSTREAM_ERROR,
    OutcomeClass.REJECTED,
    OutcomeClass.CLIENT_ERROR,
)

_LEAST = 3  # letters; fewer are in almost every text
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class Signature:
    """An answer of a status in `status_from`..`status_to` whose body has `text` and whose header
    `header` ("name: words", or "name:" for its mere presence) has those words is of class `cls`.
    Of `text` and `header` one may be "", which asks for nothing.
    """

    name: str
    cls: OutcomeClass
    status_from: int
    status_to: int
    text: str = ""
    header: str = ""

    def matches(self, status: int, headers: Mapping[str, str], text: str) -> bool:
        """`headers`: names in lower case. `text`: the head of the body, in lower case."""
        if not self.status_from <= status <= self.status_to or self.text.lower() not in text:
            return False
        return not self.header or self._is_in(headers)

    def _is_in(self, headers: Mapping[str, str]) -> bool:
        name, _, words = self.header.lower().partition(":")
        found = headers.get(name.strip())
        return found is not None and words.strip() in found.lower()


# A bare "loading" in a 400 is more often an image that could not be loaded: the client's.
DEFAULTS: tuple[Signature, ...] = (
    Signature("cuda-out-of-memory-400", OutcomeClass.GPU_OOM, 400, 400, "cuda out of memory"),
    Signature("cuda-out-of-memory-5xx", OutcomeClass.GPU_OOM, 500, 599, "cuda out of memory"),
    Signature("out-of-memory-400", OutcomeClass.GPU_OOM, 400, 400, "out of memory"),
    Signature("out-of-memory-500", OutcomeClass.GPU_OOM, 500, 500, "out of memory"),
    Signature("is-not-ready-400", OutcomeClass.COLD_START, 400, 400, "model is not ready"),
    Signature("is-not-ready-503", OutcomeClass.COLD_START, 503, 503, "model is not ready"),
    Signature("not-ready-400", OutcomeClass.COLD_START, 400, 400, "model not ready"),
    Signature("not-ready-503", OutcomeClass.COLD_START, 503, 503, "model not ready"),
    Signature("is-loading-400", OutcomeClass.COLD_START, 400, 400, "model is loading"),
    Signature("is-still-loading-400", OutcomeClass.COLD_START, 400, 400, "model is still loading"),
    Signature("loading-503", OutcomeClass.COLD_START, 503, 503, "loading"),
)


def match(
    signatures: Iterable[Signature], status: int, headers: Mapping[str, str], text: str
) -> Signature | None:
    """The first that the answer bears. `headers`: names in lower case; `text`: in lower case."""
    return next((each for each in signatures if each.matches(status, headers, text)), None)


def faults(signature: Signature) -> dict[str, str]:
    """Field -> why it cannot be used, as a sentence; {} for a sound one."""
    found: dict[str, str] = {}
    text = signature.text.strip()
    if signature.status_from > signature.status_to:
        found["status_to"] = "The last status must not be below the first."
    if signature.cls not in RECOGNISABLE:
        found["cls"] = f"No answer can be known for {signature.cls}: {', '.join(RECOGNISABLE)}."
    elif signature.cls is OutcomeClass.CLIENT_ERROR and signature.status_from < 400:
        found["cls"] = "The client gets a client_error as it is, so its status must be 400 or more."
    if signature.header and (wrong := _header_fault(signature.header)):
        found["header"] = wrong
    if text and len(text) < _LEAST:
        found["text"] = f"Give at least {_LEAST} letters: fewer are in almost every answer."
    if not (text or signature.header.strip()):
        found["text"] = "Give a text, a header or both: a status alone is judged without a signature."
    return found


def _header_fault(header: str) -> str:
    name, colon, _ = header.partition(":")
    if not colon or not _HEADER_NAME.fullmatch(name.strip()):
        return "Write it as name: words, such as X-Model-State: loading; name: alone asks for its presence."
    return ""
