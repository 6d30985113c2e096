"""`gaudi-asr create-seq2seq`: an encoder-decoder from two checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from gaudi_asr_cli.cli import options


def command(  # noqa: PLR0913 - a parameter is an option
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            metavar="MODEL",
            show_default=False,
            help="Speech encoder: hub id, model or run folder.",
        ),
    ],
    decoder: Annotated[
        str,
        typer.Option(
            "--decoder",
            metavar="MODEL",
            show_default=False,
            help="Text model that writes, such as facebook/bart-base: hub id or folder.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", show_default=False, help="A new folder for the model."
        ),
    ],
    adapter_layers: Annotated[
        int,
        typer.Option(
            "--adapter-layers",
            rich_help_panel=options.MODEL,
            metavar="N",
            min=0,
            help="Convolutions between the two; each halves the encoder's states.",
        ),
    ] = 3,
    position_frames: Annotated[
        int | None,
        typer.Option(
            "--position-frames",
            rich_help_panel=options.MODEL,
            metavar="N",
            show_default=False,
            help="Widen the encoder's positional convolution: small encoders see too little.",
        ),
    ] = None,
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens",
            rich_help_panel=options.MODEL,
            metavar="N",
            min=1,
            help="Most tokens that it will write for an utterance.",
        ),
    ] = 200,
    beams: Annotated[
        int,
        typer.Option(
            "--beams",
            rich_help_panel=options.MODEL,
            metavar="N",
            min=1,
            help="Hypotheses that it will follow at once.",
        ),
    ] = 5,
    pad_token: Annotated[
        str | None,
        typer.Option(
            "--pad-token",
            rich_help_panel=options.MODEL,
            metavar="TOKEN",
            show_default=False,
            help="Pads texts where the decoder's tokenizer has no token for it (GPT-2).",
        ),
    ] = None,
    seed: options.Seed = 42,
    recipe: options.RecipeOption = None,
    json: options.Json = False,
) -> None:
    """Join a speech encoder and a text decoder into a model for finetune-seq2seq.

    Both keep what they have learnt; what stands between them starts at random and is counted.
    """
    from gaudi_asr_cli.core.models.seq2seq.warm_start import WarmStart
    from gaudi_asr_cli.core.workflows.create_seq2seq import create_seq2seq
    from gaudi_asr_cli.ui.create_seq2seq import show_created
    from gaudi_asr_cli.ui.results import show_result

    request = WarmStart(
        encoder=encoder,
        decoder=decoder,
        adapter_layers=adapter_layers,
        position_frames=position_frames,
        max_tokens=max_tokens,
        beams=beams,
        pad_token=pad_token,
        seed=seed,
    )
    show_result(create_seq2seq(request, out), show_created, json=json)
