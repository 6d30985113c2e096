"""Our way of writing on a CPU against transformers', on the same clips in one interleaved run.

    OMP_NUM_THREADS=2 python benchmarks/seq2seq_peers.py --shapes tiny base --rounds 3

Whisper's shapes with random weights; clips are noise shaped like speech. Everybody writes exactly
`--tokens` tokens of each clip (no end is ever likely), for speed depends on how many there are.
Clips come in batches; every contestant hears every batch before the next one comes, in an order
that turns. A ratio is that of one round's seconds; the table shows the smallest, the median and
the largest.
"""

from __future__ import annotations

import argparse
import json
import os
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
from peers import SOMEBODY, Sound, draw_clips

from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.engine.scribe import Author, plan_rows
from gaudi_asr_cli.core.models.packed.writing import pack_writer
from gaudi_asr_cli.core.models.prompts import Generation
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.models.seq2seq import open_seq2seq_model
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch

Listen = Callable[[Sequence[Sound]], Sequence[str]]

SHAPES: Mapping[str, Mapping[str, int]] = {
    "tiny": {"width": 384, "layers": 4, "heads": 6},
    "base": {"width": 512, "layers": 6, "heads": 8},
}
TEXT_TOKENS, LANGUAGES, LAST = 50_257, 99, 51_865
WINDOW_S = 30


@dataclass
class Contestant:
    """Who listens, what it wrote in the first round, and what it took: seconds of each round."""

    name: str
    listen: Listen
    round_s: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


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


def open_pipeline(folder: Path, batch: int, tokens: int) -> Listen:
    from transformers import pipeline

    with quiet_transformers():
        recognise = pipeline(
            "automatic-speech-recognition",
            model=str(folder),
            device="cpu",
            trust_remote_code=False,
        )
    # Or it would follow five hypotheses at once.
    asked = {"language": "en", "task": "transcribe", "max_new_tokens": tokens, "num_beams": 1}

    def listen(sounds: Sequence[Sound]) -> list[str]:
        inputs = [{"raw": sound.copy(), "sampling_rate": SAMPLE_RATE_HZ} for sound in sounds]
        with quiet_transformers():
            found = recognise(inputs, batch_size=batch, generate_kwargs=asked)
        return [one["text"].strip() for one in found]

    return listen


def open_ours(folder: Path, dtype: str, rows: int, tokens: int, *, packed: bool = True) -> Listen:
    model = open_seq2seq_model(str(folder), device=open_cpu(), dtype=dtype)
    written: Author | None = pack_writer(model) if packed else model
    assert written is not None, "this checkpoint's layers are not written out"
    author = written
    size = plan_rows(author, rows).utterances or 1
    how = Generation(language="en", max_tokens=tokens)

    def listen(sounds: Sequence[Sound]) -> list[str]:
        texts = []
        for start in range(0, len(sounds), size):
            batch = join(sounds[start : start + size])
            found = author.generate_from(author.frontend.prepare(batch), how)
            texts += [row.text for row in found.rows]
        return texts

    return listen


def join(sounds: Sequence[Sound]) -> AudioBatch:
    lengths = np.array([len(one) for one in sounds], dtype=np.int64)
    samples = np.zeros((len(sounds), int(lengths.max())), dtype=np.float32)
    for row, sound in enumerate(sounds):
        samples[row, : len(sound)] = sound
    return AudioBatch((SOMEBODY,) * len(sounds), samples, lengths)


def open_ctranslate2(folder: Path, compute: str, tokens: int, threads: int) -> Listen:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    target = folder / "ctranslate2"
    if not target.exists():
        half = folder / "ctranslate2.part"
        TransformersConverter(str(folder)).convert(str(half), force=True)
        half.rename(target)
    network = ctranslate2.models.Whisper(
        str(target), compute_type=compute, intra_threads=threads, inter_threads=1
    )
    ours = open_seq2seq_model(str(folder), device=open_cpu(), dtype="fp32")
    prompt = ours.reader.plan_prompt(Generation(language="<|en|>", task="transcribe"))
    never = list(ours.settings.suppress_tokens)

    def listen(sounds: Sequence[Sound]) -> list[str]:
        features = ours.frontend.prepare(join(sounds))["input_features"].numpy()
        found = network.generate(
            ctranslate2.StorageView.from_array(features),
            [prompt] * len(sounds),
            beam_size=1,
            max_length=tokens + len(prompt),
            suppress_tokens=never,
        )
        return [ours.reader.spell(one.sequences_ids[0]) for one in found]

    return listen


def open_contestants(folder: Path, arguments: argparse.Namespace) -> Iterator[Contestant]:
    """Those whose packages are installed; the others are named."""
    rows, tokens, threads = arguments.batch, arguments.tokens, arguments.threads
    openers: dict[str, Callable[[], Listen]] = {
        "pipeline fp32, batch 1": lambda: open_pipeline(folder, 1, tokens),
        f"pipeline fp32, batch {rows}": lambda: open_pipeline(folder, rows, tokens),
        "ours fp32": lambda: open_ours(folder, "fp32", rows, tokens),
        "ours fp32, one at a time": lambda: open_ours(folder, "fp32", 1, tokens),
        "ours fp32, not packed": lambda: open_ours(folder, "fp32", rows, tokens, packed=False),
        "ours bf16": lambda: open_ours(folder, "bf16", rows, tokens),
        "CTranslate2 fp32": lambda: open_ctranslate2(folder, "float32", tokens, threads),
        "CTranslate2 int8": lambda: open_ctranslate2(folder, "int8", tokens, threads),
    }
    for name, opener in openers.items():
        if arguments.only and not name.startswith("pipeline") and name not in arguments.only:
            continue
        try:
            yield Contestant(name, opener())
        except Exception as error:  # noqa: BLE001 - a peer that does not start is told, not fatal
            reason = str(error).partition("\n")[0]
            print(f"left out: {name} ({type(error).__name__}: {reason})", file=sys.stderr)


def measure(
    contestants: Sequence[Contestant],
    batches: Sequence[Sequence[Sound]],
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
                texts = contestant.listen(batch)
                contestant.round_s[-1] += clock() - started
                if lap == 0:
                    contestant.texts += texts
        took = ", ".join(f"{one.name} {one.round_s[-1]:.1f}" for one in contestants)
        print(f"round {lap} (s): {took}", file=sys.stderr, flush=True)
    for contestant in contestants:
        del contestant.round_s[0]


def tabulate(contestants: Sequence[Contestant], audio_s: float) -> Iterator[str]:
    """The Markdown table of one shape; the baseline of a round is the better of the pipelines."""
    pipelines = [one for one in contestants if one.name.startswith("pipeline")]
    rounds = zip(*(one.round_s for one in pipelines), strict=True)
    baseline_s = [min(seconds) for seconds in rounds]
    expected = pipelines[0].texts
    yield "| contestant | x real time | x better pipeline (min / median / max) | texts as its |"
    yield "|---|---|---|---|"
    for one in contestants:
        same = sum(text == other for text, other in zip(one.texts, expected, strict=True))
        yield (
            f"| {one.name} | {audio_s / float(np.median(one.round_s)):.1f} "
            f"| {spread(baseline_s, one.round_s)} | {same} of {len(expected)} |"
        )


def run_shape(shape: str, arguments: argparse.Namespace, folder: Path) -> str:
    if not (folder / "config.json").exists():
        write_model(shape, folder)
    clips = [clip[: WINDOW_S * SAMPLE_RATE_HZ] for clip in draw_clips(arguments.clips)]
    clips.sort(key=len)
    batches = [clips[at : at + arguments.batch] for at in range(0, len(clips), arguments.batch)]
    audio_s = sum(map(len, clips)) / SAMPLE_RATE_HZ
    contestants = list(open_contestants(folder, arguments))
    clock = time.process_time if arguments.cpu_seconds else time.perf_counter
    measure(contestants, batches, arguments.rounds, clock)
    import transformers

    about = (
        f"{open_cpu().description}, {arguments.threads} threads, "
        f"{'CPU' if arguments.cpu_seconds else 'wall'} seconds; {len(clips)} clips, "
        f"{audio_s:.0f} s, {arguments.tokens} tokens each, random weights; {arguments.rounds} "
        f"rounds; torch {torch.__version__}, transformers {transformers.__version__}; load of the "
        f"machine {os.getloadavg()[0]:.1f}."
    )
    lines = [f"### Whisper {shape}", "", f"`python {' '.join(sys.argv)}`", "", about, ""]
    return "\n".join([*lines, *tabulate(contestants, audio_s), ""])


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-seconds", action="store_true", help="of all threads, not the wall's")
    parser.add_argument("--only", nargs="*", default=[], help="names, beside the pipelines")
    parser.add_argument("--folder", type=Path, help="keep models here, for the next run")
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.folder or Path(scratch)
        for shape in arguments.shapes:
            print(run_shape(shape, arguments, root / shape), flush=True)


if __name__ == "__main__":
    main()
