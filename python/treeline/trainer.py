"""python -m treeline.trainer SPEC: runs one training as spec.json says; the daemon starts it.

Exit codes: 0 result.json is complete; 10 the data or the configuration cannot work; 75 something outside is not
available, try again; 143 after SIGTERM; anything else is a fault of the trainer.
"""

from __future__ import annotations

import shutil
import sys

from treeline import command
from treeline.classes import resolve
from treeline.errors import one_line
from treeline.heartbeat import Heartbeat, Progress
from treeline.spec import TrainingSpec
from treeline.training import outputs
from treeline.training.base import Trainer
from treeline.training.tracking import Tracker, tracker_of


def execute(spec: TrainingSpec, progress: Progress, tracker: Tracker) -> outputs.Result:
    """Runs the training that a spec describes; result.json is written last.

    Raises TreelineError with the message for people; the run is marked failed then.
    """
    spec.output.mkdir(parents=True, exist_ok=True)
    clear(spec)
    with Heartbeat(spec.output, progress, spec.heartbeat_seconds):
        try:
            kind = resolve(spec.trainer_class, Trainer, spec.module_path, "trainer_class")
            result = kind(spec, progress).run(tracker)
            tracker.finish()
        except Exception as error:
            tracker.fail(one_line(error))
            raise
        result.write(spec.output)
    return result


def clear(spec: TrainingSpec) -> None:
    """Removes what an earlier attempt left, so that nothing of it can pass for this one's."""
    for name in (
        outputs.RESULT,
        outputs.GOLDEN,
        outputs.HOLDOUT,
        outputs.IMPORTANCE,
        outputs.IMPORTANCE_TABLE,
    ):
        (spec.output / name).unlink(missing_ok=True)
    shutil.rmtree(spec.output / outputs.MODEL, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """The command; returns the exit code."""
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 10

    def action() -> None:
        spec = TrainingSpec.read(arguments[0])
        tracker = tracker_of(spec)
        command.on_sigterm(tracker.kill)
        execute(spec, Progress(), tracker)

    return command.run(action)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
