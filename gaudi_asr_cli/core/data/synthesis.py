"""The demo dataset: connected digits, synthesised by espeak-ng.

`python -m gaudi_asr_cli.core.data.synthesis DIR train=2400 dev=100 test=200` writes a set into DIR
and prints the number of finished utterances. It runs in a process of its own because espeak-ng is
reproducible only from the start of a process: same set, same order, same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import wave
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from gaudi_asr_cli.core.data.espeak import (
    ESPEAK_RATE_HZ,
    Espeak,
    open_espeak,
    read_espeak_version,
)
from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MAX_DIGITS = 7
ACCENTS = ("en", "en-us")
SYNTHESIS_SEED = 0
CONTENTS_NAME = "contents.json"
PROGRESS_EVERY = 50

# Increased when the same specification gives other samples.
_RECIPE_VERSION = 1
_NOISE_FLOOR = 10 ** (-60 / 20)
_GAIN_DB = (-9.0, -1.0)
_SILENCE_S = (0.05, 0.25)


@dataclass(frozen=True, slots=True)
class Speakers:
    """The voices of a split: each utterance draws one variant, one pitch and one rate.

    `variants` are espeak-ng's voices (used in every accent of `ACCENTS`), `pitches` its 0 to 99,
    `rates_wpm` words per minute.
    """

    variants: tuple[str, ...]
    pitches: tuple[int, ...]
    rates_wpm: tuple[int, ...]


# Unusual voices are for training, and enough high ones: a model does not generalise to formants
# outside the range of its training data.
TRAINING_SPEAKERS = Speakers(
    variants=(
        *("m1", "m2", "m5", "m6", "m8", "f2", "f5"),
        *("Alicia", "Annie", "aunty", "belinda", "grandma", "shelby", "steph", "steph2"),
        *("Andy", "Denis", "Gene", "Lee", "Mario", "Mike", "Reed"),
        *("adam", "benjamin", "boris", "grandpa", "gustave", "john", "max", "michel", "miguel"),
        *("pablo", "rob", "travis", "victor"),
    ),
    pitches=(30, 36, 42, 48, 54, 60, 66),
    rates_wpm=(125, 135, 145, 155, 165, 175, 185),
)
DEVELOPMENT_SPEAKERS = Speakers(
    variants=("m4", "f1", "quincy", "linda"),
    pitches=(33, 45, 57),
    rates_wpm=(130, 150, 170),
)
EVALUATION_SPEAKERS = Speakers(
    variants=("m3", "m7", "f3", "f4", "Andrea", "Michael"),
    pitches=(39, 51, 63),
    rates_wpm=(140, 160, 180),
)


@dataclass(frozen=True, slots=True)
class DemoSplit:
    name: str
    speakers: Speakers
    utterances: int


DEMO_SPLITS = (
    DemoSplit("train", TRAINING_SPEAKERS, 2400),
    DemoSplit("dev", DEVELOPMENT_SPEAKERS, 100),
    DemoSplit("test", EVALUATION_SPEAKERS, 200),
)


@dataclass(frozen=True, slots=True)
class SpokenNumber:
    """A planned utterance; `gain_db` and the silences make recordings differ."""

    text: str
    voice: str
    pitch: int
    rate_wpm: int
    gain_db: float
    lead_s: float
    tail_s: float


@dataclass(frozen=True, slots=True)
class Contents:
    """Contents of a set on disk: size of each file in bytes, and a hash over all in order."""

    sizes: dict[str, int]
    sha256: str


def hash_specification(splits: Sequence[DemoSplit] = DEMO_SPLITS) -> str:
    """Return a short hash of everything that determines the samples, espeak-ng's version included.

    Raises:
        MachineError: The `demo` extra is not installed.
    """
    specification = {
        "splits": [asdict(split) for split in splits],
        "accents": ACCENTS,
        "seed": SYNTHESIS_SEED,
        "recipe": _RECIPE_VERSION,
        "espeak": read_espeak_version(),
    }
    return hashlib.sha256(json.dumps(specification, sort_keys=True).encode()).hexdigest()[:12]


def plan_split(split: DemoSplit, number: int) -> Iterator[SpokenNumber]:
    """Plan the utterances of split `number`; utterance i is drawn from (SEED, number, i) alone."""
    speakers = split.speakers
    for index in range(split.utterances):
        random = np.random.default_rng([SYNTHESIS_SEED, number, index])
        words = random.choice(DIGITS, size=random.integers(1, MAX_DIGITS, endpoint=True))
        yield SpokenNumber(
            text=" ".join(words),
            voice=f"{random.choice(ACCENTS)}+{random.choice(speakers.variants)}",
            pitch=int(random.choice(speakers.pitches)),
            rate_wpm=int(random.choice(speakers.rates_wpm)),
            gain_db=float(random.uniform(*_GAIN_DB)),
            lead_s=float(random.uniform(*_SILENCE_S)),
            tail_s=float(random.uniform(*_SILENCE_S)),
        )


def write_demo_set(
    directory: Path,
    report: Callable[[int], None],
    splits: Sequence[DemoSplit] = DEMO_SPLITS,
) -> Contents:
    """Write every split as wav files and one `SPLIT.jsonl` manifest each.

    Args:
        directory: An empty folder.
        report: Called with the number of finished utterances, every `PROGRESS_EVERY` of them.
        splits: In this order: the samples of one depend on those before it.

    Returns:
        The set's contents, which are also written, last, as `CONTENTS_NAME`.

    Raises:
        MachineError: espeak-ng is not installed.
        OSError: The disk is full, or DIR cannot be written.
    """
    done = 0
    sizes: dict[str, int] = {}
    digest = hashlib.sha256()

    def write(name: str, data: bytes) -> None:
        (directory / name).write_bytes(data)
        sizes[name] = len(data)
        digest.update(data)

    with open_espeak() as espeak:
        for number, split in enumerate(splits):
            (directory / split.name).mkdir()
            lines = []
            for index, planned in enumerate(plan_split(split, number)):
                name = f"{split.name}/{split.name}-{index:04}.wav"
                samples = _synthesise(
                    espeak, planned, np.random.default_rng([SYNTHESIS_SEED, number, index, 1])
                )
                write(name, _encode_wav(samples))
                lines.append(_manifest_line(name, planned, len(samples)))
                done += 1
                if done % PROGRESS_EVERY == 0:
                    report(done)
            write(f"{split.name}.jsonl", "".join(lines).encode())
    contents = Contents(sizes, digest.hexdigest())
    (directory / CONTENTS_NAME).write_text(json.dumps(asdict(contents)))
    return contents


def _synthesise(
    espeak: Espeak, planned: SpokenNumber, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return samples (T,) at 16 kHz: the words, silence around them, and a noise floor."""
    speech = espeak.synthesise(
        planned.text, voice=planned.voice, rate_wpm=planned.rate_wpm, pitch=planned.pitch
    )
    resampled = soxr.resample(speech, ESPEAK_RATE_HZ, SAMPLE_RATE_HZ, quality="HQ")
    silences = (round(planned.lead_s * SAMPLE_RATE_HZ), round(planned.tail_s * SAMPLE_RATE_HZ))
    padded = np.pad(resampled * 10 ** (planned.gain_db / 20), silences)
    noise = random.standard_normal(len(padded), dtype=np.float32) * _NOISE_FLOOR
    # Resampling may overshoot where espeak-ng's output is at full scale already.
    noisy: NDArray[np.float32] = np.clip(padded + noise, -0.999, 0.999).astype(np.float32)
    return noisy


def _encode_wav(samples: NDArray[np.float32]) -> bytes:
    # In memory first: write_bytes reports a full disk, libsndfile does not.
    encoded = io.BytesIO()
    with wave.open(encoded, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return encoded.getvalue()


def _manifest_line(name: str, planned: SpokenNumber, samples: int) -> str:
    line = {
        "audio_filepath": name,
        "duration": samples / SAMPLE_RATE_HZ,
        "text": planned.text,
        "speaker": planned.voice,
        "pitch": planned.pitch,
        "rate_wpm": planned.rate_wpm,
    }
    return json.dumps(line) + "\n"


def _size_splits(sizes: Sequence[str]) -> list[DemoSplit]:
    named = dict(size.split("=") for size in sizes)
    return [
        replace(split, utterances=int(named[split.name]))
        for split in DEMO_SPLITS
        if split.name in named
    ]


def _report_to_parent(line: object) -> None:
    sys.stdout.write(f"{json.dumps(line)}\n")
    sys.stdout.flush()


def run_child(arguments: Sequence[str]) -> int:
    """Write the set, with progress on standard output, or one object with the error."""
    directory, *sizes = arguments
    try:
        write_demo_set(Path(directory), _report_to_parent, _size_splits(sizes))
    except AsrError as error:
        _report_to_parent({"error": error.message, "remedy": error.remedy})
        return error.exit_code
    except OSError as error:
        _report_to_parent({"error": error.strerror or str(error), "remedy": ""})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run_child(sys.argv[1:]))
