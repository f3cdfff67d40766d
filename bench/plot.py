"""Draws bench/results/latest.jsonl: python bench/plot.py DIRECTORY writes models.svg and batches.svg there."""

import collections
import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

# Figures that do not change stay the same bytes.
matplotlib.rcParams["svg.hashsalt"] = "treeline"
matplotlib.rcParams["svg.fonttype"] = "none"
METADATA = {"Date": None}
COLOURS = dict(
    zip(
        ["treeline", "treeline-portable", "lightgbm", "xgboost", "sklearn", "catboost"],
        ["#c1121f", "#f4a261", "#1d3557", "#1d3557", "#1d3557", "#1d3557"],
        strict=True,
    )
)


def colour(engine, index):
    return COLOURS.get(engine, plt.get_cmap("tab20c")(index % 20))


def grid(n):
    columns = 4
    rows = -(-n // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.6 * rows), squeeze=False)
    for axis in axes.flat[n:]:
        axis.axis("off")
    return figure, axes.flat


def by_model(results, path):
    models = list(dict.fromkeys(r["model"] for r in results))
    figure, axes = grid(len(models))
    for model, axis in zip(models, axes, strict=False):
        rows = sorted(
            (r for r in results if r["model"] == model and r["threads"] == 1 and r["batch"] == 100_000),
            key=lambda r: -r["ns_per_row"],
        )
        names = [r["engine"] + ("" if r["exact"] else " (inexact)") for r in rows]
        bars = axis.barh(names, [r["ns_per_row"] for r in rows], color=[colour(r["engine"], i) for i, r in enumerate(rows)])
        axis.bar_label(bars, [f"{r['ns_per_row']:,.0f}" for r in rows], fontsize=7, padding=2)
        axis.set_xscale("log")
        axis.margins(x=0.25)
        axis.set_title(model, fontsize=9)
        axis.tick_params(labelsize=7)
    figure.suptitle("ns per row, 1 thread, batches of 100,000 rows (logarithmic)", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, metadata=METADATA)


def by_batch(results, path):
    models = list(dict.fromkeys(r["model"] for r in results))
    figure, axes = grid(len(models))
    for model, axis in zip(models, axes, strict=False):
        series = collections.defaultdict(list)
        for r in results:
            if r["model"] == model and r["threads"] == 1:
                series[r["engine"]].append((r["batch"], r["ns_per_row"]))
        for i, (engine, points) in enumerate(series.items()):
            points.sort()
            axis.plot(*zip(*points, strict=True), marker=".", label=engine, color=colour(engine, i), linewidth=1.2)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(model, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=5, ncol=2)
    figure.suptitle("ns per row by batch size, 1 thread (logarithmic)", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, metadata=METADATA)


def main():
    directory = pathlib.Path(sys.argv[1])
    results = [json.loads(line) for line in (directory / "latest.jsonl").read_text().splitlines()]
    by_model(results, directory / "models.svg")
    by_batch(results, directory / "batches.svg")


if __name__ == "__main__":
    main()
