"""The command that lists what can be changed in a run."""

from __future__ import annotations

import json

import click

from vgrad.controls.catalog import CONTROLS, find_control
from vgrad.controls.choices import Control, Number, OneOf, Variant, Word


@click.command(
    epilog="""\b
Examples:
  vgrad-tui controls
  vgrad-tui controls clip
  vgrad-tui controls --json
"""
)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="A JSON list, for scripts.")
def controls(name: str | None, as_json: bool) -> int:
    """List what can be changed while it trains, and what it is good for."""
    chosen = [find_control(name)] if name else list(CONTROLS.values())
    if as_json:
        click.echo(json.dumps([_as_json(control) for control in chosen], indent=2))
        return 0
    for control in chosen:
        click.echo(f"{control.name}: {control.help}")
        match control:
            case OneOf(variants=variants):
                for variant in variants.values():
                    click.echo(_in_words(variant))
            case Number(least=least, most=most):
                click.echo(f"  a number from {least:g} to {most:g}")
            case Word(words=words):
                click.echo(f"  as-built, {', '.join(words)}")
    return 0


def _as_json(control: Control) -> dict[str, object]:
    values: dict[str, object] = {"name": control.name, "help": control.help}
    match control:
        case OneOf(variants=variants):
            fields = ("word", "label", "parameters", "as_printed", "helps", "fails", "source")
            rows = [{name: getattr(variant, name) for name in fields} for variant in variants.values()]
            return values | {"variants": rows}
        case Number(least=least, most=most):
            return values | {"least": least, "most": most}
        case Word(words=words):
            return values | {"words": ["as-built", *words]}


def _in_words(variant: Variant) -> str:
    """A variant of a control in at most three indented lines."""
    label = variant.label + (" (as printed in the article)" if variant.as_printed else "")
    lines = [f"  {variant.word:<17} {label}" + (f"; {variant.usage()}" if variant.parameters else "")]
    told = [f"helps: {variant.helps}"] * bool(variant.helps) + [f"no help, or costs: {variant.fails}"] * bool(
        variant.fails
    )
    lines += [" " * 20 + "; ".join(told)] * bool(told)
    lines += [" " * 20 + variant.source] * bool(variant.source)
    return "\n".join(lines)
