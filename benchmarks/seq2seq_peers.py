"""Our encoder-decoder inference on a CPU against transformers' and CTranslate2's, equal work each.

    OMP_NUM_THREADS=2 python benchmarks/seq2seq_peers.py --shapes tiny base --rounds 3
    OMP_NUM_THREADS=2 python benchmarks/seq2seq_peers.py --model CHECKPOINT --audio DATA

Without --model: Whisper's shapes with random weights; clips are noise shaped like speech. Every
contestant generates exactly `--tokens` tokens of each clip (no end is ever likely), for speed
depends on how many there are; the run fails where one generates another number. With --model a
Whisper checkpoint of transformers' format, whose lengths are free (the tokens of each contestant
are printed) unless --forced suppresses its end token; --audio is any data that `--data` takes, and
where it has transcripts the word error rate is printed (Whisper's basic normalisation).

Clips come in batches; every contestant receives every batch before the next one comes, in an order
that turns; the first round is not measured. All decode greedily, without timestamps, and suppress
the same tokens. A ratio is that of one round's seconds; the table shows the smallest, the median
and the largest.
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
from peers import SOMEBODY, Clip, draw_clips

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.evaluation.counts import count_errors
from gaudi_asr_cli.core.inference.seq2seq import Seq2SeqGenerator, plan_batching
from gaudi_asr_cli.core.models.cpu.whisper_generation import pack_whisper
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.models.seq2seq.generation import Generation, is_multilingual, settle
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
class Contestant:
    """A system under test, its hypotheses in the first round, and the seconds of each round."""

    name: str
    transcribe_clips: Transcribe
    round_s: list[float] = field(default_factory=list)
    hypotheses: list[Hypothesis] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.hypotheses]

    @property
    def tokens(self) -> list[int]:
        return [one.tokens for one in self.hypotheses]


@dataclass(frozen=True, slots=True)
class Task:
    """What every contestant is asked to do.

    Args:
        folder: The checkpoint.
        scratch: Where converted forms of it may be written.
        batch: Clips in a batch.
        tokens: Most tokens for a clip; with `forced` exactly so many.
        threads: Of each contestant.
        forced: Whether no text can end before it.
    """

    folder: Path
    scratch: Path
    batch: int
    tokens: int
    threads: int
    forced: bool


def write_model(shape: str, directory: Path) -> Path:
    """A checkpoint of that shape with random weights, as the hub has them."""
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
        # The end and the times: never the likeliest, without a rule that would cost time.
        network.model.decoder.embed_tokens.weight.data[TEXT_TOKENS:] = 0
        # Or it would write one word for ever.
        network.model.decoder.embed_positions.weight.data.normal_(std=0.3)
        network.generation_config = describe_generation(ids)
        network.save_pretrained(directory)
        WhisperFeatureExtractor().save_pretrained(directory)
    return directory


def write_tokenizer(directory: Path) -> dict[str, int]:
    """As many tokens as Whisper has; those of text are made up. Returns the special ones' ids."""
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
    ids = {token: TEXT_TOKENS + place for place, token in enumerate(special)}
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
        # As many as Whisper's own.
        suppress_tokens=[*range(88), *range(end + 1, end + 2)],
        begin_suppress_tokens=[220, end],
    )


def open_pipeline(task: Task, batch: int, dtype: str) -> Transcribe:
    from transformers import pipeline

    with quiet_transformers():
        # Or it would compute in whatever precision the checkpoint was saved in.
        recognise = pipeline(
            "automatic-speech-recognition",
            model=str(task.folder),
            device="cpu",
            dtype=getattr(torch, {"fp32": "float32", "bf16": "bfloat16"}[dtype]),
            trust_remote_code=False,
        )
    # Or it would follow five hypotheses at once.
    asked: dict[str, Any] = {"max_new_tokens": task.tokens, "num_beams": 1}
    if is_multilingual(recognise.model.generation_config):
        asked |= {"language": "en", "task": "transcribe"}
    counts = _count_generated(recognise.model)

    def transcribe_clips(sounds: Sequence[Clip]) -> list[Hypothesis]:
        inputs = [{"raw": sound.copy(), "sampling_rate": SAMPLE_RATE_HZ} for sound in sounds]
        counts.clear()
        with quiet_transformers():
            found = recognise(inputs, batch_size=batch, generate_kwargs=asked)
        texts = [one["text"].strip() for one in found]
        return [Hypothesis(text, count) for text, count in zip(texts, counts, strict=True)]

    return transcribe_clips


def _count_generated(network: Any) -> list[int]:
    """Return a list that every call of `generate` adds its rows' numbers of text tokens to."""
    counts: list[int] = []
    generate, end = network.generate, network.generation_config.eos_token_id

    def counted(*inputs: Any, **settings: Any) -> Any:
        found = generate(*inputs, **settings)
        ids = found["sequences"] if isinstance(found, Mapping) else found
        # Whisper's special tokens, the end first, have the highest ids.
        counts.extend((ids < end).sum(-1).tolist())
        return found

    network.generate = counted
    return counts


def open_ours(task: Task, dtype: str, rows: int, *, packed: bool = True) -> Transcribe:
    model = open_seq2seq_model(str(task.folder), device=open_cpu(), dtype=dtype)
    written: Seq2SeqGenerator | None = pack_whisper(model) if packed else model
    assert written is not None, "this checkpoint's layers are not written out"
    generator = written
    size = plan_batching(generator, rows).utterances or 1
    language = "en" if is_multilingual(model.settings) else None
    how = Generation(language=language, max_tokens=task.tokens)

    def transcribe_clips(sounds: Sequence[Clip]) -> list[Hypothesis]:
        hypotheses = []
        for start in range(0, len(sounds), size):
            batch = join(sounds[start : start + size])
            found = generator.generate_from(generator.frontend.prepare(batch), how)
            hypotheses += [Hypothesis(row.text, len(row.tokens)) for row in found.rows]
        return hypotheses

    return transcribe_clips


def join(sounds: Sequence[Clip]) -> AudioBatch:
    lengths = np.array([len(one) for one in sounds], dtype=np.int64)
    samples = np.zeros((len(sounds), int(lengths.max())), dtype=np.float32)
    for row, sound in enumerate(sounds):
        samples[row, : len(sound)] = sound
    return AudioBatch((SOMEBODY,) * len(sounds), samples, lengths)


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
    prompt = ours.reader.plan_prompt(settle(Generation(language=language), ours.settings, ""))
    never = list(ours.settings.suppress_tokens or ())

    def transcribe_clips(sounds: Sequence[Clip]) -> list[Hypothesis]:
        features = ours.frontend.prepare(join(sounds))["input_features"].numpy()
        found = network.generate(
            ctranslate2.StorageView.from_array(features),
            [prompt] * len(sounds),
            beam_size=1,
            # It generates the smaller of half of this and this less the prompt.
            max_length=max(2 * task.tokens, task.tokens + len(prompt)),
            suppress_tokens=never,
        )
        ids = [one.sequences_ids[0] for one in found]
        return [Hypothesis(ours.reader.decode_text(one), len(one)) for one in ids]

    return transcribe_clips


def open_contestants(task: Task, only: Sequence[str]) -> Iterator[Contestant]:
    """Yield those whose packages are installed; the others are named.

    Where the processor does not multiply bf16 itself nobody computes in it.
    """
    rows = task.batch
    openers: dict[str, Callable[[], Transcribe]] = {
        "pipeline fp32, batch 1": lambda: open_pipeline(task, 1, "fp32"),
        f"pipeline fp32, batch {rows}": lambda: open_pipeline(task, rows, "fp32"),
        f"pipeline bf16, batch {rows}": lambda: open_pipeline(task, rows, "bf16"),
        "ours fp32": lambda: open_ours(task, "fp32", rows),
        "ours fp32, one at a time": lambda: open_ours(task, "fp32", 1),
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
            yield Contestant(name, opener())
        except Exception as error:  # noqa: BLE001 - a peer that does not start is told, not fatal
            reason = str(error).partition("\n")[0]
            print(f"left out: {name} ({type(error).__name__}: {reason})", file=sys.stderr)


def measure(
    contestants: Sequence[Contestant],
    batches: Sequence[Sequence[Clip]],
    rounds: int,
    clock: Callable[[], float],
) -> None:
    """Let everybody hear every batch in every round; the first, unmeasured one warms up."""
    for lap in range(rounds + 1):
        for contestant in contestants:
            contestant.round_s.append(0.0)
        for place, batch in enumerate(batches):
            turn = (place + lap) % len(contestants)
            for contestant in [*contestants[turn:], *contestants[:turn]]:
                started = clock()
                found = contestant.transcribe_clips(batch)
                contestant.round_s[-1] += clock() - started
                if lap == 0:
                    contestant.hypotheses += found
        took = ", ".join(f"{one.name} {one.round_s[-1]:.1f}" for one in contestants)
        print(f"round {lap} (s): {took}", file=sys.stderr, flush=True)
    for contestant in contestants:
        del contestant.round_s[0]


def check_equal_work(contestants: Sequence[Contestant], tokens: int) -> None:
    """Stop unless everybody generated exactly so many tokens of each clip."""
    wrong = [
        f"{one.name}: {min(one.tokens)} to {max(one.tokens)}"
        for one in contestants
        if set(one.tokens) != {tokens}
    ]
    if wrong:
        sys.exit(f"Unequal work: {tokens} tokens of each clip were asked for; {'; '.join(wrong)}.")


def error_rate(contestant: Contestant, references: Sequence[str]) -> str:
    """The word error rate under Whisper's basic normalisation; empty without references."""
    if not references:
        return ""
    from whisper_normalizer.basic import BasicTextNormalizer

    normalise = BasicTextNormalizer()
    counts = [
        count_errors(normalise(reference).split(), normalise(text).split())
        for reference, text in zip(references, contestant.texts, strict=True)
    ]
    return f"{sum(counts[1:], counts[0]).rate:.2%}"


def tabulate(
    contestants: Sequence[Contestant], audio_s: float, references: Sequence[str]
) -> Iterator[str]:
    """The Markdown table of a model; the baseline of a round is the better fp32 pipeline."""
    pipelines = [one for one in contestants if one.name.startswith("pipeline fp32")]
    rounds = zip(*(one.round_s for one in pipelines), strict=True)
    baseline_s = [min(seconds) for seconds in rounds]
    expected = pipelines[0].texts
    yield (
        "| contestant | x real time | x better fp32 pipeline (min / median / max) "
        "| tokens of all clips | texts as its | WER |"
    )
    yield "|---|---|---|---|---|---|"
    for one in contestants:
        same = sum(text == other for text, other in zip(one.texts, expected, strict=True))
        yield (
            f"| {one.name} | {audio_s / float(np.median(one.round_s)):.1f} "
            f"| {spread(baseline_s, one.round_s)} | {sum(one.tokens)} "
            f"| {same} of {len(expected)} | {error_rate(one, references)} |"
        )


def read_clips(data: str, limit: int) -> tuple[list[Clip], list[str]]:
    """The first clips that fit a window, with their transcripts; none unless all have one."""
    clips, texts = [], []
    for utterance in read_utterances(data):
        samples = load_audio(utterance.audio).samples
        if len(samples) <= WINDOW_S * SAMPLE_RATE_HZ and len(clips) < limit:
            clips.append(samples)
            texts.append(utterance.text)
    known = [text for text in texts if text is not None]
    return clips, known if len(known) == len(texts) else []


def force_lengths(folder: Path, target: Path) -> Path:
    """The same checkpoint with its end token among those that are never generated."""
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
    """A shape's checkpoint, written where it is not there yet, or the one that --model names."""
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
    """Measure all contestants with one checkpoint.

    Args:
        name: A shape, or what --model is called.
        arguments: The command line.
        scratch: A folder for what is written.
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
    contestants = list(open_contestants(task, arguments.only))
    clock = time.process_time if arguments.cpu_seconds else time.perf_counter
    measure(contestants, batches, arguments.rounds, clock)
    if task.forced:
        check_equal_work(contestants, task.tokens)
    lengths = "exactly" if task.forced else "at most"
    about = (
        f"{describe_machine(threads=arguments.threads)}. "
        f"{'CPU' if arguments.cpu_seconds else 'Wall'} seconds; {len(clips)} clips, "
        f"{audio_s:.0f} s, {lengths} {arguments.tokens} tokens each; {arguments.rounds} rounds."
    )
    lines = [f"### Whisper {name}", "", f"`python {' '.join(sys.argv)}`", "", about, ""]
    return "\n".join([*lines, *tabulate(contestants, audio_s, references), ""])


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--model", type=Path, help="a Whisper checkpoint, instead of the shapes")
    parser.add_argument("--audio", help="data as --data takes it, instead of noise")
    parser.add_argument("--forced", action="store_true", help="with --model: no text can end")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-seconds", action="store_true", help="of all threads, not the wall's")
    parser.add_argument("--only", nargs="*", default=[], help="names, beside the fp32 pipelines")
    parser.add_argument("--folder", type=Path, help="keep models here, for the next run")
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
