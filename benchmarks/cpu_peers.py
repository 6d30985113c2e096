"""Our CPU path against what a user would take instead, on the same clips in one interleaved run.

    pip install -e ".[peers]"
    OMP_NUM_THREADS=2 python benchmarks/cpu_peers.py --shapes base large --rounds 3

Models have random weights and clips are noise shaped like speech, for speed depends on neither;
"frames as fp32" only ranks precisions. Every contestant hears every clip before the next clip
comes, in an order that turns, so that what else the machine does meets all alike. A ratio is that
of one round's seconds; the table shows the smallest, the median and the largest. On a machine that
others use as well, one thread and `--cpu-seconds` tell more than the clock on the wall.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.engine.engine import batch_one
from gaudi_asr_cli.core.models.ctc import CtcModel, open_ctc_model
from gaudi_asr_cli.core.models.frontend import default_settings, standardize
from gaudi_asr_cli.core.models.packed.int8 import can_quantise
from gaudi_asr_cli.core.models.packed.model import pack
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Utterance
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, write_tokenizer_files

Sound = NDArray[np.float32]
Listen = Callable[[Sound], "NDArray[np.int64] | None"]
"""Raw samples (T,) to the best token of each frame (F,), or None where only text comes out."""

BASELINE = "transformers pipeline fp32"
REFERENCE = "transformers eager fp32"
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
SHAPES: Mapping[str, Mapping[str, Any]] = {"base": {}, "large": LARGE}
LETTERS = " abcdefghijklmnopqrstuvwxyz'"
SOMEBODY = Utterance("clip", AudioSpan(Path("clip.wav")))
OPSET = 17


@dataclass
class Contestant:
    """Who listens, in which precision, and what it took: seconds of each round."""

    name: str
    precision: str
    listen: Listen
    load_s: float
    round_s: list[float] = field(default_factory=list)
    frames: list[NDArray[np.int64] | None] = field(default_factory=list)


def draw_clips(count: int, seed: int = 0) -> list[Sound]:
    """Clips with durations like LibriSpeech's test-clean (log-normal, mean 7.4 s, 1.3 to 35 s)."""
    random = np.random.default_rng(seed)
    durations_s = random.lognormal(1.80, 0.62, count).clip(1.3, 35)
    durations_s *= 7.42 / durations_s.mean()
    return [_speak(round(seconds * SAMPLE_RATE_HZ), random) for seconds in durations_s]


def _speak(samples: int, random: np.random.Generator) -> Sound:
    """Noise with speech's falling spectrum, in syllables of a fifth of a second."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    spectrum /= 1 + np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ) / 500
    syllables = 0.5 + 0.5 * np.sin(np.arange(samples) * (2 * np.pi * 5 / SAMPLE_RATE_HZ))
    sound = np.fft.irfft(spectrum, samples) * syllables
    return (0.1 * sound / sound.std()).astype(np.float32)


def write_model(shape: str, directory: Path) -> Path:
    """A checkpoint of that shape with random weights, as the hub has them."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    vocabulary = build_vocabulary(dict.fromkeys(LETTERS, 1))
    torch.manual_seed(0)
    with quiet_transformers():
        config = Wav2Vec2Config(
            **SHAPES[shape], vocab_size=len(vocabulary.tokens), pad_token_id=vocabulary.blank
        )
        network = Wav2Vec2ForCTC(config).eval()
        network.lm_head.weight.data.normal_(std=1.0)
        network.save_pretrained(directory)
        settings = default_settings(config.to_dict())
        Wav2Vec2FeatureExtractor(
            do_normalize=True, return_attention_mask=settings["return_attention_mask"]
        ).save_pretrained(directory)
    write_tokenizer_files(vocabulary, directory)
    return directory


def open_pipeline(folder: Path) -> Listen:
    from transformers import pipeline

    with quiet_transformers():
        recognise = pipeline("automatic-speech-recognition", model=str(folder), device="cpu")

    def listen(sound: Sound) -> None:
        recognise({"raw": sound.copy(), "sampling_rate": SAMPLE_RATE_HZ})

    return listen


def open_eager(folder: Path, dtype: str) -> Listen:
    return _listen_with(open_ctc_model(str(folder), device=open_cpu(), dtype=dtype))


def open_ours(folder: Path, dtype: str, *, int8: bool = False) -> Listen:
    model = open_ctc_model(str(folder), device=open_cpu(), dtype="fp32")
    packed = pack(replace(model, dtype=dtype), int8=int8)
    if packed is None:
        raise ImportError("this checkpoint's layers are not written out")
    return _listen_with(packed)


def _listen_with(model: Any) -> Listen:
    def listen(sound: Sound) -> NDArray[np.int64]:
        best: NDArray[np.int64] = model.emissions(batch_one(sound, SOMEBODY)).log_probs[0].argmax(1)
        return best

    return listen


def export_onnx(folder: Path) -> Path:
    """The network as ONNX with a free length, written beside it once."""
    path = folder / "model.onnx"
    if not path.exists():
        network = _exportable(folder)
        torch.onnx.export(
            network,
            (torch.randn(1, 40_000),),
            str(path),
            input_names=["samples"],
            output_names=["logits"],
            dynamic_axes={"samples": {1: "T"}, "logits": {1: "F"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return path


class LogitsOnly(torch.nn.Module):
    """Tensors in and out: exporters know no output classes."""

    def __init__(self, model: CtcModel) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(samples).logits
        return logits


def _exportable(folder: Path) -> torch.nn.Module:
    return LogitsOnly(open_ctc_model(str(folder), device=open_cpu(), dtype="fp32")).eval()


def open_onnx(folder: Path, *, int8: bool, threads: int) -> Listen:
    import onnxruntime

    path = export_onnx(folder)
    if int8:
        path = _quantise_onnx(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would otherwise go on spinning while the next contestant is measured.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return lambda sound: session.run(None, {"samples": standardize(sound)[None]})[0][0].argmax(1)


def _quantise_onnx(path: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = path.with_suffix(".int8.onnx")
    if not small.exists():
        quantize_dynamic(
            path,
            small,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul"],
            extra_options={"MatMulConstBOnly": True},
        )
    return small


def open_openvino(folder: Path, *, precision: str, threads: int) -> Listen:
    import openvino

    path = folder / "openvino.xml"
    if not path.exists():
        converted = openvino.convert_model(
            _exportable(folder), example_input=torch.randn(1, 40_000), input=[1, -1]
        )
        openvino.save_model(converted, path, compress_to_fp16=False)
    core = openvino.Core()
    model: Any = core.read_model(path)
    if precision == "int8":
        model = _quantise_openvino(model)
    hint = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}[precision]
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(model, "CPU", settings)
    return lambda sound: compiled([standardize(sound)[None]])[0][0].argmax(1)


def _quantise_openvino(model: Any) -> Any:
    """Static int8 for weights and activations of matrix products, the rest in bf16."""
    import nncf

    sounds = [standardize(clip)[None] for clip in draw_clips(6, seed=1)]
    return nncf.quantize(
        model,
        nncf.Dataset(sounds),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(sounds),
        ignored_scope=nncf.IgnoredScope(types=["Convolution", "GroupConvolution"]),
    )


def open_ctranslate2(folder: Path, *, int8: bool, threads: int) -> Listen:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    target = folder / "ctranslate2"
    if not target.exists():
        # A folder that was left half-written would be taken for a model by the next run.
        half = folder / "ctranslate2.part"
        TransformersConverter(str(folder)).convert(str(half), force=True)
        half.rename(target)
    kind = "int8_float32" if int8 else "float32"
    model = ctranslate2.models.Wav2Vec2(
        str(target), compute_type=kind, intra_threads=threads, inter_threads=1
    )

    def listen(sound: Sound) -> NDArray[np.int64]:
        samples = ctranslate2.StorageView.from_array(standardize(sound)[None, None])
        best: NDArray[np.int64] = np.array(model.encode(samples, to_cpu=True))[0].argmax(-1)
        return best

    return listen


def list_openers(shape: str, threads: int) -> dict[tuple[str, str], Callable[[Path], Listen]]:
    """Who may take part, by name and precision."""
    openers: dict[tuple[str, str], Callable[[Path], Listen]] = {
        (BASELINE, "fp32"): open_pipeline,
        (REFERENCE, "fp32"): partial(open_eager, dtype="fp32"),
        ("transformers eager bf16", "bf16"): partial(open_eager, dtype="bf16"),
        ("ours fp32", "fp32"): partial(open_ours, dtype="fp32"),
        ("ours bf16", "bf16"): partial(open_ours, dtype="bf16"),
        ("ONNX Runtime fp32", "fp32"): partial(open_onnx, int8=False, threads=threads),
        ("ONNX Runtime int8", "int8"): partial(open_onnx, int8=True, threads=threads),
    }
    if can_quantise():
        openers["ours int8", "int8"] = partial(open_ours, dtype="bf16", int8=True)
    for precision in ("fp32", "bf16", "int8"):
        openers[f"OpenVINO {precision}", precision] = partial(
            open_openvino, precision=precision, threads=threads
        )
    if shape == "large":
        # CTranslate2 knows only the layer-norm layout.
        for precision in ("fp32", "int8"):
            openers[f"CTranslate2 {precision}", precision] = partial(
                open_ctranslate2, int8=precision == "int8", threads=threads
            )
    return openers


def open_contestants(
    shape: str, folder: Path, threads: int, only: Sequence[str]
) -> Iterator[Contestant]:
    """Those whose packages are installed and that take this model; the others are named."""
    always = (BASELINE, REFERENCE)
    for (name, precision), opener in list_openers(shape, threads).items():
        if only and name not in always and not any(part in name for part in only):
            continue
        started = time.perf_counter()
        try:
            listen = opener(folder)
        except Exception as error:  # noqa: BLE001 - a peer that does not start is told, not fatal
            reason = str(error).partition("\n")[0]
            print(f"left out: {name} ({type(error).__name__}: {reason})", file=sys.stderr)
            continue
        yield Contestant(name, precision, listen, time.perf_counter() - started)


def measure(
    contestants: Sequence[Contestant],
    clips: Sequence[Sound],
    rounds: int,
    clock: Callable[[], float],
) -> None:
    """Let everybody hear every clip in every round; the first, unmeasured one warms up."""
    for lap in range(rounds + 1):
        for contestant in contestants:
            contestant.round_s.append(0.0)
        for place, clip in enumerate(clips):
            turn = (place + lap) % len(contestants)
            for contestant in [*contestants[turn:], *contestants[:turn]]:
                started = clock()
                found = contestant.listen(clip)
                contestant.round_s[-1] += clock() - started
                if lap == 0:
                    contestant.frames.append(found)
        took = ", ".join(f"{one.name} {one.round_s[-1]:.1f}" for one in contestants)
        print(f"round {lap} (s): {took}", file=sys.stderr, flush=True)
    for contestant in contestants:
        del contestant.round_s[0]


def spread(first: Sequence[float], second: Sequence[float]) -> str:
    """Smallest, median and largest ratio of two rounds' seconds."""
    ratios = [one / other for one, other in zip(first, second, strict=True)]
    return f"{min(ratios):.2f} / {median(ratios):.2f} / {max(ratios):.2f}"


def agreement(contestant: Contestant, reference: Contestant) -> str:
    """Share of frames whose best token is transformers' in fp32."""
    same = total = 0
    for found, expected in zip(contestant.frames, reference.frames, strict=True):
        if found is None or expected is None:
            return ""
        same += int((found == expected).sum())
        total += len(expected)
    return f"{same / total:.4f}"


def tabulate(contestants: Sequence[Contestant], audio_s: float) -> Iterator[str]:
    """The Markdown table of one shape."""
    by_name = {one.name: one for one in contestants}
    baseline, reference = by_name[BASELINE], by_name[REFERENCE]
    yield (
        "| contestant | x real time | x pipeline (min / median / max) "
        "| ours in this precision / it (min / median / max) | frames as fp32 | opened in s |"
    )
    yield "|---|---|---|---|---|---|"
    for one in contestants:
        ours = by_name.get(f"ours {one.precision}")
        against = spread(one.round_s, ours.round_s) if ours and ours is not one else ""
        yield (
            f"| {one.name} | {audio_s / median(one.round_s):.1f} "
            f"| {spread(baseline.round_s, one.round_s)} | {against} "
            f"| {agreement(one, reference)} | {one.load_s:.1f} |"
        )


def describe_run(arguments: argparse.Namespace, audio_s: float) -> Iterator[str]:
    versions = [f"torch {torch.__version__}"]
    for module in ("transformers", "onnxruntime", "openvino", "ctranslate2"):
        try:
            versions.append(f"{module} {importlib.import_module(module).__version__}")
        except ImportError:
            versions.append(f"{module} not installed")
    environment = " ".join(
        f"{key}={os.environ[key]}"
        for key in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
        if key in os.environ
    )
    yield f"`{environment} python {' '.join(sys.argv)}`".replace("` ", "`")
    yield ""
    yield (
        f"{open_cpu().description}, {arguments.threads} threads, "
        f"{'CPU' if arguments.cpu_seconds else 'wall'} seconds; {arguments.clips} clips, "
        f"{audio_s:.0f} s, random weights; {arguments.rounds} rounds; {', '.join(versions)}; "
        f"load of the machine {os.getloadavg()[0]:.1f}."
    )


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-seconds", action="store_true", help="of all threads, not the wall's")
    parser.add_argument("--only", nargs="*", default=[], help="parts of names, beside the pipeline")
    parser.add_argument("--folder", type=Path, help="keep models here, for the next run")
    parser.add_argument("--output", type=Path, help="append the table to this file too")
    return parser.parse_args()


def run_shape(shape: str, arguments: argparse.Namespace, folder: Path) -> str:
    if not (folder / "config.json").exists():
        write_model(shape, folder)
    clips = draw_clips(arguments.clips)
    audio_s = sum(map(len, clips)) / SAMPLE_RATE_HZ
    contestants = list(open_contestants(shape, folder, arguments.threads, arguments.only))
    clock = time.process_time if arguments.cpu_seconds else time.perf_counter
    measure(contestants, clips, arguments.rounds, clock)
    lines = [f"### {shape}", "", *describe_run(arguments, audio_s), ""]
    return "\n".join([*lines, *tabulate(contestants, audio_s), ""])


def main() -> None:
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.folder or Path(scratch)
        for shape in arguments.shapes:
            table = run_shape(shape, arguments, root / shape)
            print(table, flush=True)
            if arguments.output:
                with arguments.output.open("a", encoding="utf-8") as file:
                    file.write(table + "\n")


if __name__ == "__main__":
    main()
