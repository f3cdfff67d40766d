"""One peer as a process: reads commands as JSON lines, answers each with one JSON line.

    python bench/peers/worker.py ENGINE

    {"op": "hello"}                                      -> {"versions": {...}}
    {"op": "load", "directory": D, "model": NAME, "cache": C, "limit": SECONDS}
                                                         -> {"compile_seconds": s, "note": ...} or {"refused": "why"}
    {"op": "check", "threads": T, "batch": B, "rows": N, "out": FILE}
                                                         -> {"width": columns}; FILE holds N x columns doubles
    {"op": "run", "threads": T, "batch": B, "seconds": S} -> {"ns_per_row": x}

The process works only between a command and its answer, so that the benchmark decides who runs when.
"""

import json
import os
import pathlib
import sys
import time
import traceback

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from data import Model, pieces  # noqa: E402
from refused import Refused  # noqa: E402


class Worker:
    def __init__(self, name):
        from engines import ENGINES

        self.engine = ENGINES[name]()
        self.model = None
        self.ready = {}

    def hello(self, _):
        return {"versions": self.engine.versions()}

    def load(self, c):
        self.model, self.ready = None, {}
        model = Model(c["directory"], c["model"])
        self.engine.limit = c["limit"]
        self.engine.cache = pathlib.Path(c["cache"])
        start = time.monotonic()
        try:
            note = self.engine.load(model)
        except Refused as e:
            return {"refused": str(e)}
        except Exception as e:  # whatever a peer raises is its reason
            traceback.print_exc()
            text = str(e).strip().splitlines() or [""]
            return {"refused": f"{type(e).__name__}: {text[0][:160]}"}
        self.model = model
        return {"compile_seconds": time.monotonic() - start, "note": note or ""}

    def prepare(self, threads, batch):
        """Keeps one prepared state a batch, and calls the engine's switch of threads each time."""
        if batch not in self.ready:
            self.ready[batch] = [self.engine.wrap(x) for x in pieces(self.engine.rows(self.model), batch)]
        return self.engine.predictor(threads, batch), self.ready[batch]

    def check(self, c):
        predict, _ = self.prepare(c["threads"], c["batch"])
        rows, batch = self.engine.rows(self.model), c["batch"]
        out = []
        for i in range(0, c["rows"], batch):
            out.append(self.columns(predict(self.engine.wrap(rows[i : min(i + batch, c["rows"])]))))
        out = np.ascontiguousarray(np.concatenate(out), dtype=np.float64)
        out.tofile(c["out"])
        return {"width": out.shape[1]}

    def columns(self, y):
        """Brings an engine's answer to the model's width: the positive class alone where the model gives one column."""
        y = self.engine.columns(y)
        y = np.array(y)  # some engines reuse their buffer
        y = y.reshape(-1, 1) if y.ndim <= 1 else y.reshape(y.shape[0], -1)
        width = self.model.meta["width"]
        if y.shape[1] == 2 and width == 1:
            return y[:, 1:]
        if y.shape[1] == 1 and width == 2:
            return np.hstack([1 - y, y])
        return y

    def run(self, c):
        predict, inputs = self.prepare(c["threads"], c["batch"])
        rows = sum(self.engine.length(x) for x in inputs)
        done, measured, started = 0, 0.0, time.perf_counter()
        while True:
            start = time.perf_counter()
            for x in inputs:
                predict(x)
            end = time.perf_counter()
            if done == 0 and end - start < c["seconds"] / 2:
                # The first of many passes wakes threads and fills caches.
                done = -1
                continue
            done = max(done, 0) + rows
            measured += end - start
            if end - started >= c["seconds"]:
                return {"ns_per_row": measured / done * 1e9}


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print what they like
    try:
        worker = Worker(sys.argv[1])
    except ImportError as e:
        answers.write(json.dumps({"missing": str(e)}) + "\n")
        return
    answers.write(json.dumps(worker.hello({})) + "\n")
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command["op"])(command)
        except Exception as e:
            traceback.print_exc()
            answer = {"error": f"{type(e).__name__}: {e}"[:300]}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
