"""python -m treeline.validator SPEC: does what spec["validator_class"] names."""

import json
import pathlib
import subprocess
import sys
import time


def main():
    spec = json.loads(pathlib.Path(sys.argv[1]).read_text())
    kind = spec["validator_class"]
    output = pathlib.Path(spec["output"])
    if kind == "echo":
        output.write_text(json.dumps({"passed": spec["label_col"] == "churned", "summary": f"{spec['holdout']} of {spec['model_dir']}",
                                      "figures": {"lift": 1.5, "good": True, "note": "so so", "worst": "nan", "depth": spec["hyperparameters"]["max_depth"]}}))
    elif kind == "text":
        output.write_text(spec["metrics"]["text"])
    elif kind == "endless":
        output.write_text(" " * (5 << 20))
    elif kind == "refuses":
        print("error: the holdout has one class", file=sys.stderr)
        return 10
    elif kind == "crashes":
        raise RuntimeError("boom")
    elif kind == "hangs":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
        print("hanging", flush=True)
        time.sleep(3600)
    elif kind == "silent":
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
