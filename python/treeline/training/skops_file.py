"""Makes skops files reproducible: equal models give equal bytes.

skops numbers objects by their address in memory and dates the entries of its archive, so two runs never write the
same file. The numbers only have to be distinct: they are replaced by 1, 2, 3 ... in the order of the schema.
"""

from __future__ import annotations

import json
import pathlib
import zipfile
from typing import Any

SCHEMA = "schema.json"
EPOCH = (1980, 1, 1, 0, 0, 0)


def normalise(path: pathlib.Path) -> None:
    """Rewrites a skops file in place. Its meaning does not change."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(entries.pop(SCHEMA))
    numbers: dict[Any, int] = {}
    files: dict[str, str] = {}
    _renumber(schema, numbers, files)
    temporary = path.with_suffix(".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for old, new in files.items():
            archive.writestr(zipfile.ZipInfo(new, EPOCH), entries[old])
        text = json.dumps(schema, indent=2)
        archive.writestr(zipfile.ZipInfo(SCHEMA, EPOCH), text)
    temporary.replace(path)


def _renumber(node: Any, numbers: dict[Any, int], files: dict[str, str]) -> None:
    if isinstance(node, list):
        for child in node:
            _renumber(child, numbers, files)
    if not isinstance(node, dict):
        return
    if "__id__" in node:
        node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
    if isinstance(node.get("file"), str) and node.get("__loader__"):
        old = node["file"]
        node["file"] = files.setdefault(old, f"{len(files) + 1}{pathlib.PurePath(old).suffix}")
    for key, child in node.items():
        if key not in ("__id__", "file"):
            _renumber(child, numbers, files)
