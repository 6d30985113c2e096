"""A real Whisper with the defaults of each tool: words wrong, and the difference's interval.

    python benchmarks/whisper_defaults.py MODEL MANIFEST [--minutes 10] [--beams 5]

MODEL is a Whisper in transformers' format, MANIFEST a data set of short clips with text. Needs
openai-whisper and faster-whisper, which get the weights of MODEL in float32. Each clip, and one
file joined from them (`whisper_makers.py`), is transcribed with what each tool does if it is told
nothing: ours with fallback and voice activity detection, openai-whisper greedily and faster-whisper
with beam size 5, both with fallback and conditioned on the text before. The words of the joined
file are aligned with all references at once; an error belongs to the clip whose word it hits, an
insertion to that of the next word. Clips are resampled for the interval.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jiwer
import numpy as np
import torch
from machine import describe_machine
from whisper_makers import convert, join_clips

from gaudi_asr_cli import load_model
from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.evaluation.paired import PairedCounts, compare_paired
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ
from gaudi_asr_cli.core.text.normalizers import open_normalizer

Samples = np.ndarray
Transcribe = Callable[[Samples], str]


def open_ours(model: str, dtype: str, beams: int) -> Transcribe:
    """Open our engine with the options of `infer` as text."""
    opened = load_model(
        model, dtype=dtype, temperatures=None, vad="auto", timestamps="none", beams=beams
    )
    return lambda samples: opened.transcribe([samples], rate_hz=SAMPLE_RATE_HZ)[0].text


def open_faster_whisper(folder: str) -> Transcribe:
    """Open faster-whisper with a converted checkpoint."""
    from faster_whisper import WhisperModel

    model = WhisperModel(folder, device="cpu", compute_type="float32")
    return lambda samples: "".join(one.text for one in model.transcribe(samples)[0])


RENAMED = {
    "encoder.layer_norm.": "encoder.ln_post.",
    "decoder.layer_norm.": "decoder.ln.",
    "layers": "blocks",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn": "cross_attn",
    "self_attn": "attn",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "embed_tokens": "token_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "encoder.embed_positions.weight": "encoder.positional_embedding",
}
"""Parts of transformers' names of weights, and what openai-whisper calls them."""


def open_openai_whisper(model: str) -> Transcribe:
    """Open openai-whisper with the weights of a checkpoint of transformers."""
    import whisper
    from transformers import AutoModelForSpeechSeq2Seq

    source = AutoModelForSpeechSeq2Seq.from_pretrained(model, dtype=torch.float32)
    sizes = source.config
    opened = whisper.model.Whisper(
        whisper.model.ModelDimensions(
            n_mels=sizes.num_mel_bins,
            n_audio_ctx=sizes.max_source_positions,
            n_audio_state=sizes.d_model,
            n_audio_head=sizes.encoder_attention_heads,
            n_audio_layer=sizes.encoder_layers,
            n_vocab=sizes.vocab_size,
            n_text_ctx=sizes.max_target_positions,
            n_text_state=sizes.d_model,
            n_text_head=sizes.decoder_attention_heads,
            n_text_layer=sizes.decoder_layers,
        )
    )
    weights = {}
    for name, weight in source.model.state_dict().items():
        renamed = name
        for part, other in RENAMED.items():
            renamed = renamed.replace(part, other)
        weights[renamed] = weight
    missing, unexpected = opened.load_state_dict(weights, strict=False)
    if missing or unexpected:
        raise SystemExit(f"openai-whisper has other weights: {missing} {unexpected}")
    opened.eval()
    return lambda samples: opened.transcribe(samples, fp16=False)["text"]


def count_by_clip(references: list[list[str]], hypothesis: list[str]) -> np.ndarray:
    """Return the errors (N,) of each clip of a joined file."""
    owners = [clip for clip, words in enumerate(references) for _ in words]
    errors = np.zeros(len(references), dtype=np.int64)
    joined = " ".join(word for words in references for word in words)
    for chunk in jiwer.process_words(joined, " ".join(hypothesis)).alignments[0]:
        if chunk.type == "insert":
            at = owners[min(chunk.ref_start_idx, len(owners) - 1)]
            errors[at] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type != "equal":
            np.add.at(errors, owners[chunk.ref_start_idx : chunk.ref_end_idx], 1)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("manifest")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--converted", help="folder that keeps the converted checkpoint")
    parser.add_argument("--dtype", default="auto", help="of ours")
    peers = ["openai-whisper", "faster-whisper"]
    parser.add_argument("--peers", nargs="+", choices=peers, default=peers)
    parser.add_argument("--beams", type=int, default=1, help="of ours")
    arguments = parser.parse_args()
    utterances = [one for one in read_utterances(arguments.manifest) if one.text]
    clips = [load_audio(one.audio).samples for one in utterances]
    texts = [one.text or "" for one in utterances]
    normalize = open_normalizer("whisper-english")
    said = [normalize(text).split() for text in texts]
    files, order = join_clips(clips, texts, arguments.minutes)
    joined_said = [said[texts.index(text)] for text in order]
    folder = convert(arguments.model, arguments.converted or tempfile.mkdtemp())
    openers: dict[str, Callable[[], Transcribe]] = {
        "ours": partial(open_ours, arguments.model, arguments.dtype, arguments.beams),
        "openai-whisper": partial(open_openai_whisper, arguments.model),
        "faster-whisper": partial(open_faster_whisper, folder),
    }
    systems = {name: openers[name]() for name in ["ours", *arguments.peers]}
    found: dict[str, dict[str, np.ndarray]] = {"clips": {}, "file": {}}
    for name, transcribe in systems.items():
        began_s = time.perf_counter()
        heard = [normalize(transcribe(clip)).split() for clip in clips]
        found["clips"][name] = np.array(
            [count_by_clip([one], other)[0] for one, other in zip(said, heard, strict=True)]
        )
        hypothesis = normalize(transcribe(files[0])).split()
        found["file"][name] = count_by_clip(joined_said, hypothesis)
        print(f"{name}: {time.perf_counter() - began_s:.0f} s", flush=True)
    print(f"\n{Path(arguments.model).name}, {describe_machine(threads=torch.get_num_threads())}\n")
    print("| | WER | ours minus it, points | 95 % interval |")
    print("|---|---|---|---|")
    for part, words in (("clips", said), ("file", joined_said)):
        lengths = np.array([len(one) for one in words])
        ours = found[part]["ours"]
        for name, errors in found[part].items():
            groups = np.arange(len(words))
            test = compare_paired(PairedCounts(errors, ours, lengths, groups, "utterances"))
            points = [f"{100 * one:+.2f}" for one in (test.difference, test.low, test.high)]
            columns = ("", "") if name == "ours" else (points[0], " to ".join(points[1:]))
            print(f"| {part}, {name} | {test.rate_a:.2%} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main()
