"""A plugin of each kind, as a newcomer would write it: one file, and a line in its registry.

`python -m helpers.fake_plugins WORDS...` is `gaudi-asr WORDS...` with all of them registered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gaudi_asr_cli.core.data.layouts import LAYOUTS
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.decoding import DECODERS
from gaudi_asr_cli.core.decoding.base import DecoderSpec
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices import DEVICES
from gaudi_asr_cli.core.devices.base import DeviceSpec
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats import FORMATS
from gaudi_asr_cli.core.formats.record import Format
from gaudi_asr_cli.core.records import AudioSpan, Transcript, Utterance, Vocabulary


def write_pairs(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    for done in utterances:
        if done.transcript is not None:
            yield "".join(f"{word.start_s:.2f}={word.word}\n" for word in done.transcript.words)


def read_captions(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    for line in (path / "captions").read_text().splitlines():
        name, _, text = line.partition("=")
        yield Utterance(name, AudioSpan(path / f"{name}.wav"), text=text)


def read_silently(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    return (replace(one, text=None) for one in read_captions(path, options))


@dataclass(frozen=True)
class ShoutDecoder:
    greedy: GreedyDecoder

    @classmethod
    def make(cls, vocabulary: Vocabulary) -> ShoutDecoder:
        return cls(GreedyDecoder(vocabulary))

    def decode(self, output, index: int, utterance: Utterance) -> Transcript:
        return self.assemble([self.condense(output, index)], utterance)

    def condense(self, output, index: int):
        return self.greedy.condense(output, index)

    def assemble(self, parts, utterance: Utterance) -> Transcript:
        transcript = self.greedy.assemble(parts, utterance)
        return replace(transcript, text=transcript.text.upper())


def open_toy() -> CpuDevice:
    return CpuDevice(frozenset(), "a toy processor", name="toy")


PAIRS = Format(write_pairs)
CAPTIONS = Layout(read_captions, lambda path: (path / "captions").is_file())
UNDETECTED = Layout(read_captions)
TEXTLESS = Layout(read_silently)
SHOUT = DecoderSpec(ShoutDecoder.make)
TOY = DeviceSpec(open_toy, lambda: "two gears")

if __name__ == "__main__":
    FORMATS.paths["pairs"] = "helpers.fake_plugins:PAIRS"
    LAYOUTS.paths["captions"] = "helpers.fake_plugins:CAPTIONS"
    DECODERS.paths["shout"] = "helpers.fake_plugins:SHOUT"
    DEVICES.paths["toy"] = "helpers.fake_plugins:TOY"
    from gaudi_asr_cli.cli.app import main

    main()
