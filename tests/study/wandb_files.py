"""Reads what W&B writes offline: records in the format of LevelDB's log, by W&B's own schema."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, FILE_HEADER, HEADER = 32768, 7, 7
WHOLE, FIRST, LAST = 1, 2, 4


def records(path: Path) -> Iterator[Any]:
    """The records of a file; one that does not fit into a block is cut into parts."""
    data, at, parts = path.read_bytes(), FILE_HEADER, b""
    assert data[:4] == b":W&B"
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        content = data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        parts = content if kind in (WHOLE, FIRST) else parts + content
        if kind in (WHOLE, LAST):
            record = Record()
            record.ParseFromString(parts)
            yield record


def read_offline(folder: Path) -> dict[str, Any]:
    """Run, configuration, how often that was written, and history of a folder's one W&B run."""
    (path,) = folder.rglob("*.wandb")
    found: dict[str, Any] = {"config": {}, "configs": 0, "history": []}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["run"] = record.run
        if kind in ("run", "config"):
            updates = record.run.config.update if kind == "run" else record.config.update
            values = _values(updates)
            found["configs"] += "model" in values
            found["config"] |= values
        if kind == "history":
            found["history"].append(_values(record.history.item))
    return found


def _values(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
