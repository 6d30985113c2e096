"""Which precision a recogniser has for the options of a user."""

import platform
import sys

import numpy as np
import pytest
import torch
from helpers.tiny_models import make_batch, save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper

from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.devices.int16 import can_multiply_int16, find_int16_obstacle
from gaudi_asr_cli.core.errors import MachineError, UsageError
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import open_recognizer
from gaudi_asr_cli.core.models.cpu import precision
from gaudi_asr_cli.core.models.cpu.whisper_generation import pack_whisper
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model

PLAIN = CpuDevice(frozenset(), "a processor without bf16")
NATIVE = CpuDevice(frozenset({"avx512_bf16"}), "a processor with bf16")

needs_int16 = pytest.mark.skipif(not can_multiply_int16(), reason="this processor has no AVX2")


@pytest.fixture(scope="module")
def ctc(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("ctc")))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return str(save_tiny_whisper(tmp_path_factory.mktemp("whisper")))


@pytest.mark.parametrize("integers", [True, False])
def test_auto_is_int16_where_the_model_would_be_in_fp32(monkeypatch, integers):
    monkeypatch.setattr(precision, "can_multiply_int16", lambda: integers)

    assert precision.choose_precision("auto", "fp32") == ("int16" if integers else "fp32")
    assert precision.choose_precision("auto", "bf16") == "bf16"
    assert precision.choose_precision("fp32", "fp32") == "fp32"
    assert precision.choose_precision("int16", "fp32") == "int16"


@pytest.fixture
def without_int16(request, monkeypatch):
    """Make products of int16 impossible in a way, and return what is said of it."""
    find_int16_obstacle.cache_clear()
    match request.param:
        case "llvmlite cannot be imported":
            monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
        case "llvmlite is not installed":
            monkeypatch.setattr("gaudi_asr_cli.core.devices.int16.find_spec", lambda _: None)
        case "torch does not use AVX2":
            monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
        case "not x86-64":
            monkeypatch.setattr(platform, "machine", lambda: "riscv64")
        case "no OpenMP":
            monkeypatch.setattr(platform, "system", lambda: "Windows")
    yield request.param
    find_int16_obstacle.cache_clear()


@needs_int16
@pytest.mark.parametrize(
    "without_int16",
    [
        "llvmlite cannot be imported",
        "llvmlite is not installed",
        "torch does not use AVX2",
        "not x86-64",
        "no OpenMP",
    ],
    indirect=True,
)
def test_without_int16_auto_is_fp32_and_int16_an_error_that_says_why(ctc, without_int16):
    assert open_recognizer(ctc, PLAIN, InferenceOptions()).dtype == "fp32"
    with pytest.raises(MachineError, match=without_int16) as caught:
        open_recognizer(ctc, PLAIN, InferenceOptions(dtype="int16"))
    assert "--dtype auto or fp32" in caught.value.remedy


@needs_int16
@pytest.mark.parametrize("name", ["ctc", "whisper"])
@pytest.mark.parametrize(
    ("device", "options", "dtype"),
    [
        (PLAIN, {}, "int16"),
        (PLAIN, {"dtype": "fp32"}, "fp32"),
        (NATIVE, {"dtype": "int16"}, "int16"),
        (PLAIN, {"mode": "transformers"}, "fp32"),
    ],
)
def test_a_recogniser_names_its_precision(request, name, device, options, dtype):
    recognizer = open_recognizer(request.getfixturevalue(name), device, InferenceOptions(**options))

    assert recognizer.dtype == dtype


@needs_int16
@pytest.mark.parametrize("dtype", ["auto", "fp32", "int16"])
def test_int8_is_named_whatever_the_dtype_is(ctc, dtype):
    recognizer = open_recognizer(ctc, PLAIN, InferenceOptions(int8=True, dtype=dtype))

    assert (recognizer.dtype, recognizer.backend) == ("int8", "packed int8")


@pytest.mark.parametrize("options", [{"int8": True}, {"dtype": "int16"}])
def test_a_model_that_has_no_integers_is_an_error_with_a_remedy(tmp_path, options):
    folder = save_tiny_model(tmp_path, "wav2vec2-conformer")

    with pytest.raises(MachineError, match="cannot be computed with integers") as caught:
        open_recognizer(str(folder), PLAIN, InferenceOptions(**options))

    assert "--dtype int16" in caught.value.remedy


def test_a_whisper_whose_settings_are_left_to_transformers_has_no_int16(tmp_path):
    folder = save_tiny_whisper(tmp_path, activation_function="relu")

    with pytest.raises(MachineError, match="cannot be computed with integers"):
        open_recognizer(str(folder), PLAIN, InferenceOptions(dtype="int16"))
    assert open_recognizer(str(folder), PLAIN, InferenceOptions()).dtype == "fp32"


def test_an_unknown_dtype_is_an_error_that_lists_them(ctc):
    with pytest.raises(UsageError, match="no dtype 'int32'") as caught:
        open_recognizer(ctc, PLAIN, InferenceOptions(dtype="int32"))

    assert caught.value.remedy == "Choose one of auto, fp32, bf16, fp16, int16."


@needs_int16
def test_a_whisper_in_int16_encodes_and_aligns_nearly_as_in_fp32(tmp_path):
    fields = {"d_model": 64, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256}
    model = open_seq2seq_model(
        str(save_tiny_whisper(tmp_path, **fields)), device=PLAIN, dtype="fp32"
    )
    exact, integer = pack_whisper(model), pack_whisper(model, "int16")
    inputs = model.frontend.prepare(make_batch((32_000, 9_600, 25_000)))

    pairs = zip(
        exact.encode(inputs["input_features"]),
        integer.encode(inputs["input_features"]),
        strict=True,
    )
    for expected, found in pairs:
        lost = (found.frames - expected.frames).norm() / expected.frames.norm()
        assert 0 < lost < 3e-3
    config = Generation(max_tokens=6, timestamps=True)
    rows = [one.generate_from(inputs, config, (100, 30, 78)).rows for one in (exact, integer)]
    for expected, found in zip(*rows, strict=True):
        assert found.tokens == expected.tokens
        assert found.token_times.starts_s == expected.token_times.starts_s
        assert np.isclose(found.stats.avg_logprob, expected.stats.avg_logprob, atol=1e-2)
