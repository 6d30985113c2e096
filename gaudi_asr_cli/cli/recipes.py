"""`gaudi-asr recipes`: list, show and copy the recipes that come with the package."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gaudi_asr_cli.cli import options

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="As listed.")]


def list_command(json: options.Json = False) -> None:
    """List the recipes: name, tab, what it does."""
    from gaudi_asr_cli.core.workflows.recipes import list_recipes
    from gaudi_asr_cli.ui.console import print_result
    from gaudi_asr_cli.ui.json_lines import print_json

    report = list_recipes()
    if json:
        print_json(report.to_json())
        return
    for file in report.files:
        print_result(f"{file.name}\t{file.about}")


def show_command(name: Name) -> None:
    """Print a recipe as it is written."""
    from gaudi_asr_cli.core.workflows.recipes import read_recipe_text
    from gaudi_asr_cli.ui.console import print_result

    print_result(read_recipe_text(name).rstrip("\n"))


def copy_command(
    name: Name,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", show_default=False, help="NAME.yaml without it."),
    ] = None,
) -> None:
    """Copy a recipe to a file of your own, to change it and pass it with --recipe FILE."""
    from gaudi_asr_cli.core.workflows.recipes import copy_recipe
    from gaudi_asr_cli.ui.console import print_result

    print_result(str(copy_recipe(name, file)))


def list_without_command(context: typer.Context, json: options.Json = False) -> None:
    """List, show or copy the recipes that come with the package."""
    chosen: Any = context.invoked_subcommand
    if chosen is None:
        list_command(json=json)
