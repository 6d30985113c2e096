"""CPU inference of encoder-decoders compared with transformers and CTranslate2, at equal work.

    OMP_NUM_THREADS=2 python benchmarks/seq2seq_peers.py --shapes tiny base --repeats 3
    OMP_NUM_THREADS=2 python benchmarks/seq2seq_peers.py --model CHECKPOINT --audio DATA

Without --model: the shapes of Whisper with random weights; clips are noise shaped like speech. Each
system generates exactly `--tokens` tokens per clip (the end token is never likely), because speed
depends on their number; the run fails if one generates another number. With --model: a Whisper
checkpoint in the format of transformers, with free lengths (the tokens of each system are printed)
unless --forced suppresses the end token; --audio is data in any layout of `--data`, and if it has
transcripts the word error rate is printed (Whisper's basic normalisation).

Every system transcribes a batch of clips before the next batch, in rotating order; the first repeat
is not measured. All decode greedily, without timestamps, and suppress the same tokens. A ratio is
that of the seconds of one repeat; the table shows the minimum, the median and the maximum.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cpu_peers import spread
from machine import describe_machine, has_native_bf16
from peers import UTTERANCE, Clip, draw_clips

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.evaluation.counts import count_errors
from gaudi_asr_cli.core.inference.seq2seq_options import Seq2SeqGenerator, plan_batching
from gaudi_asr_cli.core.models.cpu.whisper_generation import pack_whisper
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.models.seq2seq.generation import (
    Generation,
    is_multilingual,
    resolve_generation,
)
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The text of a clip, and how many tokens were generated for it, prompt and end aside."""

    text: str
    tokens: int


Transcribe = Callable[[Sequence[Clip]], Sequence[Hypothesis]]

SHAPES: Mapping[str, Mapping[str, int]] = {
    "tiny": {"width": 384, "layers": 4, "heads": 6},
    "base": {"width": 512, "layers": 6, "heads": 8},
}
TEXT_TOKENS, LANGUAGES, LAST = 50_257, 99, 51_865
WINDOW_S = 30


@dataclass
class System:
    """A system under test, its hypotheses in the first repeat, and the seconds of each repeat."""

    name: str
    transcribe_clips: Transcribe
    repeat_s: list[float] = field(default_factory=list)
    hypotheses: list[Hypothesis] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.hypotheses]

    @property
    def tokens(self) -> list[int]:
        return [one.tokens for one in self.hypotheses]


@dataclass(frozen=True, slots=True)
class Task:
    """The work of every system.

    Args:
        folder: The checkpoint.
        scratch: The folder for converted checkpoints.
        batch: Clips in a batch.
        tokens: The maximum of tokens per clip; with `forced` the exact number.
        threads: The number of threads of each system.
        forced: Whether the end token is suppressed.
    """

    folder: Path
    scratch: Path
    batch: int
    tokens: int
    threads: int
    forced: bool


def write_model(shape: str, directory: Path) -> Path:
    """Write a checkpoint of a shape with random weights, in the format of the hub."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    ids = write_tokenizer(directory)
    size = SHAPES[shape]
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=size["width"],
        encoder_layers=size["layers"],
        decoder_layers=size["layers"],
        encoder_attention_heads=size["heads"],
        decoder_attention_heads=size["heads"],
        encoder_ffn_dim=4 * size["width"],
        decoder_ffn_dim=4 * size["width"],
        vocab_size=LAST,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        pad_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=ids["<|endoftext|>"],
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    with quiet_transformers():
        network = WhisperForConditionalGeneration(config).eval()
        # End and timestamp tokens are never the likeliest, without a rule that would cost time.
        network.model.decoder.embed_tokens.weight.data[TEXT_TOKENS:] = 0
        # Without this it would repeat one word.
        network.model.decoder.embed_positions.weight.data.normal_(std=0.3)
        network.generation_config = describe_generation(ids)
        network.save_pretrained(directory)
        WhisperFeatureExtractor().save_pretrained(directory)
    return directory


def write_tokenizer(directory: Path) -> dict[str, int]:
    """Write a tokenizer as large as Whisper's, with invented words; return the special ids."""
    directory.mkdir(parents=True, exist_ok=True)
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        *(f"<|x{number}|>" for number in range(LANGUAGES - 1)),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
        *(f"<|{0.02 * step:.2f}|>" for step in range(1501)),
    ]
    ids = {token: TEXT_TOKENS + index for index, token in enumerate(special)}
    words = {f"Ġw{number}": number for number in range(TEXT_TOKENS)}
    (directory / "vocab.json").write_text(json.dumps(words))
    (directory / "merges.txt").write_text("#version: 0.2\n")
    added = {str(number): {"content": token, "special": True} for token, number in ids.items()}
    settings = {"tokenizer_class": "WhisperTokenizer", "added_tokens_decoder": added}
    marks = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), special[0])
    (directory / "tokenizer_config.json").write_text(json.dumps({**settings, **marks}))
    return ids


def describe_generation(ids: Mapping[str, int]) -> Any:
    from transformers import GenerationConfig

    end = ids["<|endoftext|>"]
    return GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"]},
        task_to_id={one: ids[f"<|{one}|>"] for one in ("transcribe", "translate")},
        max_length=448,
        return_timestamps=False,
        # The same number as in Whisper.
        suppress_tokens=[*range(88), *range(end + 1, end + 2)],
        begin_suppress_tokens=[220, end],
    )


def open_pipeline(task: Task, batch: int, dtype: str) -> Transcribe:
    from transformers import pipeline

    with quiet_transformers():
        # The default is the precision of the checkpoint.
        recognise = pipeline(
            "automatic-speech-recognition",
            model=str(task.folder),
            device="cpu",
            dtype=getattr(torch, {"fp32": "float32", "bf16": "bfloat16"}[dtype]),
            trust_remote_code=False,
        )
    # The default beam size is five.
    settings: dict[str, Any] = {"max_new_tokens": task.tokens, "num_beams": 1}
    if is_multilingual(recognise.model.generation_config):
        settings |= {"language": "en", "task": "transcribe"}
    counts = _count_generated(recognise.model)

    def transcribe_clips(clips: Sequence[Clip]) -> list[Hypothesis]:
        inputs = [{"raw": clip.copy(), "sampling_rate": SAMPLE_RATE_HZ} for clip in clips]
        counts.clear()
        with quiet_transformers():
            found = recognise(inputs, batch_size=batch, generate_kwargs=settings)
        texts = [one["text"].strip() for one in found]
        return [Hypothesis(text, count) for text, count in zip(texts, counts, strict=True)]

    return transcribe_clips


def _count_generated(network: Any) -> list[int]:
    """Return a list to which `generate` appends the number of text tokens of each row."""
    counts: list[int] = []
    generate, end = network.generate, network.generation_config.eos_token_id

    def counted(*inputs: Any, **options: Any) -> Any:
        found = generate(*inputs, **options)
        ids = found["sequences"] if isinstance(found, Mapping) else found
        # Whisper's special tokens, the end first, have the highest ids.
        counts.extend((ids < end).sum(-1).tolist())
        return found

    network.generate = counted
    return counts


def open_ours(task: Task, dtype: str, rows: int, *, packed: bool = True) -> Transcribe:
    model = open_seq2seq_model(str(task.folder), device=open_cpu(), dtype=dtype)
    opened: Seq2SeqGenerator | None = pack_whisper(model) if packed else model
    assert opened is not None, "the CPU engine does not support this checkpoint"
    generator = opened
    size = plan_batching(generator, rows).utterances or 1
    language = "en" if is_multilingual(model.settings) else None
    generation = Generation(language=language, max_tokens=task.tokens)

    def transcribe_clips(clips: Sequence[Clip]) -> list[Hypothesis]:
        hypotheses = []
        for start in range(0, len(clips), size):
            batch = join(clips[start : start + size])
            found = generator.generate_from(generator.frontend.prepare(batch), generation)
            hypotheses += [Hypothesis(row.text, len(row.tokens)) for row in found.rows]
        return hypotheses

    return transcribe_clips


def join(clips: Sequence[Clip]) -> AudioBatch:
    lengths = np.array([len(one) for one in clips], dtype=np.int64)
    samples = np.zeros((len(clips), int(lengths.max())), dtype=np.float32)
    for row, clip in enumerate(clips):
        samples[row, : len(clip)] = clip
    return AudioBatch((UTTERANCE,) * len(clips), samples, lengths)


def open_ctranslate2(task: Task, compute: str) -> Transcribe:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    target = task.scratch / "ctranslate2"
    if not target.exists():
        half = task.scratch / "ctranslate2.part"
        with quiet_transformers():
            TransformersConverter(str(task.folder)).convert(str(half), force=True)
        half.rename(target)
    network = ctranslate2.models.Whisper(
        str(target), compute_type=compute, intra_threads=task.threads, inter_threads=1
    )
    assert network.compute_type == compute, f"it computes in {network.compute_type}"
    ours = open_seq2seq_model(str(task.folder), device=open_cpu(), dtype="fp32")
    language = "en" if is_multilingual(ours.settings) else None
    prompt = ours.reader.plan_prompt(
        resolve_generation(Generation(language=language), ours.settings, "")
    )
    suppressed = list(ours.settings.suppress_tokens or ())

    def transcribe_clips(clips: Sequence[Clip]) -> list[Hypothesis]:
        features = ours.frontend.prepare(join(clips))["input_features"].numpy()
        found = network.generate(
            ctranslate2.StorageView.from_array(features),
            [prompt] * len(clips),
            beam_size=1,
            # It generates the minimum of half of this and this minus the prompt.
            max_length=max(2 * task.tokens, task.tokens + len(prompt)),
            suppress_tokens=suppressed,
        )
        ids = [one.sequences_ids[0] for one in found]
        return [Hypothesis(ours.reader.decode_text(one), len(one)) for one in ids]

    return transcribe_clips


def open_systems(task: Task, only: Sequence[str]) -> Iterator[System]:
    """Yield the systems whose packages are installed; name the others.

    bf16 is left out on a processor without native bf16.
    """
    rows = task.batch
    openers: dict[str, Callable[[], Transcribe]] = {
        "pipeline fp32, batch 1": lambda: open_pipeline(task, 1, "fp32"),
        f"pipeline fp32, batch {rows}": lambda: open_pipeline(task, rows, "fp32"),
        f"pipeline bf16, batch {rows}": lambda: open_pipeline(task, rows, "bf16"),
        "ours fp32": lambda: open_ours(task, "fp32", rows),
        "ours fp32, unbatched": lambda: open_ours(task, "fp32", 1),
        "ours fp32, not packed": lambda: open_ours(task, "fp32", rows, packed=False),
        "ours bf16": lambda: open_ours(task, "bf16", rows),
        "CTranslate2 fp32": lambda: open_ctranslate2(task, "float32"),
        "CTranslate2 bf16": lambda: open_ctranslate2(task, "bfloat16"),
        "CTranslate2 int8 (fp32 around)": lambda: open_ctranslate2(task, "int8_float32"),
    }
    for name, opener in openers.items():
        if only and not name.startswith("pipeline fp32") and name not in only:
            continue
        if "bf16" in name and not has_native_bf16():
            print(f"left out: {name} (this processor would emulate bf16)", file=sys.stderr)
            continue
        try:
            yield System(name, opener())
        except Exception as error:  # noqa: BLE001 - a system that does not start is reported
            reason = str(error).partition("\n")[0]
            print(f"left out: {name} ({type(error).__name__}: {reason})", file=sys.stderr)


def measure(
    systems: Sequence[System],
    batches: Sequence[Sequence[Clip]],
    repeats: int,
    clock: Callable[[], float],
) -> None:
    """Transcribe every batch with every system in every repeat; the first one only warms up."""
    for repeat in range(repeats + 1):
        for system in systems:
            system.repeat_s.append(0.0)
        for index, batch in enumerate(batches):
            turn = (index + repeat) % len(systems)
            for system in [*systems[turn:], *systems[:turn]]:
                started = clock()
                found = system.transcribe_clips(batch)
                system.repeat_s[-1] += clock() - started
                if repeat == 0:
                    system.hypotheses += found
        took = ", ".join(f"{one.name} {one.repeat_s[-1]:.1f}" for one in systems)
        print(f"repeat {repeat} (s): {took}", file=sys.stderr, flush=True)
    for system in systems:
        del system.repeat_s[0]


def check_equal_work(systems: Sequence[System], tokens: int) -> None:
    """Exit unless every system generated exactly `tokens` tokens of each clip."""
    wrong = [
        f"{one.name}: {min(one.tokens)} to {max(one.tokens)}"
        for one in systems
        if set(one.tokens) != {tokens}
    ]
    if wrong:
        sys.exit(f"Unequal work, not {tokens} tokens of each clip: {'; '.join(wrong)}.")


def error_rate(system: System, references: Sequence[str]) -> str:
    """Return the WER after Whisper's basic normalisation; empty without references."""
    if not references:
        return ""
    from whisper_normalizer.basic import BasicTextNormalizer

    normalise = BasicTextNormalizer()
    counts = [
        count_errors(normalise(reference).split(), normalise(text).split())
        for reference, text in zip(references, system.texts, strict=True)
    ]
    return f"{sum(counts[1:], counts[0]).rate:.2%}"


def tabulate(systems: Sequence[System], audio_s: float, references: Sequence[str]) -> Iterator[str]:
    """Yield the Markdown table; the baseline of a repeat is the faster fp32 pipeline."""
    pipelines = [one for one in systems if one.name.startswith("pipeline fp32")]
    repeats = zip(*(one.repeat_s for one in pipelines), strict=True)
    baseline_s = [min(seconds) for seconds in repeats]
    expected = pipelines[0].texts
    yield (
        "| system | RTFx | x faster fp32 pipeline (min / median / max) "
        "| tokens of all clips | same texts | WER |"
    )
    yield "|---|---|---|---|---|---|"
    for one in systems:
        same = sum(text == other for text, other in zip(one.texts, expected, strict=True))
        yield (
            f"| {one.name} | {audio_s / float(np.median(one.repeat_s)):.1f} "
            f"| {spread(baseline_s, one.repeat_s)} | {sum(one.tokens)} "
            f"| {same} of {len(expected)} | {error_rate(one, references)} |"
        )


def read_clips(data: str, limit: int) -> tuple[list[Clip], list[str]]:
    """Load the first clips that fit the window, and their transcripts if all have one."""
    clips, texts = [], []
    for utterance in read_utterances(data):
        samples = load_audio(utterance.audio).samples
        if len(samples) <= WINDOW_S * SAMPLE_RATE_HZ and len(clips) < limit:
            clips.append(samples)
            texts.append(utterance.text)
    known = [text for text in texts if text is not None]
    return clips, known if len(known) == len(texts) else []


def force_lengths(folder: Path, target: Path) -> Path:
    """Link the checkpoint into `target`, with its end token suppressed."""
    target.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        link = target / path.name
        if path.is_file() and not link.exists():
            link.symlink_to(path.resolve())
    settings = json.loads((folder / "generation_config.json").read_text())
    end = settings["eos_token_id"]
    settings["suppress_tokens"] = sorted({*(settings.get("suppress_tokens") or ()), end})
    (target / "generation_config.json").unlink(missing_ok=True)
    (target / "generation_config.json").write_text(json.dumps(settings))
    return target


def prepare_task(name: str, arguments: argparse.Namespace, scratch: Path) -> Task:
    """Return the work on the checkpoint of a shape, written if missing, or on that of --model."""
    folder, forced = scratch, arguments.forced
    if arguments.model is None:
        forced = True
        if not (folder / "config.json").exists():
            write_model(name, folder)
    else:
        folder = arguments.model
        if forced:
            folder = force_lengths(folder, scratch / "forced")
    scratch.mkdir(parents=True, exist_ok=True)
    return Task(folder, scratch, arguments.batch, arguments.tokens, arguments.threads, forced)


def run_model(name: str, arguments: argparse.Namespace, scratch: Path) -> str:
    """Measure all systems with one checkpoint and return the Markdown.

    Args:
        name: The shape, or the name of the model.
        arguments: The command line.
        scratch: A folder for models.
    """
    task = prepare_task(name, arguments, scratch)
    references: list[str] = []
    if arguments.audio is None:
        drawn = draw_clips(arguments.clips)
        clips = [clip[: WINDOW_S * SAMPLE_RATE_HZ] for clip in drawn]
        clips.sort(key=len)
    else:
        clips, references = read_clips(arguments.audio, arguments.clips)
    batches = [clips[at : at + arguments.batch] for at in range(0, len(clips), arguments.batch)]
    audio_s = sum(map(len, clips)) / SAMPLE_RATE_HZ
    systems = list(open_systems(task, arguments.only))
    clock = time.process_time if arguments.cpu_seconds else time.perf_counter
    measure(systems, batches, arguments.repeats, clock)
    if task.forced:
        check_equal_work(systems, task.tokens)
    lengths = "exactly" if task.forced else "at most"
    about = (
        f"{describe_machine(threads=arguments.threads)}. "
        f"{'CPU' if arguments.cpu_seconds else 'Wall'} seconds; {len(clips)} clips, "
        f"{audio_s:.0f} s, {lengths} {arguments.tokens} tokens each; {arguments.repeats} repeats."
    )
    lines = [f"### Whisper {name}", "", f"`python {' '.join(sys.argv)}`", "", about, ""]
    return "\n".join([*lines, *tabulate(systems, audio_s, references), ""])


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--model", type=Path, help="a Whisper checkpoint instead of the shapes")
    parser.add_argument("--audio", help="data in any layout of --data instead of noise")
    parser.add_argument(
        "--forced", action="store_true", help="with --model: suppress the end token"
    )
    parser.add_argument("--repeats", "--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cpu-seconds",
        action="store_true",
        help="CPU seconds of all threads instead of wall seconds",
    )
    parser.add_argument(
        "--only",
        nargs="*",
        default=[],
        help="names of systems to measure besides the fp32 pipelines",
    )
    parser.add_argument("--folder", type=Path, help="keep the models here for the next run")
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.folder or Path(scratch)
        names = arguments.shapes if arguments.model is None else [arguments.model.name]
        for name in names:
            print(run_model(name, arguments, root / name), flush=True)


if __name__ == "__main__":
    main()
