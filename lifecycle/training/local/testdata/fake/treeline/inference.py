"""python -m treeline.inference --class C --path DIR: passes scores on, wrongly on purpose."""

import sys
import time

import pyarrow as pa
import pyarrow.compute as pc


def halved(batch):
    at = batch.schema.get_field_index("score")
    return batch.set_column(at, batch.schema.field(at), pc.divide(batch.column(at), 2.0))


def main():
    kind = sys.argv[sys.argv.index("--class") + 1]
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    if kind == "exits":
        print("error: no such class", file=sys.stderr)
        return 10
    if kind == "hangs":
        time.sleep(3600)
    reader = pa.ipc.open_stream(source)
    schema = reader.schema
    if kind == "garbage":
        sink.write(b"\xff\xff\xff\xff" + b"x" * 1000)
        return 0
    if kind == "silent":
        return 0
    if kind == "other_columns":
        schema = pa.schema([schema.field(0), pa.field("score", pa.float32()), pa.field("more", pa.int64())])
    with pa.ipc.new_stream(sink, schema) as writer:
        if kind == "all_at_once":
            table = reader.read_all().combine_chunks()
            for batch in table.to_batches():
                writer.write_batch(halved(batch))
            return 0
        for i, batch in enumerate(reader):
            if kind == "halves":
                writer.write_batch(halved(batch))
            elif kind == "small":
                for at in range(0, batch.num_rows, 7):
                    writer.write_batch(halved(batch.slice(at, 7)))
            elif kind == "drops":
                writer.write_batch(batch.slice(0, batch.num_rows - 1))
            elif kind == "adds":
                writer.write_batch(batch)
                writer.write_batch(batch)
            elif kind == "swaps":
                writer.write_batch(batch.take(pa.array(list(range(batch.num_rows))[::-1])))
            elif kind == "crashes" and i == 1:
                sink.flush()
                print("error: row 8 is wrong", file=sys.stderr)
                sys.stderr.flush()
                import os

                os._exit(1)
            elif kind == "stops_reading":
                return 0
            elif kind == "other_columns":
                break
            else:
                writer.write_batch(batch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
