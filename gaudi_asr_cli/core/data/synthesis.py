"""The demo's speech: connected spoken numbers, made on the spot by espeak-ng.

`python -m gaudi_asr_cli.core.data.synthesis DIR train=2400 dev=100 test=200` writes a set into DIR
and prints the number of utterances done as it goes. It is a program of its own because espeak-ng
repeats itself only from the start of a process: same set, same order, same bytes.
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
MOST_DIGITS = 7
ACCENTS = ("en", "en-us")
SYNTHESIS_SEED = 0
CONTENTS_NAME = "contents.json"
PROGRESS_EVERY = 50

# Raised when the same specification starts to mean other samples.
_RECIPE_VERSION = 1
_NOISE_FLOOR = 10 ** (-60 / 20)
_GAIN_DB = (-9.0, -1.0)
_SILENCE_S = (0.05, 0.25)


@dataclass(frozen=True, slots=True)
class Speakers:
    """Who speaks in a split: each utterance draws one of each.

    `variants` are espeak-ng's voices (spoken in every accent of `ACCENTS`), `pitches` its 0 to 99,
    `rates_wpm` words a minute.
    """

    variants: tuple[str, ...]
    pitches: tuple[int, ...]
    rates_wpm: tuple[int, ...]


# Training gets the strange voices, and enough high ones: formants outside its range are not learnt.
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
    """One utterance before it is spoken; `gain_db` and the silences make recordings differ."""

    text: str
    voice: str
    pitch: int
    rate_wpm: int
    gain_db: float
    lead_s: float
    tail_s: float


@dataclass(frozen=True, slots=True)
class Contents:
    """What a set on disk holds: bytes of each file, and a hash over all of them in order."""

    sizes: dict[str, int]
    sha256: str


def hash_specification(splits: Sequence[DemoSplit] = DEMO_SPLITS) -> str:
    """A short name for everything that decides the samples, the synthesiser's version included.

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
    """What split `number` says; utterance i is drawn from (SEED, number, i) and nothing else."""
    speakers = split.speakers
    for index in range(split.utterances):
        random = np.random.default_rng([SYNTHESIS_SEED, number, index])
        words = random.choice(DIGITS, size=random.integers(1, MOST_DIGITS, endpoint=True))
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
    tell: Callable[[int], None],
    splits: Sequence[DemoSplit] = DEMO_SPLITS,
) -> Contents:
    """Write every split as wav files and one `SPLIT.jsonl` manifest each.

    Args:
        directory: An empty folder.
        tell: Called with the number of utterances done, every `PROGRESS_EVERY` of them.
        splits: In this order: the samples of one depend on those before it.

    Returns:
        The set's contents, which are also written, last, as `CONTENTS_NAME`.

    Raises:
        MachineError: There is no synthesiser.
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
                samples = _speak(
                    espeak, planned, np.random.default_rng([SYNTHESIS_SEED, number, index, 1])
                )
                write(name, _encode_wav(samples))
                lines.append(_manifest_line(name, planned, len(samples)))
                done += 1
                if done % PROGRESS_EVERY == 0:
                    tell(done)
            write(f"{split.name}.jsonl", "".join(lines).encode())
    contents = Contents(sizes, digest.hexdigest())
    (directory / CONTENTS_NAME).write_text(json.dumps(asdict(contents)))
    return contents


def _speak(
    espeak: Espeak, planned: SpokenNumber, random: np.random.Generator
) -> NDArray[np.float32]:
    """Samples (T,) at 16 kHz: the words, silence around them, and a noise floor under both."""
    spoken = espeak.say(
        planned.text, voice=planned.voice, rate_wpm=planned.rate_wpm, pitch=planned.pitch
    )
    resampled = soxr.resample(spoken, ESPEAK_RATE_HZ, SAMPLE_RATE_HZ, quality="HQ")
    silences = (round(planned.lead_s * SAMPLE_RATE_HZ), round(planned.tail_s * SAMPLE_RATE_HZ))
    sound = np.pad(resampled * 10 ** (planned.gain_db / 20), silences)
    noise = random.standard_normal(len(sound), dtype=np.float32) * _NOISE_FLOOR
    # Resampling may overshoot a voice that espeak-ng already plays at full scale.
    heard: NDArray[np.float32] = np.clip(sound + noise, -0.999, 0.999).astype(np.float32)
    return heard


def _encode_wav(samples: NDArray[np.float32]) -> bytes:
    # In memory first: libsndfile does not tell a full disk from a written file, write_bytes does.
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


def main(arguments: Sequence[str]) -> int:
    """Write the set; on standard output numbers as it goes, or one object that says what failed."""
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
    sys.exit(main(sys.argv[1:]))
