"""`gaudi-asr help`: the documents that ship with the package, as plain text."""

from typing import Annotated, Any

import typer

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.registry import suggest_names


def command(
    context: typer.Context,
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC", show_default=False, help="A topic, or a command; none: list topics."
        ),
    ] = None,
) -> None:
    """Print a document on a topic such as scoring, devices or recipes; alone, list the topics."""
    from gaudi_asr_cli.core.workflows.help_topics import list_topics, read_topic
    from gaudi_asr_cli.ui.console import print_result
    from gaudi_asr_cli.ui.help import render_help, render_topics, subcommands

    topics = list_topics()
    if topic is None:
        print_result(render_topics(topics))
        return
    text = read_topic(topic)
    program: Any = context.find_root().command
    commands = subcommands(program)
    if text is None and topic in commands:
        text = render_help(commands[topic], f"gaudi-asr {topic}")
    if text is None:
        near = suggest_names(topic, [*topics, *commands]).strip()
        raise UsageError(
            f"There is no help on {topic!r}.",
            remedy=f"{near} gaudi-asr help lists the topics.".strip(),
        )
    print_result(text)
