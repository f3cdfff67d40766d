"""python -m treeline.trainer SPEC: does what spec["trainer_class"] names, badly on purpose."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time


def wait():
    """Sleeps for good; signals end it."""
    while True:
        time.sleep(3600)


def beat(output, step="train", fraction=0.5):
    tmp = output / "heartbeat.tmp"
    tmp.write_text(json.dumps({"at": "2026-01-01T00:00:00Z", "step": step, "fraction": fraction}))
    tmp.rename(output / "heartbeat.json")


def result(spec, output, **changes):
    """A complete result of few bytes."""
    (output / "model").mkdir(exist_ok=True)
    (output / "model" / "MLmodel").write_text("flavors: {}\n")
    (output / "model" / "model.txt").write_text("tree\n")
    for name in ("golden.parquet", "holdout.parquet"):
        (output / name).write_text("PAR1")
    (output / "importance.json").write_text("{}")
    value = {
        "format": 1,
        "training_id": spec["training_id"],
        "run_id": "run-1",
        "run_name": "churn-20261102-030000",
        "registry_version": "3",
        "model": "model/MLmodel",
        "golden": "golden.parquet",
        "holdout": "holdout.parquet",
        "importance": "importance.json",
        "metrics": {"auc": 0.875},
        "params": {"n_estimators": 100, "criterion": "gini"},
        "library": "scikit-learn 1.9.1",
        "python": "3.12.1",
        "rows": {"train": 80, "holdout": 20},
        "features": ["a", "b"],
        "trained_at": "2026-11-02T03:00:00.5Z",
        "seconds": {"train": 1.5},
    }
    value.update(changes)
    for key in [k for k, v in value.items() if v == "absent"]:
        del value[key]
    return value


def write(output, text):
    tmp = output / "result.tmp"
    tmp.write_text(text)
    tmp.rename(output / "result.json")


def main():
    spec = json.loads(pathlib.Path(sys.argv[1]).read_text())
    output = pathlib.Path(spec["output_dir"])
    kind = spec["trainer_class"]
    arg = spec["hyperparameters"]
    runs = pathlib.Path(arg.get("runs") or os.devnull)
    if runs != pathlib.Path(os.devnull):  # one line for each process that ever ran
        with open(runs, "a") as file:
            file.write(f"{os.getpid()} {pathlib.Path.cwd()}\n")
    print("training", spec["model_key"], flush=True)

    if kind == "ok":
        beat(output, "done", 1.0)
        write(output, json.dumps(result(spec, output, **arg)))
    elif kind == "model":  # a model that is scored, from a file
        value = result(spec, output, model="model/model.txt", metrics={"auc": 0.8})
        (output / "model" / "model.txt").write_bytes(pathlib.Path(arg["model"]).read_bytes())
        (output / "note").write_text(spec["training_id"])
        if arg.get("wait"):
            while not pathlib.Path(arg["wait"]).exists():
                beat(output)
                time.sleep(0.01)
        if arg.get("fails", 0) and len(pathlib.Path(arg["runs"]).read_text().splitlines()) <= arg["fails"]:
            print("error: the server is away", file=sys.stderr, flush=True)
            return 75
        write(output, json.dumps(value))
    elif kind == "exit":
        print("error: " + arg.get("message", "nothing to say"), file=sys.stderr, flush=True)
        print("bye", file=sys.stderr, flush=True)
        return arg["code"]
    elif kind == "transient_then_ok":  # by the number of runs so far
        if len(runs.read_text().splitlines()) < arg["fails"] + 1:
            print("error: the server is away", file=sys.stderr, flush=True)
            return 75
        write(output, json.dumps(result(spec, output)))
    elif kind == "silent":
        wait()
    elif kind == "stops_beating":
        beat(output)
        wait()
    elif kind == "beats":
        while True:
            beat(output)
            time.sleep(0.02)
    elif kind == "terminates":
        def terminated(*_):
            print("error: terminated", file=sys.stderr, flush=True)
            os._exit(143)
        signal.signal(signal.SIGTERM, terminated)
        beat(output)
        print("ready", flush=True)
        wait()
    elif kind == "ignores_term":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        beat(output)
        print("ready", flush=True)
        wait()
    elif kind == "raw_result":
        write(output, arg["text"] * arg.get("times", 1))
    elif kind == "no_result":
        pass
    elif kind == "truncated_result":
        text = json.dumps(result(spec, output))
        write(output, text[: len(text) // 2])
    elif kind == "link_model":
        value = result(spec, output)
        (output / "model" / "model.txt").unlink()
        (output / "model" / "model.txt").symlink_to("/etc/hostname")
        write(output, json.dumps(value))
    elif kind == "link_dir":
        value = result(spec, output)
        (output / "model").rename(output / "elsewhere")
        (output / "model").symlink_to(output / "elsewhere")
        write(output, json.dumps(value))
    elif kind == "link_result":
        (output / "real.json").write_text(json.dumps(result(spec, output)))
        (output / "result.json").symlink_to("real.json")
    elif kind == "pipe_golden":
        value = result(spec, output)
        (output / "golden.parquet").unlink()
        os.mkfifo(output / "golden.parquet")
        write(output, json.dumps(value))
    elif kind == "fills_disk":
        with open(output / "big", "wb") as file:
            while True:
                beat(output)
                file.write(b"x" * (1 << 20))
                file.flush()
                time.sleep(0.005)
    elif kind == "killed":
        print("about to die", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "group_killed":  # with the wrapper
        os.killpg(0, signal.SIGKILL)
    elif kind == "leaves_child":
        # One in the group, one that left it, one that forgot who it is cannot be told from a stranger.
        for session in (False, True):
            subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(3600)"],
                start_new_session=session,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        write(output, json.dumps(result(spec, output)))
    elif kind == "shouts":
        line = b"line %08d " + b"\xff\xfe" + "é€".encode() + b"\x00" + b"x" * arg["width"] + b"\n"
        for i in range(arg["lines"]):
            os.write(1, line % i)
        beat(output)
        while not (output / "go").exists():
            time.sleep(0.01)
        os.write(2, b"error: no \xff UTF-8\n")
        return 10
    elif kind == "environment":
        print(json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "pgid": os.getpgid(0), "ppid": os.getppid()}), flush=True)
        write(output, json.dumps(result(spec, output)))
    elif kind == "busy":
        block = bytearray(64 << 20)
        until = time.process_time() + 0.3
        while time.process_time() < until:
            block[0] ^= 1
        write(output, json.dumps(result(spec, output)))
    elif kind == "gate":  # ends when it is told to
        while not (output / "go").exists():
            beat(output)
            time.sleep(0.01)
        write(output, json.dumps(result(spec, output)))
    else:
        print(f"error: no such trainer {kind}", file=sys.stderr)
        return 10
    return 0


if __name__ == "__main__":
    sys.exit(main())
