"""`gaudi-asr recipes`: list, show, copy and price the recipes that come with the package."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli import training_options as training
from gaudi_asr_cli.cli.parsing import add_command
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.recipes.keys import CTC_KIND

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="As listed.")]


def list_command(json: options.Json = False) -> None:
    """List the recipes: task, model, data, cards, and the published error rate and time.

    A table on a terminal; elsewhere tabs between the columns, and what each is about at the end.
    """
    from gaudi_asr_cli.core.workflows.recipes import list_recipes
    from gaudi_asr_cli.ui.recipes import show_recipes
    from gaudi_asr_cli.ui.results import show_result

    show_result(list_recipes(), show_recipes, json=json)


def show_command(
    name: Name,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            metavar=options.NO_VALUE,
            help="Every value: from what it extends, and the defaults.",
        ),
    ] = False,
) -> None:
    """Print a recipe as it is written."""
    from gaudi_asr_cli.core.workflows.recipes import read_recipe_text, read_whole_recipe
    from gaudi_asr_cli.ui.console import print_result

    text = read_whole_recipe(name) if whole else read_recipe_text(name)
    print_result(text.rstrip("\n"))


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


@training.key_options(CTC_KIND, "train.data", "model")
def forecast_command(  # noqa: PLR0913 - a parameter is an option
    name: Name,
    set_: training.SetOption = None,
    cards: Annotated[
        int,
        typer.Option("--cards", metavar="N", min=1, help="Cards like the one of this machine."),
    ] = 1,
    device: options.DeviceOption = AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    json: options.Json = False,
    quiet: options.Quiet = False,
    **given: Any,
) -> None:
    """Say what training a recipe would cost here: steps, padding, hours, memory, disk.

    A step of its model is timed on this machine. Data of the hub that is out of reach is taken as
    large as it was published, where that is known.
    """
    from gaudi_asr_cli.core.devices import open_device
    from gaudi_asr_cli.core.runtime import configure
    from gaudi_asr_cli.core.workflows.forecast import ForecastRequest, forecast
    from gaudi_asr_cli.ui.forecast import show_forecast
    from gaudi_asr_cli.ui.live import opened_view
    from gaudi_asr_cli.ui.results import show_result

    # First: a Gaudi's software must be imported before transformers.
    opened = open_device(device, hpu_mode=hpu_mode.value)
    configure(opened)
    settings = (*training.settings_of(given, CTC_KIND), *(set_ or ()))
    with opened_view(quiet=quiet) as observe:
        report = forecast(ForecastRequest(name, settings, cards), opened, observe)
    show_result(report, show_forecast, json=json)


def list_without_command(context: typer.Context, json: options.Json = False) -> None:
    """List, show or copy the recipes that come with the package."""
    chosen: Any = context.invoked_subcommand
    if chosen is None:
        list_command(json=json)


recipes_app = typer.Typer()
recipes_app.callback(invoke_without_command=True)(list_without_command)
add_command(recipes_app, "list", list_command)
add_command(recipes_app, "show", show_command)
add_command(recipes_app, "copy", copy_command)
add_command(recipes_app, "forecast", forecast_command)
