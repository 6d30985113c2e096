"""`gaudi-asr bench`: benchmark inference speed."""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from gaudi_asr_cli.cli import options
from gaudi_asr_cli.cli.parsing import KebabCommand, parsed_by
from gaudi_asr_cli.core.decoding import DEFAULT_DECODER
from gaudi_asr_cli.core.devices import AUTO
from gaudi_asr_cli.core.errors import UsageError

TIMING = "Timing"


class BenchCommand(KebabCommand):
    """The command, which also takes the words that Habana's wav2vec.py took."""

    def aliases(self) -> Mapping[str, str]:
        return {"--use-graphs": "--graphs", "--data-path": "--data"}

    old_script = "wav2vec"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, format_compared(args))


def format_compared(words: Sequence[str]) -> list[str]:
    """`--compare a b` becomes two options."""
    formatted: list[str] = []
    last = ""
    for word in words:
        if last == "--compare" and formatted[-1] != "--compare" and not word.startswith("-"):
            formatted += ["--compare", word]
        else:
            formatted.append(word)
        last = word if word.startswith("-") else last
    return formatted


class RuleName(str, Enum):
    OPTIMAL = "optimal"
    QUANTILE = "quantile"


class BaselineName(str, Enum):
    TRANSFORMERS = "transformers"


BenchDataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        rich_help_panel=options.DATA,
        metavar="DATA",
        show_default=False,
        help="As for eval-ctc; may be repeated. Without it: synthetic speech.",
    ),
]
BenchLimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        "-l",
        rich_help_panel=options.DATA,
        metavar="N",
        min=0,
        show_default=False,
        help="Utterances; 0 takes all. Default for synthetic speech: 40.",
    ),
]
DevClean = Annotated[
    bool,
    typer.Option(
        "--dev-clean-ds",
        rich_help_panel=options.DATA,
        metavar=options.NO_VALUE,
        help="73 utterances, as wav2vec.py's sample of dev-clean.",
    ),
]
Large = Annotated[
    bool,
    typer.Option(
        "--large",
        rich_help_panel=options.MODEL,
        metavar=options.NO_VALUE,
        help="The large shape instead of base.",
    ),
]
Buckets = Annotated[
    str,
    typer.Option(
        "--buckets",
        "-b",
        rich_help_panel=TIMING,
        metavar="N|auto",
        help="Lengths that are padded to.",
    ),
]
Rule = Annotated[
    RuleName,
    typer.Option(
        "--bucket-rule", rich_help_panel=TIMING, help="quantile: equal numbers, as Habana had it."
    ),
]
Graphs = Annotated[
    bool | None,
    typer.Option(
        "--graphs/--no-graphs",
        rich_help_panel=TIMING,
        metavar=options.NO_VALUE,
        show_default=False,
        help="Replay recorded graphs, or --no-graphs; by default as infer does.",
    ),
]
GraphAsync = Annotated[
    bool | None,
    typer.Option(
        "--graph-async/--no-graph-async",
        rich_help_panel=TIMING,
        metavar=options.NO_VALUE,
        show_default=False,
        help="Taken, and changes nothing: copies never wait here.",
    ),
]
BatchSeconds = Annotated[
    float | None,
    typer.Option(
        "--batch-seconds",
        rich_help_panel=TIMING,
        metavar="S",
        min=0.1,
        show_default=False,
        help="Most padded audio in one batch, where batches help.",
    ),
]
RepeatOption = Annotated[
    int | None,
    typer.Option(
        "--repeat",
        "-r",
        rich_help_panel=TIMING,
        metavar="N",
        min=1,
        show_default=False,
        help="Repeats; by default up to 3 in a short time.",
    ),
]
BaselineOption = Annotated[
    BaselineName | None,
    typer.Option(
        "--baseline",
        rich_help_panel=TIMING,
        metavar="transformers",
        show_default=False,
        help="Its pipeline (fp32, batch 1) in turns with us.",
    ),
]
Accuracy = Annotated[
    bool,
    typer.Option(
        "--accuracy",
        "-a",
        rich_help_panel=TIMING,
        metavar=options.NO_VALUE,
        help="Word error rate; always shown where the data has text.",
    ),
]
Perf = Annotated[
    bool,
    typer.Option(
        "--perf",
        "-p",
        rich_help_panel=TIMING,
        metavar=options.NO_VALUE,
        help="Timings by length; always shown.",
    ),
]
Profile = Annotated[
    bool,
    typer.Option(
        "--profile",
        rich_help_panel=TIMING,
        metavar=options.NO_VALUE,
        help="One more round under torch's profiler: what takes longest.",
    ),
]
PerfCsv = Annotated[
    Path | None,
    typer.Option(
        "--perf-csv",
        rich_help_panel=options.OUTPUT,
        metavar="FILE",
        show_default=False,
        help="A line for each utterance, in wav2vec.py's columns.",
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(
        "--save",
        rich_help_panel=options.OUTPUT,
        metavar="FILE",
        show_default=False,
        help="A new file for the JSON.",
    ),
]
Compare = Annotated[
    list[Path] | None,
    typer.Option(
        "--compare",
        rich_help_panel=options.OUTPUT,
        metavar="FILE...",
        show_default=False,
        help="Measure nothing; lay saved results side by side.",
    ),
]


@parsed_by(BenchCommand)
def command(  # noqa: PLR0913 - a parameter is an option
    model: options.OptionalModel = None,
    large: Large = False,
    language: options.Language = None,
    data: BenchDataOption = None,
    split: options.Split = None,
    config: options.Config = None,
    text_column: options.TextColumn = None,
    limit: BenchLimitOption = None,
    in_place: options.InPlaceOption = None,
    dev_clean: DevClean = False,
    buckets: Buckets = "5",
    rule: Rule = RuleName.OPTIMAL,
    batch_s: BatchSeconds = None,
    graphs: Graphs = None,
    graph_async: GraphAsync = None,
    repeat: RepeatOption = None,
    baseline: BaselineOption = None,
    accuracy: Accuracy = False,
    decoder: options.DecoderOption = DEFAULT_DECODER,
    beams: options.Beams = None,
    lm: options.LanguageModel = None,
    lm_weight: options.LmWeight = None,
    word_bonus: options.WordBonus = None,
    hotwords: options.Hotwords = None,
    hotword_weight: options.HotwordWeight = None,
    task: options.TaskOption = None,
    max_tokens: options.MaxTokens = None,
    long: options.Long = options.LongName.AUTO,
    batch: options.WrittenTogether = None,
    vad: options.Vad = options.VadName.OFF,
    perf: Perf = False,
    profile: Profile = False,
    device: options.DeviceOption = AUTO,
    hpu_mode: options.HpuMode = options.HpuModeName.AUTO,
    dtype: options.DtypeOption = options.DtypeName.AUTO,
    int8: options.Int8 = False,
    seed: options.Seed = 42,
    save: Save = None,
    perf_csv: PerfCsv = None,
    compare: Compare = None,
    recipe: options.RecipeOption = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Benchmark inference speed: RTFx, latency, phases, memory.

    Without options, a wav2vec2-base with random weights transcribes synthetic speech; nothing is
    downloaded.
    """
    if compare:
        return _compare(compare, json=json)
    # Here, not above: torch takes a second to import, and `--help` should not wait for it.
    from gaudi_asr_cli.core.devices import open_device
    from gaudi_asr_cli.core.runtime import configure

    # First: a Gaudi's software reads its environment when torch is imported, and who lacks a device
    # should not wait for all the rest.
    opened = open_device(device, hpu_mode=hpu_mode.value)
    configure(opened)
    from gaudi_asr_cli.core.data.sources import ReadOptions
    from gaudi_asr_cli.core.decoding.scorer_setup import read_hotwords
    from gaudi_asr_cli.core.inference.options import InferenceOptions
    from gaudi_asr_cli.core.recipes.in_place import Reading, place_reading
    from gaudi_asr_cli.core.workflows.bench import BenchRequest, bench
    from gaudi_asr_cli.ui.bench import show_bench
    from gaudi_asr_cli.ui.live import opened_view
    from gaudi_asr_cli.ui.results import show_result

    asked = Reading(
        model,
        tuple(data or ()),
        ReadOptions(split=split, config=config, text_column=text_column, needs_text=accuracy),
    )
    reading = place_reading(asked, in_place or ())
    request = BenchRequest(
        model=reading.model,
        data=reading.data,
        read=reading.read,
        large=large,
        dev_clean=dev_clean,
        accuracy=accuracy,
        decoding=InferenceOptions(
            decoder=decoder,
            beams=beams,
            lm=lm,
            lm_weight=lm_weight,
            word_bonus=word_bonus,
            hotwords=() if hotwords is None else read_hotwords(hotwords),
            hotword_weight=hotword_weight,
            task=None if task is None else task.value,
            max_tokens=max_tokens,
            long=long.value,
            batch_size=batch,
        ),
        vad=vad.value,
        dtype=dtype.value,
        int8=int8,
        language=language,
        buckets=count_buckets(buckets),
        bucket_rule=rule.value,
        graphs=graphs,
        graph_async=graph_async,
        batch_s=batch_s,
        repeat=repeat,
        limit=limit,
        baseline=None if baseline is None else baseline.value,
        profile=profile,
        perf_csv=perf_csv,
        save=save,
        seed=seed,
    )
    with opened_view(quiet=quiet) as observe:
        report = bench(request, opened, observe)
    show_result(report, show_bench, json=json)
    raise typer.Exit(report.exit_code)


def count_buckets(word: str) -> int:
    """How many buckets a word asks for; 0 for `auto`, and for the script's own 0.

    Raises:
        UsageError: It is neither.
    """
    if word == "auto":
        return 0
    if not word.isdecimal():
        raise UsageError(f"--buckets {word}: not a number.", remedy="Give a number, or auto.")
    return int(word)


def _compare(paths: list[Path], *, json: bool) -> None:
    from gaudi_asr_cli.core.benchmarking.saved import read_results
    from gaudi_asr_cli.ui.bench import show_comparison
    from gaudi_asr_cli.ui.json_lines import print_json

    results = read_results(paths)
    if not json:
        return show_comparison(results)
    for one in results:
        print_json({"path": str(one.path), **one.result})
    return None
