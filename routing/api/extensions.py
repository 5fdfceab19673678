"""What our server offers beyond ASGI, by its name in the scope's `extensions`. Other servers offer it not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# (status, header fields, body) -> True once the whole answer is written; False: send it as ASGI does.
AT_ONCE = "byocgw.at_once"
AtOnce = Callable[[int, Sequence[tuple[bytes, bytes]], bytes], bool]
