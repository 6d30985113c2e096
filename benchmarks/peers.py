"""The systems of `cpu_peers.py`: the pipeline, our CPU engine and three inference engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import has_native_bf16
from numpy.typing import NDArray

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.devices.int16 import can_multiply_int16
from gaudi_asr_cli.core.inference.ctc import CtcRecognizer
from gaudi_asr_cli.core.inference.recognizer import batch_one
from gaudi_asr_cli.core.inference.transcribe import transcribe_timed
from gaudi_asr_cli.core.models.cpu.ctc import pack
from gaudi_asr_cli.core.models.ctc.model import CtcModel, open_ctc_model
from gaudi_asr_cli.core.models.features import default_settings, standardize
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Utterance
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, write_tokenizer_files

Clip = NDArray[np.float32]
Transcribe = Callable[[Clip], "NDArray[np.int64] | None"]
"""Maps raw samples (T,) to the best token of each frame (F,); None if it only returns text."""
TranscribeAll = Callable[[Sequence[Clip]], None]


@dataclass(frozen=True, slots=True)
class Engine:
    """Functions that transcribe one clip, and many clips if that is not sequential."""

    transcribe_clips: Transcribe
    transcribe_all_clips: TranscribeAll | None = None

    def transcribe_all(self, clips: Sequence[Clip]) -> None:
        """Transcribe all clips in the fastest way of the engine."""
        if self.transcribe_all_clips is not None:
            self.transcribe_all_clips(clips)
            return
        for clip in clips:
            self.transcribe_clips(clip)


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
UTTERANCE = Utterance("clip", AudioSpan(Path("clip.wav")))
OPSET = 17


def draw_clips(count: int, seed: int = 0) -> list[Clip]:
    """Draw clips with durations as in LibriSpeech test-clean (log-normal, mean 7.4 s, 1.3-35 s)."""
    random = np.random.default_rng(seed)
    durations_s = random.lognormal(1.80, 0.62, count).clip(1.3, 35)
    durations_s *= 7.42 / durations_s.mean()
    return [_speak(round(seconds * SAMPLE_RATE_HZ), random) for seconds in durations_s]


def _speak(samples: int, random: np.random.Generator) -> Clip:
    """Draw noise with the falling spectrum of speech, in syllables of 0.2 s."""
    spectrum = np.fft.rfft(random.standard_normal(samples))
    spectrum /= 1 + np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ) / 500
    syllables = 0.5 + 0.5 * np.sin(np.arange(samples) * (2 * np.pi * 5 / SAMPLE_RATE_HZ))
    clip = np.fft.irfft(spectrum, samples) * syllables
    return (0.1 * clip / clip.std()).astype(np.float32)


def write_model(shape: str, directory: Path) -> Path:
    """Write a checkpoint of a shape with random weights, in the format of the hub."""
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


def open_pipeline(folder: Path) -> Engine:
    from transformers import pipeline

    with quiet_transformers():
        recognise = pipeline(
            "automatic-speech-recognition",
            model=str(folder),
            device="cpu",
            trust_remote_code=False,
        )

    def transcribe_clips(clip: Clip) -> None:
        recognise({"raw": clip.copy(), "sampling_rate": SAMPLE_RATE_HZ})

    return Engine(transcribe_clips)


def open_eager(folder: Path, dtype: str) -> Engine:
    return _peer(open_ctc_model(str(folder), device=open_cpu(), dtype=dtype))


def open_ours(folder: Path, precision: str) -> Engine:
    model = open_ctc_model(str(folder), device=open_cpu(), dtype="fp32")
    packed = pack(model, precision)
    if packed is None:
        raise ImportError("the CPU engine does not support this checkpoint")
    return _peer(packed)


def _peer(model: Any) -> Engine:
    recognizer = CtcRecognizer(model, GreedyDecoder(model.vocabulary))

    def transcribe_clips(clip: Clip) -> NDArray[np.int64]:
        best: NDArray[np.int64] = model.emissions(batch_one(clip, UTTERANCE)).log_probs[0].argmax(1)
        return best

    def transcribe_all_clips(clips: Sequence[Clip]) -> None:
        utterances = [replace(UTTERANCE, id=str(index)) for index in range(len(clips))]
        queue = iter(clips)
        for result in transcribe_timed(
            recognizer, utterances, load=lambda _: LoadedAudio(next(queue), 0)
        ):
            assert result.done.error is None

    return Engine(transcribe_clips, transcribe_all_clips)


def export_onnx(folder: Path) -> Path:
    """Export the network to ONNX with dynamic length, once, next to the checkpoint."""
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
    """A network with tensors as input and output: exporters do not support output classes."""

    def __init__(self, model: CtcModel) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(samples).logits
        return logits


def _exportable(folder: Path) -> torch.nn.Module:
    return LogitsOnly(open_ctc_model(str(folder), device=open_cpu(), dtype="fp32")).eval()


def open_onnx(folder: Path, *, int8: bool, threads: int) -> Engine:
    import onnxruntime

    path = export_onnx(folder)
    if int8:
        path = _quantise_onnx(path)

    def open_session(intra: int) -> Transcribe:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra
        # Its threads would otherwise spin while the next system is measured.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        return lambda clip: session.run(None, {"samples": standardize(clip)[None]})[0][0].argmax(1)

    return Engine(open_session(threads), _on_threads(open_session(1), threads))


def _on_threads(transcribe_clips: Transcribe, threads: int) -> TranscribeAll:
    def transcribe_all_clips(clips: Iterable[Clip]) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(transcribe_clips, clips))

    return transcribe_all_clips


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


def open_openvino(folder: Path, *, precision: str, threads: int) -> Engine:
    import openvino

    path = folder / "openvino.xml"
    if not path.exists():
        converted = openvino.convert_model(
            _exportable(folder), example_input=torch.randn(1, 40_000), input=[1, -1]
        )
        openvino.save_model(converted, path, compress_to_fp16=False)
    core = openvino.Core()
    model: Any = core.read_model(path)
    if precision in QUANTISERS:
        model = QUANTISERS[precision](model)
    around = "bf16" if has_native_bf16() else "f32"
    hint = {"fp32": "f32", "bf16": "bf16"}.get(precision, around)
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
    one = core.compile_model(model, "CPU", {**settings, "PERFORMANCE_HINT": "LATENCY"})
    many = core.compile_model(
        model, "CPU", {**settings, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": threads}
    )

    def transcribe_all_clips(clips: Sequence[Clip]) -> None:
        queue = openvino.AsyncInferQueue(many, threads)
        for clip in clips:
            queue.start_async([standardize(clip)[None]])
        queue.wait_all()

    return Engine(lambda clip: one([standardize(clip)[None]])[0][0].argmax(1), transcribe_all_clips)


def _quantise_all(model: Any) -> Any:
    """Quantise to static int8 with NNCF's settings for transformers; the rest is bf16 or fp32."""
    return _calibrate(model)


def _quantise_linears(model: Any) -> Any:
    """Quantise all but convolutions to static int8, without SmoothQuant.

    That agrees with fp32 on more frames here than with it, and is as fast.
    """
    import nncf

    smooth = nncf.AdvancedSmoothQuantParameters(matmul=-1)
    return _calibrate(
        model,
        ignored_scope=nncf.IgnoredScope(types=list(CONVOLUTIONS)),
        advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=smooth),
    )


def _calibrate(model: Any, **settings: Any) -> Any:
    import nncf

    clips = [standardize(clip)[None] for clip in draw_clips(6, seed=1)]
    return nncf.quantize(
        model,
        nncf.Dataset(clips),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(clips),
        **settings,
    )


def _quantise_weights(model: Any) -> Any:
    """Store the weights of linears in int8: no calibration; activations stay as they are."""
    import nncf

    return nncf.compress_weights(
        model,
        mode=nncf.CompressWeightsMode.INT8_ASYM,
        ignored_scope=nncf.IgnoredScope(types=list(CONVOLUTIONS), validate=False),
    )


CONVOLUTIONS = ("Convolution", "GroupConvolution")
QUANTISERS: Mapping[str, Callable[[Any], Any]] = {
    "int8": _quantise_all,
    "int8 linears": _quantise_linears,
    "int8 weights": _quantise_weights,
}
"""What NNCF quantises for OpenVINO; ONNX Runtime's int8 is the linears, ours too with VNNI, around
16-bit integers: see `precision.open_precision`."""


def open_ctranslate2(folder: Path, *, int8: bool, threads: int) -> Engine:
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    target = folder / "ctranslate2"
    if not target.exists():
        # The next run would mistake a partial folder for a model.
        partial_folder = folder / "ctranslate2.part"
        TransformersConverter(str(folder)).convert(str(partial_folder), force=True)
        partial_folder.rename(target)
    kind = "int8_float32" if int8 else "float32"

    def open_model(inter: int, intra: int) -> Transcribe:
        model = ctranslate2.models.Wav2Vec2(
            str(target), compute_type=kind, inter_threads=inter, intra_threads=intra
        )
        assert model.compute_type == kind, f"it computes in {model.compute_type}"

        def transcribe_clips(clip: Clip) -> NDArray[np.int64]:
            samples = ctranslate2.StorageView.from_array(standardize(clip)[None, None])
            best: NDArray[np.int64] = np.array(model.encode(samples, to_cpu=True))[0].argmax(-1)
            return best

        return transcribe_clips

    # Many clips in parallel on one thread each, as the other engines transcribe them.
    return Engine(open_model(1, threads), _on_threads(open_model(threads, 1), threads))


def list_openers(shape: str, threads: int) -> dict[tuple[str, str], Callable[[Path], Engine]]:
    """Return the openers of all systems by name and precision.

    bf16 is left out on a processor without native bf16.
    """
    native = has_native_bf16()
    openers: dict[tuple[str, str], Callable[[Path], Engine]] = {
        (BASELINE, "fp32"): open_pipeline,
        (REFERENCE, "fp32"): partial(open_eager, dtype="fp32"),
        ("ours fp32", "fp32"): partial(open_ours, precision="fp32"),
        ("ONNX Runtime fp32", "fp32"): partial(open_onnx, int8=False, threads=threads),
        ("ONNX Runtime int8", "int8"): partial(open_onnx, int8=True, threads=threads),
    }
    if native:
        openers["transformers eager bf16", "bf16"] = partial(open_eager, dtype="bf16")
        openers["ours bf16", "bf16"] = partial(open_ours, precision="bf16")
    if can_multiply_int16():
        for precision in ("int16", "int8"):
            openers[f"ours {precision}", precision] = partial(open_ours, precision=precision)
    for precision in ("fp32", "bf16", *QUANTISERS) if native else ("fp32", *QUANTISERS):
        openers[f"OpenVINO {precision}", precision.partition(" ")[0]] = partial(
            open_openvino, precision=precision, threads=threads
        )
    if shape == "large":
        # CTranslate2 only supports the layer-norm layout.
        for precision in ("fp32", "int8"):
            openers[f"CTranslate2 {precision}", precision] = partial(
                open_ctranslate2, int8=precision == "int8", threads=threads
            )
    return openers
