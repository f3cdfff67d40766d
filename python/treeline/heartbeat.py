"""Tells the daemon that a training lives and where it is: heartbeat.json, rewritten in one step every few seconds."""

from __future__ import annotations

import datetime
import os
import pathlib
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from treeline.errors import one_line
from treeline.files import write_json

# The part of a training that is done when a step begins, and when the last one ends.
STEPS = {
    "start": 0.0,
    "load": 0.02,
    "split": 0.12,
    "prepare": 0.15,
    "train": 0.2,
    "evaluate": 0.75,
    "log": 0.85,
    "register": 0.95,
    "done": 1.0,
}


def now() -> str:
    """The time in UTC as RFC 3339 with milliseconds."""
    moment = datetime.datetime.now(datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Progress:
    """Where a training is: the current step, the seconds that each step took, and lines for people.

    Any thread may read it; one thread, the training's, moves it on.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.seconds: dict[str, float] = {}
        self.name = "start"
        self.fraction = 0.0
        self._since = time.monotonic()

    def step(self, name: str) -> None:
        """Ends the current step and begins another one, a key of STEPS."""
        now_at = time.monotonic()
        if self.name not in ("start", "done"):
            self.seconds[self.name] = round(now_at - self._since, 3)
        self._since = now_at
        self.fraction = STEPS[name]
        self.name = name

    def part(self, done: float) -> None:
        """done of the current step, 0 to 1, is over; trainers call it after each round."""
        names = list(STEPS)
        begin = STEPS[self.name]
        end = STEPS[names[min(names.index(self.name) + 1, len(names) - 1)]]
        self.fraction = begin + (end - begin) * min(max(done, 0.0), 1.0)

    def say(self, text: str) -> None:
        """Prints one line."""
        print(text, file=self.out, flush=True)


class Heartbeat:
    """Writes heartbeat.json from a thread of its own, from __enter__ to __exit__.

    A write that fails (a full disk) is said once on stderr and tried again at the next beat: a training does not fail
    because nobody could be told.
    """

    def __init__(self, directory: str | os.PathLike[str], progress: Progress, seconds: float) -> None:
        self._path = pathlib.Path(directory) / "heartbeat.json"
        self._progress = progress
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._told = False

    def __enter__(self) -> Heartbeat:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._beat()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._beat()

    def _beat(self) -> None:
        beat = {
            "at": now(),
            "step": self._progress.name,
            "fraction": round(self._progress.fraction, 4),
        }
        try:
            write_json(self._path, beat)
        except OSError as error:
            if not self._told:
                self._told = True
                print(f"heartbeat: {one_line(error)}", file=sys.stderr, flush=True)
