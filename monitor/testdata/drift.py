"""Runs treeline.drift.DriftDetector on pairs of Arrow files: PYTHONPATH=python python drift.py DIR.

DIR/<case>/reference.arrow and current.arrow; writes DIR/results.json: {case: result or {"error": text}}.
"""

import json
import pathlib
import sys

import pyarrow as pa

from treeline.drift import DriftDetector


def read(path: pathlib.Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def main() -> None:
    root = pathlib.Path(sys.argv[1])
    out = {}
    for case in sorted(p for p in root.iterdir() if p.is_dir()):
        try:
            result = DriftDetector(0.05).detect(read(case / "reference.arrow"), read(case / "current.arrow"))
            out[case.name] = result.to_dict()
        except ValueError as error:
            out[case.name] = {"error": str(error)}
    (root / "results.json").write_text(json.dumps(out))


main()
