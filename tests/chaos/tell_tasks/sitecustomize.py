"""For a process under test: asked by the signal SIGRTMIN, it writes how many asyncio tasks it has.

Found by Python through PYTHONPATH before anything else is imported. The answer is in `<TASKS_FOLDER>/<pid>`.
"""

import asyncio
import os
import signal


def _tell(number: int, frame: object) -> None:
    path = os.path.join(os.environ["TASKS_FOLDER"], str(os.getpid()))
    with open(f"{path}.new", "w") as file:
        file.write(str(len(asyncio.all_tasks())))
    os.replace(f"{path}.new", path)


signal.signal(signal.SIGRTMIN, _tell)
