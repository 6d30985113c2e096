"""Live transcription of a recording that is sent at real time: word error rate and latency.

    python benchmarks/live_latency.py MODEL DATA [SPLIT] [--seconds 300] [--streams 1]
    python benchmarks/live_latency.py demo demo test --normalizer basic

The utterances of DATA (any layout, with text) are joined in random order, with pauses of 0.8 to 2 s
of quiet noise between them, until the recording is `--seconds` long. `infer --vad on` transcribes
it as a file; then a server of its own gets it over `--streams` WebSockets at once, in messages of
100 ms, each when its audio would have been recorded. Printed: the word error rate of both against
the references, and the percentiles of the time from the arrival of the end of
speech to the final transcript, as the server reports it and as this client measures it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from machine import describe_machine
from websockets.asyncio.client import connect

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.sources import read_utterances
from gaudi_asr_cli.core.evaluation.score import score
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

MESSAGE_SAMPLES = SAMPLE_RATE_HZ // 10
PAUSES_S = (0.8, 2.0)
NOISE = 1e-3
COMMAND = [sys.executable, "-m", "gaudi_asr_cli"]


@dataclass
class Streamed:
    """The final transcripts of a stream, and the latencies of its partial and final ones."""

    texts: list[str] = field(default_factory=list)
    reported_s: list[float] = field(default_factory=list)
    measured_s: list[float] = field(default_factory=list)
    partial: int = 0


def join_utterances(
    data: str, split: str | None, seconds: float, skip: str | None = None
) -> tuple[np.ndarray, str]:
    """Return a recording (T,) of at least `seconds`, and its text."""
    shuffle, noise = random.Random(1), np.random.default_rng(1)
    read = read_utterances(data, ReadOptions(split=split))
    utterances = [one for one in read if one.text and not (skip and skip in str(one.audio.path))]
    parts: list[np.ndarray] = []
    texts: list[str] = []
    while sum(map(len, parts)) < seconds * SAMPLE_RATE_HZ:
        if not len(texts) % len(utterances):
            shuffle.shuffle(utterances)
        utterance = utterances[len(texts) % len(utterances)]
        pause = noise.normal(0, NOISE, int(shuffle.uniform(*PAUSES_S) * SAMPLE_RATE_HZ))
        parts += [pause.astype(np.float32), load_audio(utterance.audio).samples]
        texts.append(utterance.text or "")
    return np.concatenate(parts), " ".join(texts)


@contextmanager
def served(model: str) -> Iterator[str]:
    """Start a server, and yield the address of its WebSocket."""
    command = [*COMMAND, "serve", "--model", f"live={model}", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            yield ready["url"].replace("http", "ws", 1) + "/v1/audio/stream"
        finally:
            process.terminate()


async def send_live(url: str, audio: np.ndarray, speed: float) -> Streamed:
    """Send a recording as it would be recorded, and return its transcripts."""
    pcm = (np.clip(audio, -1, 1) * 32767).astype("<i2")
    streamed = Streamed()
    async with connect(url, max_size=None, proxy=None) as socket:
        started_s = time.perf_counter()
        receiving = asyncio.ensure_future(_receive(socket, streamed, started_s, speed))
        await socket.send(json.dumps({"type": "start", "model": "live"}))
        for first in range(0, len(pcm), MESSAGE_SAMPLES):
            message = pcm[first : first + MESSAGE_SAMPLES]
            due_s = started_s + (first + len(message)) / SAMPLE_RATE_HZ / speed
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            await socket.send(message.tobytes())
        await socket.send(json.dumps({"type": "end"}))
        await receiving
    return streamed


async def _receive(socket: Any, streamed: Streamed, started_s: float, speed: float) -> None:
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "partial":
            streamed.partial += 1
        elif message["type"] == "final":
            streamed.texts.append(message["text"])
            streamed.reported_s.append(message["latency_s"])
            ended_s = started_s + message["end"] / speed
            streamed.measured_s.append(time.perf_counter() - ended_s)
        elif message["type"] == "error":
            sys.exit(f"The stream failed: {message}")


def infer_file(model: str, audio: np.ndarray) -> str:
    """Return the text of a recording by `infer --vad on`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "joined.wav"
        soundfile.write(file, audio, SAMPLE_RATE_HZ)
        command = [*COMMAND, "infer", str(file), "--model", model, "--vad", "on", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def describe_rate(reference: str, hypothesis: str, normalizer: str) -> str:
    result = score([reference], [hypothesis], normalizer=normalizer)
    return f"{result.wer:.2%} ({result.words.errors} errors of {result.words.reference_length})"


def describe_times(seconds: list[float]) -> str:
    low, middle, high = np.percentile(seconds, [5, 50, 95])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


async def _stream_all(url: str, audio: np.ndarray, arguments: argparse.Namespace) -> list[Streamed]:
    streams = (send_live(url, audio, arguments.speed) for _ in range(arguments.streams))
    return await asyncio.gather(*streams)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("split", nargs="?")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--skip", help="leave out files with this in their path")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--normalizer", default="whisper-english")
    parser.add_argument("--speed", type=float, default=1.0, help="1 is real time")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    audio, reference = join_utterances(
        arguments.data, arguments.split, arguments.seconds, arguments.skip
    )
    whole = infer_file(arguments.model, audio)
    with served(arguments.model) as url:
        streams = asyncio.run(_stream_all(url, audio, arguments))
    print(describe_machine())
    print(
        f"{arguments.model}: {len(audio) / SAMPLE_RATE_HZ:.0f} s of audio, {arguments.streams} "
        f"stream(s) at {arguments.speed:g} x real time, {len(streams[0].texts)} final and "
        f"{streams[0].partial} partial transcripts in the first\n"
    )
    print("| | infer --vad on | live |\n|---|---|---|")
    live = " ".join(streams[0].texts)
    rates = (describe_rate(reference, text, arguments.normalizer) for text in (whole, live))
    print(f"| WER, {arguments.normalizer} | {' | '.join(rates)} |")
    reported = [one for stream in streams for one in stream.reported_s]
    measured = [one for stream in streams for one in stream.measured_s]
    print(f"| s after the end of speech, as reported | | {describe_times(reported)} |")
    print(f"| s after the end of speech, at the client | | {describe_times(measured)} |")


if __name__ == "__main__":
    main()
