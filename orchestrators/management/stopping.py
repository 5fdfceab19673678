"""How a command that takes long is asked to end: an event that SIGTERM and SIGINT set."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from django.core.management.base import BaseCommand


@contextmanager
def stopping(command: BaseCommand, *, quiet: bool) -> Iterator[threading.Event]:
    """The signals' former meaning comes back afterwards."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if not quiet and not stop.is_set():
            command.stderr.write(f"{signal.Signals(number).name}: finishing what is under way.")
        stop.set()

    before = {}
    if threading.current_thread() is threading.main_thread():  # nobody else may say what signals mean
        before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
