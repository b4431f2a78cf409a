"""Reads what `trueup export` writes, by programs that trueup has no part in: see scripts/prove-exports."""

import csv
import json
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.parquet as parquet

# So many rows do not fit into one group.
ROWS = 60_000
# Rows of the last part, and what may be held while they are written.
MANY_ROWS = 1_000_000
RESIDENT_KIB_MAX = 32 << 10

TEXTS = [
    "plain",
    "=HYPERLINK(\"x\")",
    "-1\ttwo, \"three\"\r\nfour",
    "\u202eright to left, é, 😀, <b>",
    "x" * 300,
    "@",
]
# In the order of the columns of `system_metrics` that are filled here.
HOST = ["cpu_millipercent", "mem_rss_bytes", "disk_total_bytes", "oom_kills"]


def fill(ledger, first, count, has_nulls):
    """Puts errors and samples into a ledger, as its writer would."""
    database = sqlite3.connect(ledger)
    with database:
        for at in range(first, first + count):
            ms = 1_795_132_800_000 + at
            # The time, and then anything: ids sort by time.
            key = ms.to_bytes(6, "big") + at.to_bytes(10, "big")
            text = TEXTS[at % len(TEXTS)] + str(at)
            stack = None if has_nulls and at % 3 == 0 else "at " + text
            database.execute(
                "INSERT INTO error_events (id, created_at, source, session, error_type, message, stack_trace,"
                " severity, metadata) VALUES (?, ?, 'my-agent', ?, 'llm_error', ?, ?, 'error', ?)",
                (key, ms, f"s{at % 7}", text, stack, None if at % 2 else '{"a":1}'),
            )
            values = [None if has_nulls and (at + n) % 4 == 0 else at * 10**n for n in range(len(HOST))]
            values[-1] = 2**63 - 1 if at % 5 else -at
            database.execute(
                f"INSERT INTO system_metrics (id, created_at, scope, {', '.join(HOST)}) VALUES (?, ?, 'host', ?, ?, ?, ?)",
                (key, ms, *values),
            )
    database.close()


def export(trueup, home, line, form):
    """Writes a file; its path."""
    path = Path(home, f"{line.split()[0]}.{form}")
    subprocess.run(command(trueup, line, form, path), check=True, stderr=subprocess.DEVNULL)
    return path


def command(trueup, line, form, path):
    return [trueup, "export", *line.split(), "--format", form, "--out", path]


def resident_kib(line):
    """Runs a command to its end; the most that it held, looked at while it ran."""
    running = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    most = 0
    while running.poll() is None:
        for said in Path(f"/proc/{running.pid}/status").read_text().splitlines():
            if said.startswith("VmHWM:"):
                most = max(most, int(said.split()[1]))
        time.sleep(0.005)
    assert running.returncode == 0 and most > 0, f"{line}: {running.returncode}, {most} KiB"
    return most


def typed(rows, schema):
    """The rows of the JSON export with the types that Parquet has for them."""

    def value(name, of):
        kind = schema.field(name).type
        if of is None:
            return None
        if pyarrow.types.is_timestamp(kind):
            return datetime.fromisoformat(of.replace("Z", "+00:00"))
        if pyarrow.types.is_decimal(kind):
            return Decimal(of)
        return of

    return [{name: value(name, of) for name, of in row.items()} for row in rows]


def same(what, read, expected):
    """Whether the rows are the same; instants are compared in UTC."""

    def plain(value):
        return value.astimezone(timezone.utc) if isinstance(value, datetime) else value

    read = [{name: plain(value) for name, value in row.items()} for row in read]
    if read == expected:
        return
    for at, (one, other) in enumerate(zip(read, expected)):
        if one != other:
            sys.exit(f"{what}: row {at}: {one}\n  is not {other}")
    sys.exit(f"{what}: {len(read)} rows, not {len(expected)}")


def kinds_are_told(schema, rows):
    """Money, instants, numbers and texts are what they are to Arrow."""
    money, instant = pyarrow.decimal128(38, 9), pyarrow.timestamp("ms", tz="UTC")
    texts = pyarrow.list_(pyarrow.field("element", pyarrow.string(), nullable=False))
    for field in schema:
        if field.name.endswith("_usd"):
            expected = money
        elif field.name in ("at", "first", "last"):
            expected = instant
        elif field.name in ("projects", "models", "kinds"):
            expected = texts
        elif field.type == pyarrow.int64():
            assert all(row[field.name] is None or isinstance(row[field.name], int) for row in rows)
            continue
        else:
            expected = pyarrow.string()
        assert field.type == expected, f"{field.name}: {field.type}, not {expected}"


def prove(trueup, home, line, groups_min=0):
    """Writes a table in every form, and reads it by every reader."""
    whole = json.loads(export(trueup, home, line, "json").read_text("utf-8"))
    view = line.split()[0]
    assert (whole["schema"], whole["view"]) == (1, view)
    rows = whole["rows"]

    lines = export(trueup, home, line, "ndjson").read_text("utf-8").split("\n")
    assert lines.pop() == ""
    same(f"{line}: NDJSON", [json.loads(text) for text in lines], rows)

    path = export(trueup, home, line, "parquet")
    file = parquet.ParquetFile(path)
    schema = file.schema_arrow
    kinds_are_told(schema, rows)
    assert file.num_row_groups >= groups_min, f"{line}: {file.num_row_groups} groups"
    expected = typed(rows, schema)
    same(f"{line}: pyarrow", file.read().to_pylist(), expected)
    table = duckdb.sql(f"SELECT * FROM read_parquet('{path}')")
    same(f"{line}: DuckDB", table.to_arrow_table().to_pylist(), expected)
    same(f"{line}: Polars", polars.read_parquet(path, use_pyarrow=False).to_dicts(), expected)

    with open(export(trueup, home, line, "csv"), encoding="utf-8", newline="") as text:
        read = list(csv.DictReader(text, strict=True))
    assert len(read) == len(rows)
    for row, other in zip(read, rows):
        assert list(row) == list(other)
        for name, cell in row.items():
            value = other[name]
            if isinstance(value, list):
                assert json.loads(cell) == value, name
            elif isinstance(value, str) and value[:1] in list("=+-@\t\r"):
                assert cell == "'" + value, name
            else:
                assert cell == ("" if value is None else str(value)), name
    print(f"{line}: {len(rows)} rows, {file.num_row_groups} groups, {len(schema)} columns")


def main():
    trueup, home = sys.argv[1:]
    ledger = Path(home, "trueup.db")
    subprocess.run([trueup, "report"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for line in ("usage --by day,model", "usage --by 30m,project,kind --tz Asia/Kathmandu", "sessions"):
        prove(trueup, home, line)
    for line in ("usage --since 2030-01-01", "sessions --since 2030-01-01", "errors", "host"):
        prove(trueup, home, line)
    fill(ledger, 0, ROWS, has_nulls=True)
    prove(trueup, home, "errors", groups_min=3)
    prove(trueup, home, "host", groups_min=1)
    prove(trueup, home, "errors --until 2026-11-19")

    fill(ledger, ROWS, MANY_ROWS - ROWS, has_nulls=False)
    for view in ("errors", "host"):
        for form in ("csv", "json", "ndjson", "parquet"):
            path = Path(home, "many")
            resident = resident_kib(command(trueup, view, form, path))
            if form == "parquet":
                assert parquet.ParquetFile(path).metadata.num_rows == MANY_ROWS
            size = path.stat().st_size
            print(f"{view}: {MANY_ROWS} rows, {size} bytes of {form}: at most {resident} KiB resident")
            assert resident <= RESIDENT_KIB_MAX, f"more than {RESIDENT_KIB_MAX} KiB"


main()
