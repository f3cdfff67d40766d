"""python -m treeline.check CONFIG...: do the classes that config.yml files name exist, and can they be used?

Prints one JSON object: {"format": 1, "ok": bool, "configs": [{"path", "model_key", "ok", "error", "classes": [{"key",
"name", "resolved", "ok", "error"}]}]}. Exit code 0 when all is well, 10 otherwise.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

from treeline import config as configs
from treeline.classes import resolve
from treeline.errors import EXIT_OK, EXIT_REFUSED, TreelineError, one_line


def bases() -> dict[str, type]:
    """Base class by the key of config.yml that names a class."""
    from treeline.training import Inference, Trainer, Validator

    return {"trainer_class": Trainer, "validator_class": Validator, "inference_class": Inference}


def check(path: str) -> dict[str, Any]:
    """What is to be said about one config.yml."""
    out: dict[str, Any] = {"path": path, "model_key": "", "ok": True, "error": "", "classes": []}
    try:
        config = configs.read(path)
    except TreelineError as error:
        return {**out, "ok": False, "error": one_line(error)}
    out["model_key"] = config.model_key
    for key, base in bases().items():
        name = config.raw.get(key)
        if name is None:
            continue
        entry = {"key": key, "name": str(name), "resolved": "", "ok": True, "error": ""}
        try:
            found: type = resolve(name, base, [str(config.path.resolve().parent)], key)
            entry["resolved"] = f"{found.__module__}.{found.__qualname__}"
        except TreelineError as error:
            entry |= {"ok": False, "error": one_line(error)}
            out["ok"] = False
        out["classes"].append(entry)
    return out


def main(arguments: list[str]) -> int:
    """The command; returns the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)
        return EXIT_OK if arguments else EXIT_REFUSED
    with contextlib.redirect_stdout(sys.stderr):  # what a user's module prints when it is imported
        found = [check(path) for path in arguments]
    ok = all(entry["ok"] for entry in found)
    print(json.dumps({"format": 1, "ok": ok, "configs": found}, indent=1, ensure_ascii=False))
    return EXIT_OK if ok else EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
