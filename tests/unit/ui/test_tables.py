from dataclasses import replace
from pathlib import Path

from gaudi_asr_cli.core.evaluation.confusions import Confusion
from gaudi_asr_cli.core.records import ErrorCounts, Score, ScoredUtterance
from gaudi_asr_cli.core.workflows.evaluation import EvalReport, NotScored
from gaudi_asr_cli.ui.score import show_confusions, show_evaluation, show_slices

SCORE = Score(
    wer=0.123,
    wer_low=0.1,
    wer_high=0.15,
    cer=0.05,
    words=ErrorCounts(880, 60, 40, 23),
    sentence_error_rate=0.4,
    utterances=200,
    utterances_total=203,
    audio_s=600.0,
    audio_s_total=612.0,
    normalizer="basic/1",
    raw_wer=0.3,
    raw_cer=0.2,
    rtfx=85.2,
    phases_s={"read": 1.2, "compute": 3.4},
    slices={"duration": {"0-2 s": {"utterances": 20, "audio_s": 30.0, "wer": 0.2, "cer": 0.1}}},
)
WORST = ScoredUtterance(
    id="u1",
    path="clips/[bold]1.wav",
    reference="one two " * 20,
    hypothesis="",
    raw_reference="One, two",
    raw_hypothesis="",
    words=ErrorCounts(0, 0, 40, 0),
    characters=ErrorCounts(),
    raw_words=ErrorCounts(),
    raw_characters=ErrorCounts(),
    duration_s=2.0,
)
REPORT = EvalReport(
    score=SCORE,
    worst=(WORST,),
    confusions=(Confusion("insertion", None, "uh", 3),),
    broken=(NotScored("u2", "clips/2.wav", "cut short"),),
    without_text=(),
    model="demo",
    device="cpu",
    dtype="fp32",
    run=Path("runs/eval-ctc-1"),
)


def test_an_evaluation_shows_score_counts_coverage_and_errors(capsys):
    show_evaluation(REPORT)

    shown = capsys.readouterr()
    assert shown.out == ""
    for part in (
        "12.3 %", "10.0 % to 15.0 %", "30.0 %", "200 of 203 utterances",
        "980 reference words: ", " correct,", "23 insertions", "clips/[bold]1.wav",
        "(empty)", "uh", "0-2 s", "clips/2.wav: cut short",
        "runs/eval-ctc-1",
    ):  # fmt: skip
        assert part in shown.err


def test_tables_fit_80_columns(capsys):
    show_evaluation(REPORT)

    assert max(map(len, capsys.readouterr().err.splitlines())) <= 80


def test_only_the_worst_of_many_slices_are_shown(capsys):
    parts = {
        f"speaker-{n}": {"utterances": 1, "audio_s": 1.0, "wer": n / 100, "cer": 0.0}
        for n in range(40)
    }

    show_slices({"speaker": parts})

    err = capsys.readouterr().err
    assert "the worst 12 of 40" in err
    assert "speaker-39" in err
    assert "speaker-1 " not in err


def test_without_errors_there_is_no_table_of_errors(capsys):
    show_confusions(())

    assert capsys.readouterr().err == ""


def test_a_score_without_speed_leaves_it_out(capsys):
    show_evaluation(replace(REPORT, score=replace(SCORE, rtfx=None, phases_s={}), worst=()))

    err = capsys.readouterr().err
    assert "RTFx" not in err
    assert "worst utterances" not in err


def test_for_scripts_without_spaces_the_character_error_rate_comes_first(capsys):
    score = replace(
        SCORE, cer_first=True, notes=("All letters are Thai.",), empty_references=("u7", "u8")
    )

    show_evaluation(replace(REPORT, score=score))

    err = capsys.readouterr().err
    assert err.index("character error rate") < err.index("word error rate")
    assert err.index("CER") < err.index("WER")
    assert "note: All letters are Thai." in err
    assert "2 references, only insertions count: u7, u8" in err
