"""What processes cost and may use, as Linux counts it: CPU seconds, memory, descriptors. What a host took."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def descriptors() -> int:
    """How many this process and those that it starts may have open, as many as the machine allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def children(pid: int) -> list[int]:
    """All descendants, not only the next generation."""
    own = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own + [each for child in own for each in children(child)]


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time so far. 10 ms is the clock's grain: measure seconds."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


class Stolen:
    """Made where a measurement begins. `share`, at its end: the part of this machine's CPU time that its host
    gave to others though there was work for it. 0 on a machine that is nobody's guest."""

    def __init__(self) -> None:
        self._stolen, self._all = self._so_far()

    def share(self) -> float:
        stolen, total = self._so_far()
        return (stolen - self._stolen) / max(1, total - self._all)

    @staticmethod
    def _so_far() -> tuple[int, int]:
        """Of all cores: user, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5)), in ticks."""
        fields = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return fields[7], sum(fields)


def memory(pid: int, field: str = "Pss") -> float:
    """MB. `Pss`: shared pages counted by their share, `Rss`: whole."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def peak_memory(pid: int) -> float:
    """The most that was ever resident, MB; `forget_peak` starts it anew."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
