"""Post-processing of scores: a user's own class changes them after the engine has made them."""

from __future__ import annotations

import abc

import pandas as pd
import pyarrow as pa

from treeline.errors import DataError, one_line


class Inference(abc.ABC):
    """Changes scores; inherit and implement process, then name the class in config.yml: inference_class.

    One object sees all record batches of a scoring batch, in order.
    """

    @abc.abstractmethod
    def process(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Returns as many rows with the same columns, in the same order; keys stay as they are."""


def apply(hook: Inference, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Runs the hook on one record batch; the answer has the batch's schema and row count.

    Raises DataError when rows or columns are missing, or a value no longer fits its column's type.
    """
    out = hook.process(batch.to_pandas(types_mapper=pd.ArrowDtype))
    name = type(hook).__name__
    if not isinstance(out, pd.DataFrame):
        raise DataError(f"{name}.process returned {type(out).__name__}, want a DataFrame")
    if len(out) != batch.num_rows:
        raise DataError(f"{name}.process returned {len(out)} rows for {batch.num_rows}")
    have, want = list(out.columns), batch.schema.names
    if have != want:
        changed = [f"lacks {n!r}" for n in want if n not in have] + [f"adds {n!r}" for n in have if n not in want]
        raise DataError(f"{name}.process changed the columns: {', '.join(changed) or 'their order'}")
    columns = []
    for field in batch.schema:
        try:
            column = pa.Array.from_pandas(out[field.name], type=field.type)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise DataError(
                f"{name}.process: column {field.name!r} is no longer {field.type}: {one_line(error)}"
            ) from error
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], field.type)
        if not field.nullable and column.null_count:
            raise DataError(f"{name}.process: column {field.name!r} has {column.null_count} nulls")
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
