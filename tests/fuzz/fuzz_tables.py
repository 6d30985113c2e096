"""Mutated tables: CSV and TSV, LJSpeech, Common Voice and its spontaneous speech, MLS."""

from __future__ import annotations

import random
from pathlib import Path

from corpora import put_audio, read_everything
from fuzzing import main, mutate

CSV = (
    "id,path,start,end,text,speaker\n"
    'u1,a.wav,0.01,0.05,"one, ""two""",s1\n'
    'u2,wav/é.wav,0.00,0.02,"two\nlines",s2\n'
    "u3,a.wav,,,three,\n"
)
TSV = 'path\tduration\tsentence\na.wav\t0.1\t"quoted"\nwav\\é.wav\t0.1\t"open\na.wav\t\tthree\n'
PLACES = {
    "t.csv": (CSV, "t.csv"),
    "s.csv": (CSV.replace(",", ";"), "s.csv"),
    "t.tsv": (TSV, "t.tsv"),
    "metadata.csv": ("file_name,text\na.wav,x\nwav/é.wav,y\n", ""),
    "lj/metadata.csv": ('a|One "1"|one\na|two|\n', "lj"),
    "cv/test.tsv": ('client_id\tpath\tsentence\n1\ta.wav\t"Hi\n2\tb\tyes\n', "cv"),
    "ss/ss-corpus-en.tsv": (
        "audio_file\tduration_ms\ttranscription\tsplit\na.wav\t100\tyes\ttrain\na.wav\t\t\ttest\n",
        "ss",
    ),
    "mls/transcripts.txt": ("1_2_3\tone two\n1_2_4\tdrei\n", "mls"),
}
FOLDERS = ("lj/wavs", "cv/clips", "ss/audios", "mls/audio/1/2")


def case(rng: random.Random, folder: Path) -> None:
    """Read one kind of table, mutated."""
    put_audio(folder)
    name = rng.choice(list(PLACES))
    text, place = PLACES[name]
    for audio in FOLDERS:
        if name.startswith(audio.split("/")[0] + "/"):
            (folder / audio).mkdir(parents=True)
            (folder / audio / "a.wav").write_bytes((folder / "a.wav").read_bytes())
    (folder / name).write_bytes(mutate(rng, text))
    source = str(folder / place)
    read_everything(f"{source}#test" if place == "ss" and rng.random() < 0.3 else source)


if __name__ == "__main__":
    main(case)
