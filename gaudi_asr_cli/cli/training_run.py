"""What the commands that train share: a request from the options, then a plan or a run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gaudi_asr_cli.cli import cards, publishing
from gaudi_asr_cli.cli import training_options as training
from gaudi_asr_cli.cli.old_commands import fitting_parameters, removal_pattern

if TYPE_CHECKING:
    import typer

    from gaudi_asr_cli.core.devices.base import Device
    from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest


def run_training(context: typer.Context, kind: str) -> None:
    """Train, or show the plan, or only score; `kind` is the command's name."""
    from gaudi_asr_cli.core.devices import open_device
    from gaudi_asr_cli.core.runtime import configure

    given = context.params
    publishing.check_publishing(given, is_rank=cards.find_handover() is not None)
    launch = cards.launch_of(given)
    if cards.starts_ranks(launch) and not (given["dry_run"] or given["no_train"]):
        words = [kind, *publishing.push_words(given)]
        cards.start_ranks(words, partial(request_of, context, kind), launch, given)
        return
    # First: a Gaudi's software must be imported before transformers, and a missing device should be
    # reported before the slow imports.
    opened = open_device(given["device"], hpu_mode=given["hpu_mode"].value)
    configure(opened)
    from gaudi_asr_cli.core.devices.process_group import join_ranks
    from gaudi_asr_cli.core.distributed.ranks import SingleProcess
    from gaudi_asr_cli.core.workflows.finetune.run import finetune, plan_finetune
    from gaudi_asr_cli.core.workflows.score_recipe import score_recipe
    from gaudi_asr_cli.ui.live import opened_view
    from gaudi_asr_cli.ui.results import show_result
    from gaudi_asr_cli.ui.score import show_evaluation
    from gaudi_asr_cli.ui.training import show_finetune, show_plan

    json, view = given["json"], partial(opened_view, quiet=given["quiet"])
    request = request_of(context, kind, opened)
    if given["no_train"]:
        with view() as observe:
            score = score_recipe(request, opened, observe)
        show_result(score, show_evaluation, json=json)
        return
    if given["dry_run"]:
        with view() as observe:
            plan = plan_finetune(request, opened.with_ranks(SingleProcess(launch.ranks)), observe)
        show_result(plan, show_plan, json=json)
        return
    with join_ranks(opened) as distributed, view() as observe:
        report = finetune(request, distributed, observe)
    if report is not None:
        show_result(report, show_finetune, json=json)
        publishing.publish(report.run, given)


def request_of(context: typer.Context, kind: str, device: Device | None = None) -> FinetuneRequest:
    """Return the request of a command line; imports transformers for options that only it knows.

    Args:
        context: Of the command.
        kind: The command's name.
        device: The device that trains; None where ranks will open it.
    """
    from gaudi_asr_cli.cli.passthrough import trainer_settings
    from gaudi_asr_cli.core.recipes.in_place import read_in_place
    from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest

    extra = trainer_settings(context.args, context)
    given = fitting_parameters(context, device)
    settings = (
        *training.settings_of(given, kind),
        *cards.launch_settings(given),
        *training.tracker_settings(given),
        *extra,
        *(given["set_"] or ()),
    )
    return FinetuneRequest(
        recipe=given["recipe"],
        settings=settings,
        in_place=read_in_place(given["in_place"] or ()),
        run=given["run"],
        resume=given["resume"],
        kind=kind,
        former_pattern=removal_pattern(context),
        handover=cards.find_handover(),
    )
