"""Where a stream of server-sent events ends when the orchestrator does not close it.

After its worker is done, an orchestrator writes newlines until the job's timeout, also after
`data: [DONE]`. So the event `[DONE]` is the end, blank lines between events are passed on once, and
a long run of nothing but newlines is an end as well.
"""

from __future__ import annotations

import re

FLOOD = 64 * 1024  # bytes of nothing but newlines
_PIECES = re.compile(rb"[^\r\n]+|[\r\n]+")
_BLANK_LINE = re.compile(rb"(?:\r\n|\r|\n){2}")
NEWLINE = ord("\n")
_LONGEST = 64  # bytes of a line that could still be the last one


class Events:
    """`feed` what comes, pass on what it returns, stop when `ended`."""

    __slots__ = ("_blank", "_line", "_newlines", "ended")

    def __init__(self) -> None:
        self.ended = False
        self._line = b""  # the start of the unfinished line
        self._blank = b""  # the newlines passed on since the last text, at most a blank line
        self._newlines = 0  # and all that came

    def feed(self, data: bytes) -> bytes:
        if not self._line and _is_plain(data):
            self._newlines = 2 if data.endswith(b"\n\n") else 1
            self._blank = data[-self._newlines :]
            return data
        kept: list[bytes] = []
        for piece in _PIECES.findall(data):
            kept.append(self._newline(piece) if piece[0] in b"\r\n" else self._text(piece))
            if self.ended:
                break
        return b"".join(kept)

    def close(self) -> bytes:
        """The stream is over: what its last event still lacks."""
        return b"\n\n" if not self.ended and self._is_last() else b""

    def _text(self, piece: bytes) -> bytes:
        self._line += piece[: _LONGEST - len(self._line)]
        self._blank, self._newlines = b"", 0
        return piece

    def _newline(self, piece: bytes) -> bytes:
        if self._is_last():
            self.ended = True
            return b"\r\n\r\n" if piece.startswith(b"\r") else b"\n\n"
        self._line = b""
        self._newlines += len(piece)
        self.ended = self._newlines > FLOOD
        seen = self._blank + piece[:4]
        blank = _BLANK_LINE.match(seen)
        passed, self._blank = len(self._blank), seen[: blank.end()] if blank else seen
        return self._blank[passed:]

    def _is_last(self) -> bool:
        return self._line.startswith(b"data:") and self._line[5:].strip() == b"[DONE]"


def _is_plain(data: bytes) -> bool:
    """Whole lines as nearly all are written, to be passed on as they are: none of them can be the last."""
    return (
        data.endswith(b"\n")
        and data[0] != NEWLINE
        and data.find(b"[DONE]") < 0
        and data.find(b"\n\n\n") < 0
        and data.find(b"\r") < 0
    )
