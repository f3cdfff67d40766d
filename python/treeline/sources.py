"""Where the rows of a training by hand come from: a file, a DuckDB table, or the seed files of scorer.yml."""

from __future__ import annotations

import datetime
import pathlib
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from treeline.config import ModelConfig, read_yaml
from treeline.errors import ConfigError, DataError, one_line
from treeline.training.columns import read_table

#: The day in data.features_sql, and what it may not be looked for in: texts, quoted names, comments, and casts.
COMPUTE_DATE = ":compute_date"
TOKENS = re.compile(r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | :: | :compute_date\b""", re.S | re.X)
PARAMETER = "treeline_compute_date"


def load(config: ModelConfig, features: str | None, through: str, root: pathlib.Path) -> pa.Table:
    """The feature rows up to and including the day `through` (YYYY-MM-DD; "" means all).

    features: FILE.parquet, FILE.csv, FILE.arrow or FILE.duckdb:schema.table; None takes the seed files of the
    scorer.yml beside the config or in a folder above it, up to root, and runs data.features_sql on them. Raises
    ConfigError or DataError that says what was looked for.
    """
    date_col = config.text("data", "date_col", "")
    if features is None:
        table = from_seeds(config, through, root)
    elif ".duckdb:" in features:
        path, _, name = features.rpartition(":")
        table = from_duckdb(path, name)
    else:
        table = read_table(features)
    if not through:
        return table
    if date_col not in table.column_names:
        raise DataError(f"data.date_col {date_col!r} is no column of the rows, so they cannot end at {through}")
    days = pc.cast(table[date_col], pa.string())
    table = table.filter(pc.less_equal(pc.utf8_slice_codeunits(days, 0, 10), through))
    if table.num_rows == 0:
        raise DataError(f"there are no rows up to {through}")
    return table


def from_duckdb(path: str, name: str) -> pa.Table:
    """A table of a DuckDB file, opened for reading only."""
    duckdb = _duckdb()
    if not pathlib.Path(path).is_file():
        raise DataError(f"{path}: no such file")
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))
    try:
        with duckdb.connect(path, read_only=True) as connection:
            return connection.sql(f"SELECT * FROM {quoted}").to_arrow_table()
    except duckdb.Error as error:
        raise DataError(f"{path}, table {name}: {one_line(error)}") from error


def from_seeds(config: ModelConfig, through: str, root: pathlib.Path) -> pa.Table:
    """The features table as the daemon would have it after its seed: the seeded file, or what features_sql makes."""
    table = config.text("data", "features_table")
    seeds = find_seeds(config.path, root)
    sql = config.section("data").get("features_sql")
    if sql:
        return compute(config, str(sql), seeds, through)
    if table not in seeds:
        known = ", ".join(sorted(seeds)) or "no table"
        raise ConfigError(f"scorer.yml seeds {known}, but not {table}; name the rows with --features")
    return read_table(str(seeds[table]))


def find_seeds(config: pathlib.Path, root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Table name to file, of the nearest scorer.yml in the config's folder or above it, up to root."""
    folder = config.resolve().parent
    while True:
        scorer = folder / "scorer.yml"
        if scorer.is_file():
            entries = (read_yaml(scorer).get("warehouse") or {}).get("seed") or []
            return {str(e["table"]): folder / str(e["file"]) for e in entries}
        if folder == root.resolve() or folder == folder.parent:
            raise ConfigError(f"there is no scorer.yml beside {config} or above it; name the rows with --features")
        folder = folder.parent


def compute(config: ModelConfig, sql: str, seeds: dict[str, pathlib.Path], through: str) -> pa.Table:
    """Runs features_sql once a day on the seeded tables, for all days that they have up to `through`."""
    duckdb = _duckdb()
    date_col = config.text("data", "date_col")
    query = bindable(sql)
    parts: list[pa.Table] = []
    try:
        with duckdb.connect() as connection:
            days: set[str] = set()
            for name, path in seeds.items():
                days |= _attach(connection, name, path, date_col)
            for day in sorted(day for day in days if not through or day <= through):
                values = {PARAMETER: datetime.date.fromisoformat(day)} if query != sql else None
                part = connection.sql(query, params=values).to_arrow_table()
                if part.num_rows:
                    parts.append(part)
                if values is None:
                    break
    except duckdb.Error as error:
        raise ConfigError(f"data.features_sql: {one_line(error)}") from error
    if not parts:
        raise DataError("data.features_sql selects no rows" + (f" up to {through}" if through else ""))
    return pa.concat_tables(parts)


def bindable(sql: str) -> str:
    """The query with the day as a parameter of DuckDB."""

    def one(token: re.Match[str]) -> str:
        return f"CAST(${PARAMETER} AS DATE)" if token[0] == COMPUTE_DATE else token[0]

    return TOKENS.sub(one, sql.strip().removesuffix(";"))


def _attach(connection: Any, name: str, path: pathlib.Path, date_col: str) -> set[str]:
    """Makes a seed file a view under its three-level name; returns the days that it has."""
    catalog, schema, table = name.split(".")
    attached = {row[0] for row in connection.execute("SELECT database_name FROM duckdb_databases()").fetchall()}
    if catalog not in attached:
        connection.execute(f"ATTACH ':memory:' AS {catalog}")
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {catalog}.{schema}")
    rows = read_table(str(path))
    view = f"seed_{len(attached)}_{table}"
    connection.register(view, rows)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM {view}")
    connection.unregister(view)
    if date_col not in rows.column_names:
        return set()
    return {str(value)[:10] for value in pc.unique(rows[date_col]).to_pylist() if value is not None}


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise ConfigError(
            "DuckDB is not installed (pip install duckdb); give a Parquet file with --features"
        ) from error
    return duckdb
