"""python -m treeline.inference --class C --path DIR: post-processes the scores of a batch.

Reads an Arrow IPC stream (keys and scores) on stdin and writes one with the same rows and columns on stdout. What the
class prints goes to stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import BinaryIO

import pyarrow as pa

from treeline import command
from treeline.classes import resolve
from treeline.errors import DataError, one_line
from treeline.training.inference import Inference, apply


def stream(hook: Inference, source: BinaryIO, sink: BinaryIO) -> int:
    """Passes every record batch through the hook; returns the number of rows. Raises DataError for a damaged stream."""
    rows = 0
    try:
        with pa.ipc.open_stream(source) as reader, pa.ipc.new_stream(sink, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(apply(hook, batch))
                rows += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"the stream of scores is not readable: {one_line(error)}") from error
    return rows


def main(arguments: list[str]) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m treeline.inference",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--class", dest="name", required=True, help="inference_class of config.yml")
    parser.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="DIR",
        help="folder whose modules are found first",
    )
    options = parser.parse_args(arguments)
    # Arrow owns the real stdout; a print in the user's class must not land in the stream.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def action() -> None:
        with sink:
            stream(
                resolve(options.name, Inference, options.path, "inference_class")(),
                sys.stdin.buffer,
                sink,
            )

    return command.run(action)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
