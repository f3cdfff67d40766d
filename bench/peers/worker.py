"""One peer as a process: reads commands as JSON lines, answers each with one JSON line.

    python bench/peers/worker.py ENGINE

    {"op": "hello"}                                      -> {"versions": {...}}
    {"op": "load", "directory": D, "model": NAME, "cache": C, "limit": SECONDS}
                                                         -> {"compile_seconds": s or null, "note": ...} or {"refused": "why"}
    {"op": "check", "threads": T, "batch": B, "rows": N, "out": FILE}
                                                         -> {"width": columns}; FILE holds N x columns doubles
    {"op": "run", "threads": T, "batch": B, "seconds": S} -> {"ns_per_row": x}

The process works only between a command and its answer, so that the benchmark decides who runs when.
"""

import itertools
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


WARM = 0.2  # of a run's time, before its measured part


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
        self.engine.compile_seconds = None
        try:
            note = self.engine.load(model)
        except Refused as e:
            return {"refused": str(e)}
        except Exception as e:  # whatever a peer raises is its reason
            traceback.print_exc()
            text = str(e).strip().splitlines() or [""]
            return {"refused": f"{type(e).__name__}: {text[0][:160]}"}
        self.model = model
        return {"compile_seconds": self.engine.compile_seconds, "note": note or ""}

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
        step = -(-len(inputs) // 20)
        chunks = [inputs[i : i + step] for i in range(0, len(inputs), step)]
        rows, measured, warm = 0, 0.0, False
        started = time.perf_counter()
        for chunk in itertools.cycle(chunks):
            start = time.perf_counter()
            for x in chunk:
                predict(x)
            end = time.perf_counter()
            if not warm:
                # The first calls wake threads and fill caches; a call that is long by itself counts all the same.
                warm = end - started >= WARM * c["seconds"]
                if end - start < WARM * c["seconds"]:
                    continue
            rows += sum(self.engine.length(x) for x in chunk)
            measured += end - start
            if measured >= c["seconds"]:
                return {"ns_per_row": measured / rows * 1e9}


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
