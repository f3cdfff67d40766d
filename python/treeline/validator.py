"""python -m treeline.validator SPEC: runs the validator_class of a model on the holdout of one version.

SPEC is JSON: {"format": 1, "validator_class", "module_path": [], "model_dir", "holdout", "label_col", "metrics": {},
"hyperparameters": {}, "output"}. The answer is written to output: {"passed": bool, "summary", "figures": {}}. Exit
code 0 whether it passed or not; 10 when it cannot be said.
"""

from __future__ import annotations

import json
import math
import pathlib
import sys
from typing import Any

from treeline import command
from treeline.classes import resolve
from treeline.errors import ConfigError
from treeline.files import write_json
from treeline.spec import FORMAT
from treeline.training.validation import Holdout, Validator, Verdict, read_holdout

REQUIRED = ("validator_class", "model_dir", "holdout", "label_col", "output")


def validate(value: dict[str, Any]) -> Verdict:
    """Judges what a validator's spec names. Raises ConfigError or DataError when there is no verdict."""
    kind = resolve(value["validator_class"], Validator, value.get("module_path") or (), "validator_class")
    holdout = Holdout(
        rows=read_holdout(value["holdout"], value["label_col"]),
        label_col=value["label_col"],
        metrics=dict(value.get("metrics") or {}),
        hyperparameters=dict(value.get("hyperparameters") or {}),
        model_dir=pathlib.Path(value["model_dir"]),
    )
    verdict = kind().validate(holdout)
    if not isinstance(verdict, Verdict) or not isinstance(verdict.passed, bool):
        raise ConfigError(
            f"{value['validator_class']}.validate returned {type(verdict).__name__},"
            " want a Verdict with passed True or False"
        )
    return verdict


def read(path: str) -> dict[str, Any]:
    """Reads a validator's spec. Raises ConfigError that names the key."""
    try:
        value = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ConfigError(f"{path}: want an object of format {FORMAT}")
    for key in REQUIRED:
        if not isinstance(value.get(key), str) or not value[key]:
            raise ConfigError(f"{path}: {key} is {value.get(key)!r}, want text")
    return value


def plain(value: Any) -> Any:
    """A figure as JSON: numbers of numpy become Python's, NaN and infinities their names."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def main(arguments: list[str]) -> int:
    """The command; returns the exit code."""
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 10

    def action() -> None:
        value = read(arguments[0])
        verdict = validate(value)
        figures = {str(name): plain(figure) for name, figure in verdict.figures.items()}
        write_json(
            value["output"],
            {"passed": verdict.passed, "summary": str(verdict.summary), "figures": figures},
        )
        print(("passed: " if verdict.passed else "failed: ") + str(verdict.summary), flush=True)

    return command.run(action)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
