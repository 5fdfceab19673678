"""A worker's death is noticed by the lock that it lets go of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from routing.lives import Life

HOLD = "import sys; from pathlib import Path; from routing.lives import Life\n"
HOLD += "life = Life(Path(sys.argv[1]), 'node'); print(life.name, flush=True); sys.stdin.read()"


def test_the_living_are_told_from_the_dead(tmp_path: Path) -> None:
    """kill -9, too."""
    ours = Life(tmp_path, "node")
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        ours.sweep()
        while_it_lives = ours.is_over(name)
        other.kill()
    assert (while_it_lives, ours.is_over(name), ours.is_over(ours.name)) == (False, True, False)
    assert len(list(tmp_path.iterdir())) == 2
    ours.sweep()
    assert len(list(tmp_path.iterdir())) == 1
    assert ours.is_over(name)
    ours.end()
    assert list(tmp_path.iterdir()) == []


def test_other_nodes_are_not_judged(tmp_path: Path) -> None:
    """Whether on another disk or on this one."""
    ours, neighbour = Life(tmp_path, "node"), Life(tmp_path, "node-2")
    assert not ours.is_over(neighbour.name)
    assert not ours.is_over("elsewhere:0123456789abcdef")
    ours.sweep()
    assert len(list(tmp_path.iterdir())) == 2
    for life in (ours, neighbour):
        life.end()
