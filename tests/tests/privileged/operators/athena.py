"""Runs ops/athena/reports.sql over files of reports, with DuckDB in place of Athena.

Usage: athena.py SQL DIRECTORY. Prints, as JSON, the rows of each query by its name, and the table's columns as `columns`.

Every statement is read in Athena's dialect by sqlglot, and written in DuckDB's. The table has the columns and types of the
DDL, and what the properties of its SerDe promise is asked of DuckDB's reader; a property that is unknown here is an error.
"""

import datetime
import json
import re
import sys

import duckdb
import sqlglot
from sqlglot import ErrorLevel, exp

SERDE = "org.openx.data.jsonserde.JsonSerDe"
# What DuckDB's reader does with `ignore_errors`: a line that is no JSON, or not of the columns' types, has no values.
PROPERTIES = {"ignore.malformed.json": "true", "use.null.for.invalid.data": "true"}


def statements(text):
    """Kind, name and text of each."""
    parts = re.split(r"^-- (statement|query): (\w+)$", text, flags=re.MULTILINE)
    return list(zip(parts[1::3], parts[2::3], parts[3::3], strict=True))


def parse(text):
    (tree,) = [tree for tree in sqlglot.parse(text, dialect="athena", error_level=ErrorLevel.RAISE) if tree]
    if isinstance(tree, exp.Command):
        raise SystemExit(f"not understood: {text}")
    return tree


def duck(tree):
    return tree.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)


def reader(table, directory):
    """DuckDB's own table for the DDL."""
    if table.this.this.name != "earmark_reports" or table.kind != "TABLE":
        raise SystemExit("the first statement does not make the table")
    row_format = table.find(exp.RowFormatSerdeProperty)
    if row_format is None or row_format.name != SERDE:
        raise SystemExit("the table does not read JSON")
    pairs = table.find(exp.SerdeProperties).expressions
    properties = {pair.this.name: pair.args["value"].name for pair in pairs}
    if properties != PROPERTIES:
        raise SystemExit(f"properties of the SerDe: {properties}")
    if not table.find(exp.LocationProperty).name.startswith("s3://"):
        raise SystemExit("the table has no place in S3")
    columns = {column.name: duck(column.kind) for column in table.find_all(exp.ColumnDef) if column.parent is table.this}
    return (
        "CREATE TABLE earmark_reports AS SELECT *, filename AS \"$path\" FROM read_json("
        f"{directory + '/*.json'!r}, columns = {columns!r}, format = 'newline_delimited', ignore_errors = true, filename = true)"
    )


def plain(value):
    if isinstance(value, datetime.datetime):
        return int(value.timestamp())
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    database = duckdb.connect()
    results = {}
    for kind, name, statement in statements(text):
        tree = parse(statement)
        if (kind, name) == ("statement", "table"):
            database.execute(reader(tree, sys.argv[2]))
            described = database.execute("DESCRIBE earmark_reports").fetchall()
            results["columns"] = {column[0]: column[1] for column in described}
        elif kind == "statement":
            database.execute(duck(tree))
        else:
            rows = database.execute(duck(tree))
            names = [column[0] for column in rows.description]
            results[name] = [dict(zip(names, map(plain, row), strict=True)) for row in rows.fetchall()]
    json.dump(results, sys.stdout)


main()
