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
NATIVE = "#1d3557"
COLOURS = {
    "treeline": "#c1121f",
    "treeline-portable": "#f4a261",
    "lightgbm": NATIVE,
    "xgboost": NATIVE,
    "sklearn": NATIVE,
    "catboost": NATIVE,
    "lleaves": "#2a9d8f",
    "daal4py": "#8ab17d",
    "sklearnex": "#588157",
    "ydf": "#b5838d",
    "tl2cgen": "#6d597a",
    "onnxruntime": "#457b9d",
    "leaves": "#a8a8a8",
}


def colour(engine):
    return COLOURS.get(engine, "#e9c46a")


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
        bars = axis.barh(names, [r["ns_per_row"] for r in rows], color=[colour(r["engine"]) for r in rows])
        axis.bar_label(bars, [f"{r['ns_per_row']:,.0f}" for r in rows], fontsize=7, padding=2)
        axis.set_xscale("log")
        axis.minorticks_off()  # thousands of marks in the file
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
        for engine, points in series.items():
            points.sort()
            axis.plot(*zip(*points, strict=True), marker=".", label=engine, color=colour(engine), linewidth=1.2)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.minorticks_off()
        axis.set_title(model, fontsize=9)
        axis.tick_params(labelsize=7)
    lines = {line.get_label(): line for axis in figure.axes for line in axis.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="lower right", fontsize=8, ncol=3)
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
