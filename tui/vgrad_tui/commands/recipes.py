"""The command that lists the recipes."""

from __future__ import annotations

import json

import click


@click.command(
    epilog="""\b
Examples:
  vgrad-tui recipes
  vgrad-tui recipes --json
"""
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list, for scripts.")
def recipes(as_json: bool) -> int:
    """List the built-in recipes: what each one shows, and how long it takes."""
    from vgrad.recipes.registry import RECIPES

    if as_json:
        fields = ("name", "summary", "lr", "batch_size", "options", "text", "steps", "takes")
        rows = [
            {field: getattr(recipe, field) for field in fields} | {"controls": dict(recipe.controls)}
            for recipe in RECIPES.values()
        ]
        click.echo(json.dumps(rows, indent=2))
        return 0
    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        click.echo(f"{name:<{width}}  {recipe.summary}\n{'':<{width}}  takes {recipe.takes}")
    return 0
