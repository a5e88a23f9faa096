"""The command that writes a recorded run for other programs."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  vgrad-tui export charlm-rnn --to csv > run.csv
  vgrad-tui export charlm-rnn --to jsonl --out run.jsonl
  vgrad-tui export charlm-rnn --to csv --layers --out layers.csv

\b
Columns: kind (step, CommandApplied, VerdictChanged ...), part, step, loss, lr, grad_norm, applied_norm,
elapsed_s, skipped, time_s, sender, text. Names are made harmless: escape sequences are written out, and
in CSV a text that a spreadsheet would take for a formula begins with an apostrophe.
"""
)
@click.argument("run")
@click.option("--to", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option("--layers", is_flag=True, help="The norm of each layer instead, at the steps that are kept.")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file [default: stdout].")
def export(run: str, form: str, layers: bool, out: Path | None) -> int:
    """Write losses, norms, commands and verdicts of a recorded run as CSV or lines of JSON.

    RUN may be the beginning of a name.
    """
    from vgrad.store.export import COLUMNS, LAYER_COLUMNS, layer_rows_of, rows_of, write_csv, write_jsonl
    from vgrad.store.listing import find_run
    from vgrad.store.reader import RunReader

    folder = find_run(run)
    target = nullcontext(sys.stdout) if out is None else out.open("w", encoding="utf-8", newline="")
    with RunReader(folder) as reader, target as stream:
        rows = layer_rows_of(reader) if layers else rows_of(reader)
        if form == "csv":
            write_csv(rows, LAYER_COLUMNS if layers else COLUMNS, stream)
        else:
            write_jsonl(rows, stream)
    return 0
