"""Events in, results out: reading tables and writing what was measured."""

from sktamm.io._events import column_names, keep_written, read_events, write_events
from sktamm.io._files import file_hash, replacing
from sktamm.io._results import (
    provenance,
    result_to_json,
    result_to_text,
    write_result,
)

__all__ = [
    "column_names",
    "file_hash",
    "keep_written",
    "provenance",
    "read_events",
    "replacing",
    "result_to_json",
    "result_to_text",
    "write_events",
    "write_result",
]
