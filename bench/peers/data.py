"""The benchmark's models and rows, as models.py laid them out."""

import hashlib
import json
import pathlib

import numpy as np

# How many different batches a run goes through, so that no peer scores the same row over and over.
BATCHES = {1: 1000, 64: 128, 1000: 32}


class Model:
    def __init__(self, directory, name):
        self.directory = pathlib.Path(directory)
        self.name = name
        self.path = self.directory / name
        self.meta = json.loads((self.path / "meta.json").read_text())
        self.file = self.path / self.meta["file"]
        self.library = self.meta["library"]

    def digest(self):
        return hashlib.sha256(self.file.read_bytes()).hexdigest()[:16]

    def rows(self, kind):
        """The rows, row-major, as float32 (kind "f32") or float64."""
        stem = self.meta["rows"].split(".")[0]
        path = self.directory / f"{stem}.{kind}"
        if path.exists():
            data = np.fromfile(path, dtype=np.float32 if kind == "f32" else np.float64)
        else:
            data = np.fromfile(self.directory / f"{stem}.f64", dtype=np.float64).astype(np.float32)
        return data.reshape(self.meta["n"], self.meta["features"])


def pieces(rows, batch):
    """Batches of the rows, each contiguous."""
    n = min(BATCHES.get(batch, 1), max(1, len(rows) // batch))
    return [rows[i * batch : (i + 1) * batch] for i in range(n)]
