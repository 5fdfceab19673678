"""The journal: what came of every call, from this worker's file to the database, each line exactly once.

A finished call is one checksummed line, written with one `os.write` before the last byte of its answer:
it survives `kill -9` and needs no database. A background thread drains the files in batches. Why no line
is lost and none applied twice:

1. Rows, sums and the file's mark (how many of its bytes are in the database) commit together or not at all.
2. Who drains a file holds its `flock`, and a file once given up is never drained again by its old owner.
   The mark also moves by compare-and-swap only.
3. A lock dies with its holder (flock, not lockf, which dies with any descriptor of the file). So a file
   whose lock can be taken is an orphan, and whoever takes the lock adopts it, whatever node wrote it.
4. Only whole lines with a right checksum count. A line cut short was never acknowledged.
5. A finished file is unlinked first, then its mark is deleted: the other way round a crash in between
   would apply the file again. Marks left over are forgotten at the next start, but only those of our own
   node: another node's files are not in our folder. So each node on one database needs its own BYOCGW_NODE.

    records.py   JobRecord, AttemptRecord <-> lines
    segment.py   one file: named, locked, appended to, read, removed
    sample.py    which records become rows when there are too many
    rows.py      records -> rows and sums
    store.py     one batch of a segment -> rows, sums and mark, in one transaction
    writer.py    Journal: the worker's own segments, and those it adopts

A line the database refuses goes to `<file>.rejected` in the same folder, byte for byte, and is counted: it
cannot hold up those behind it. Once the cause is mended, renaming that file to `*.journal` applies it.
"""

from __future__ import annotations

from routing.journal.records import AttemptRecord, JobRecord
from routing.journal.writer import Journal, State

__all__ = ["AttemptRecord", "JobRecord", "Journal", "State"]
