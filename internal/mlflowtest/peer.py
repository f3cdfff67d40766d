"""Runs code that comes as JSON lines on standard input; answers with the variable `out` as JSON lines."""

import json
import os
import sys
import traceback

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever libraries print is no answer

space = {"url": os.environ["MLFLOW_TRACKING_URI"], "json": json, "os": os}
broken = ""
try:
    import mlflow

    space |= {"mlflow": mlflow, "client": mlflow.MlflowClient()}
except Exception:
    broken = traceback.format_exc()
for line in sys.stdin:
    request = json.loads(line)
    space["args"], space["out"] = request["args"], None
    try:
        if broken:
            raise RuntimeError(broken)
        exec(compile(request["code"], "<test>", "exec"), space)
        answer = json.dumps({"out": space["out"]})
    except Exception:
        answer = json.dumps({"error": traceback.format_exc()})
    answers.write(answer + "\n")
    answers.flush()
