"""Events in, results out: reading tables and writing what was measured."""

from sktamm.io._counting import count_simulations
from sktamm.io._cut import Cut
from sktamm.io._events import (
    column_names,
    iterate_events,
    read_events,
    write_events,
)
from sktamm.io._files import file_hash, replacing
from sktamm.io._histograms import (
    Histogram,
    HistogramAxis,
    holds_histogram,
    read_histogram,
)
from sktamm.io._ids import join_ids, keep_written
from sktamm.io._models import load_model, save_model
from sktamm.io._provenance import provenance
from sktamm.io._results import (
    read_result,
    result_from_json,
    result_schema,
    result_to_json,
    result_to_text,
    write_result,
)
from sktamm.io._sources import Source, find_sources
from sktamm.io._workspace import WorkspaceTemplates, read_workspace

__all__ = [
    "Cut",
    "Histogram",
    "HistogramAxis",
    "Source",
    "WorkspaceTemplates",
    "column_names",
    "count_simulations",
    "file_hash",
    "find_sources",
    "holds_histogram",
    "iterate_events",
    "join_ids",
    "keep_written",
    "load_model",
    "provenance",
    "read_events",
    "read_histogram",
    "read_result",
    "read_workspace",
    "replacing",
    "result_from_json",
    "result_schema",
    "result_to_json",
    "result_to_text",
    "save_model",
    "write_events",
    "write_result",
]
