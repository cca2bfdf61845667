"""Events in, results out: reading tables and writing what was measured."""

from sktamm.io._cut import Cut
from sktamm.io._events import (
    column_names,
    iterate_events,
    read_events,
    write_events,
)
from sktamm.io._files import file_hash, replacing
from sktamm.io._ids import join_ids, keep_written
from sktamm.io._results import (
    provenance,
    result_to_json,
    result_to_text,
    write_result,
)

__all__ = [
    "Cut",
    "column_names",
    "file_hash",
    "iterate_events",
    "join_ids",
    "keep_written",
    "provenance",
    "read_events",
    "replacing",
    "result_to_json",
    "result_to_text",
    "write_events",
    "write_result",
]
