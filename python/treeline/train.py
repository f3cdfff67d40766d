"""Trains one model by hand, as the daemon would: features, split, training, evaluation, MLflow run, registered version.

    python -m treeline.train churn --git_sha $(git rev-parse HEAD)
    python -m treeline.train churn --git_sha HEAD --features features.parquet --compute_date 2026-11-02
    python -m treeline.train churn --git_sha HEAD --features data.duckdb:main.churn_features
    python -m treeline.train fraud --git_sha HEAD --features f.parquet --tracking_uri http://127.0.0.1:5000

The config.yml of the model is looked for below the working directory. Without --features the rows are those that the
daemon's scorer.yml seeds. Without a tracking URI (--tracking_uri or MLFLOW_TRACKING_URI) only the output folder is
written.
"""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import sys
import uuid
from typing import Any

import pyarrow.parquet as pq

from treeline import command, config, sources
from treeline.errors import ConfigError
from treeline.heartbeat import Progress
from treeline.spec import FORMAT, TrainingSpec


def parser() -> argparse.ArgumentParser:
    """The command line."""
    summary, _, examples = (__doc__ or "").partition("\n\n")
    made = argparse.ArgumentParser(
        prog="python -m treeline.train",
        description=summary,
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("model_key", help="model_key of config.yml")
    made.add_argument(
        "--git_sha",
        "--git-sha",
        required=True,
        metavar="SHA",
        help="commit of the training code, recorded with the run",
    )
    made.add_argument("--config", metavar="PATH", help="config.yml (default: the one with this model_key)")
    made.add_argument(
        "--features",
        metavar="FILE",
        help="rows: FILE.parquet, FILE.csv, FILE.arrow or FILE.duckdb:schema.table",
    )
    made.add_argument(
        "--compute_date",
        "--compute-date",
        default="",
        metavar="D",
        help="train on the rows up to and including day D (YYYY-MM-DD)",
    )
    made.add_argument(
        "--tracking_uri",
        "--tracking-uri",
        default=os.environ.get("MLFLOW_TRACKING_URI", ""),
        metavar="U",
        help="MLflow server",
    )
    made.add_argument("--output", metavar="DIR", help="folder for the results (default var/training/<run name>)")
    made.add_argument(
        "--environment",
        default="",
        help="tag of the run (default: training.environment of config.yml, else dev)",
    )
    return made


def make_spec(model: config.ModelConfig, options: argparse.Namespace, now: datetime.datetime) -> dict[str, Any]:
    """spec.json of this training; features.path is where the rows will be written. Raises ConfigError."""
    run_name = f"{model.model_key}-{now:%Y%m%d-%H%M%S}"
    output = pathlib.Path(options.output or pathlib.Path("var") / "training" / run_name).resolve()
    training = model.section("training")
    trainer_class = model.raw.get("trainer_class")
    if not isinstance(trainer_class, str):
        raise ConfigError(f"{model.path}: trainer_class is {trainer_class!r}; name one, such as RandomForestTrainer")
    mlflow = None
    if options.tracking_uri:
        experiment = training.get("experiment") or model.registered_model_name
        mlflow = {
            "tracking_uri": options.tracking_uri,
            "experiment": experiment,
            "run_name": run_name,
        }
    seed = training.get("seed", 7)
    return {
        "format": FORMAT,
        "training_id": run_name,
        "idempotency_key": f"by-hand-{uuid.uuid4()}",
        "model_key": model.model_key,
        "registered_model_name": model.registered_model_name,
        "trainer_class": trainer_class,
        "module_path": [str(model.path.resolve().parent)],
        "features": {
            "path": str(output / "features.parquet"),
            "compute_date": options.compute_date,
            "table": model.text("data", "features_table", ""),
        },
        "label_col": model.text("data", "label_col"),
        "key_cols": model.names("data", "key_cols"),
        "date_col": model.text("data", "date_col", ""),
        "exclude_cols": model.names("data", "exclude_cols"),
        "hyperparameters": model.section("hyperparameters"),
        "metrics": model.section("metrics"),
        "decision_threshold": model.raw.get("decision_threshold", 0.5),
        "split": {
            "method": training.get("split", "key_hash"),
            "holdout_fraction": training.get("holdout_fraction", 0.2),
            "seed": seed,
        },
        "seed": seed,
        "git_sha": options.git_sha,
        "environment": options.environment or training.get("environment") or "dev",
        "mlflow": mlflow,
        "output_dir": str(output),
    }


def train(options: argparse.Namespace) -> None:
    """Runs the command. Raises TreelineError."""
    from treeline.trainer import execute
    from treeline.training.tracking import tracker_of

    root = pathlib.Path.cwd()
    if options.compute_date:
        try:
            datetime.date.fromisoformat(options.compute_date)
        except ValueError as error:
            raise ConfigError(f"--compute_date {options.compute_date!r} is no day such as 2026-11-02") from error
    model = config.read(options.config) if options.config else config.find(options.model_key, root)
    if model.model_key != options.model_key:
        raise ConfigError(f"{model.path} describes {model.model_key}, not {options.model_key}")
    value = make_spec(model, options, datetime.datetime.now(datetime.timezone.utc))
    spec = TrainingSpec.parse(value)
    progress = Progress()
    progress.say(f"{model.path}: {spec.trainer_class}")
    table = sources.load(model, options.features, options.compute_date, root)
    spec.output.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, spec.features.path)
    tracker = tracker_of(spec)
    command.on_sigterm(tracker.kill)
    result = execute(spec, progress, tracker)
    progress.say("")
    for name, text in summary(spec, result):
        progress.say(f"{name:12} {text}")


def summary(spec: TrainingSpec, result: Any) -> list[tuple[str, str]]:
    """What is told at the end: (name, text)."""
    rows = [
        ("model", f"{spec.registered_model_name} by {spec.trainer_class} ({result.library})"),
        ("rows", f"{result.rows['train']} trained on, {result.rows['holdout']} held out"),
        ("features", str(len(result.features))),
    ]
    rows += [(name, f"{value:.4f}") for name, value in result.metrics.items() if name != "rows"]
    if floor := spec.metrics.get("auc_threshold"):
        meets = "meets" if result.metrics.get("auc", 0.0) >= float(floor) else "is below"
        rows.append(("threshold", f"AUC {meets} metrics.auc_threshold {floor}"))
    if result.run_id:
        rows.append(("run", f"{result.run_name} ({result.run_id})"))
        rows.append(("version", f"{spec.registered_model_name} {result.registry_version}, READY, no alias"))
    rows.append(("seconds", "  ".join(f"{name} {value:.1f}" for name, value in result.seconds.items())))
    rows.append(("files", str(spec.output)))
    return rows


def main(arguments: list[str]) -> int:
    """The command; returns the exit code."""
    options = parser().parse_args(arguments)
    return command.run(lambda: train(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
