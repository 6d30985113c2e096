"""Every recipe of a published command or result plans training on data like its own."""

import re

import pytest
from helpers import standins
from helpers.slow import slow_after_first
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper
from helpers.tiny_text_models import save_tiny_text_model

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import DataError, RecipeError
from gaudi_asr_cli.core.models.seq2seq.warm_start import WarmStart
from gaudi_asr_cli.core.recipes.catalogue import describe_recipes
from gaudi_asr_cli.core.recipes.loading import check_recipe, load_recipe
from gaudi_asr_cli.core.workflows.create_seq2seq import create_seq2seq
from gaudi_asr_cli.core.workflows.finetune.opening import FinetuneRequest
from gaudi_asr_cli.core.workflows.finetune.run import plan_finetune

TRANSFORMERS = "transformers, examples/pytorch/speech-recognition/README.md"
RECIPES = {recipe.name: recipe for recipe in describe_recipes()}
PUBLISHED = {name: recipe for name, recipe in RECIPES.items() if recipe.published}
CTC = [name for name, recipe in PUBLISHED.items() if recipe.kind == "finetune-ctc"]
SEQ2SEQ = [name for name, recipe in PUBLISHED.items() if recipe.kind == "finetune-seq2seq"]

ROWS = {
    143: 0.21, 144: 0.21, 145: 0.22, 146: 0.30, 147: 0.68,
    170: 0.099, 171: 0.077, 172: 0.099,
    156: 0.049, 157: 0.068, 158: 0.042, 159: 0.042, 160: 0.088, 161: 0.167,
    173: 0.36, 174: 0.31, 175: 0.35, 176: 0.31, 177: 0.21,
    186: 0.13, 187: 0.15,
    370: 0.0728, 371: 0.0486,
}  # fmt: skip
"""Line of transformers' result tables -> word or phoneme error rate."""

FAMILIES = {
    "facebook/wav2vec2-base": "wav2vec2",
    "facebook/wav2vec2-base-960h": "wav2vec2",
    "facebook/wav2vec2-large-lv60": "wav2vec2-layer-norm",
    "facebook/wav2vec2-large-xlsr-53": "wav2vec2-layer-norm",
    "facebook/wav2vec2-xls-r-300m": "wav2vec2-layer-norm",
    "facebook/wav2vec2-xls-r-1b": "wav2vec2-layer-norm",
    "facebook/hubert-large-ll60k": "hubert-layer-norm",
    "microsoft/wavlm-large": "wavlm-layer-norm",
    "microsoft/wavlm-base-plus": "wavlm",
    "microsoft/unispeech-large-1500h-cv": "unispeech-layer-norm",
    "asapp/sew-mid-100k": "sew",
    "ntu-spml/distilhubert": "hubert",
}
"""Model on the hub -> family of the tiny models."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return settings with a dataset of the same columns and splits as a recipe's."""
    root = tmp_path_factory.mktemp("standins")
    librispeech = standins.write_librispeech(root / "librispeech")
    mls = standins.write_multilingual_librispeech(root / "mls")
    timit = standins.write_timit(root / "timit")

    def settings(name):
        if "timit" in name:
            return [f"train.data={timit}/TRAIN.jsonl", f"eval.data={timit}/TEST.jsonl"]
        if "librispeech" in name:
            return [f"train.data=parquet:{librispeech}"]
        if "mls" in name:
            return [f"train.data=parquet:{mls}"]
        code = re.search(r"-cv-(\w+)", name)[1]
        language = {"tr": "turkish", "it": "italian", "sv": "swedish"}[code]
        release = root / code
        if not release.exists():
            standins.write_common_voice(release, language)
        return [f"train.data=commonvoice:{release}"]

    return settings


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a tiny model of the same family as one of the hub; only base-960h has a head."""
    root = tmp_path_factory.mktemp("models")

    def folder(model):
        name = model.replace("/", "--")
        if not (root / name).exists():
            trained = model.endswith("960h")
            letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ',"
            save_tiny_model(root / name, FAMILIES[model], letters=letters, head=trained)
        return root / name

    return folder


def test_every_row_of_the_tables_is_a_recipe_with_the_published_result():
    rates = {
        line: published.wer if published.per is None else published.per
        for published in (recipe.published for recipe in RECIPES.values())
        if published and published.document == TRANSFORMERS and (published.wer or published.per)
        for line in published.lines
        if line in ROWS
    }

    assert rates == ROWS


@pytest.mark.parametrize("name", slow_after_first(CTC))
def test_a_published_recipe_plans_on_data_with_the_columns_and_splits_of_its_own(
    name, data, models
):
    settings = [*data(name), f"model={models(RECIPES[name].model)}"]
    if not name.endswith("hpu") and "auto" not in name:
        settings.append("dtype=fp32")

    plan = plan_finetune(FinetuneRequest(name, tuple(settings)), open_device("cpu"))

    assert plan.utterances >= 3
    assert plan.steps > 0
    assert not plan.refused


@pytest.mark.parametrize("name", SEQ2SEQ)
def test_a_published_seq2seq_recipe_plans_on_data_like_its_own(name, tmp_path):
    if "whisper" in name:
        model = save_tiny_whisper(tmp_path / "whisper")
        data = standins.write_hub_common_voice(tmp_path / "hindi")
    else:
        model, data = (
            tmp_path / "warm-started",
            standins.write_librispeech(tmp_path / "librispeech"),
        )
        encoder = save_tiny_model(tmp_path / "encoder", "wav2vec2-adapter", head=False)
        words = ("one", ",", "two", "three", "don", "'", "t", "go", "four", "see", "off")
        decoder = save_tiny_text_model(tmp_path / "decoder", words=words)
        create_seq2seq(WarmStart(str(encoder), str(decoder)), model)
    # The tiny models have a short maximum length.
    settings = (f"train.data=parquet:{data}", f"model={model}", "dtype=fp32", "generation={}")

    plan = plan_finetune(
        FinetuneRequest(name, settings, kind="finetune-seq2seq"), open_device("cpu")
    )

    assert plan.utterances >= 3
    assert plan.steps > 0


def test_for_a_model_that_must_be_created_first_the_command_is_named(tmp_path):
    data = standins.write_librispeech(tmp_path / "librispeech")
    name = "seq2seq-wav2vec2-bart-librispeech100"
    request = FinetuneRequest(name, (f"train.data=parquet:{data}",), kind="finetune-seq2seq")

    with pytest.raises(DataError) as caught:
        plan_finetune(request, open_device("cpu"))

    assert "create-seq2seq --recipe create-wav2vec2-bart-base" in caught.value.remedy


@pytest.mark.parametrize("name", [name for name in CTC if RECIPES[name].requires])
def test_a_recipe_without_data_names_its_source(name):
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)

    assert "https://" in caught.value.remedy
    assert "--train" in caught.value.remedy


def test_a_published_result_is_not_inherited(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: ctc-wav2vec2-large-librispeech100\nepochs: 1\n", encoding="utf-8")

    recipe = load_recipe(str(path))

    assert (recipe.name, recipe.published, recipe.epochs) == ("mine", None, 1)


def test_published_unknown_must_list_recipe_keys():
    published = {"document": "x", "data": "y", "unknown": ["optimiser"]}

    with pytest.raises(RecipeError, match="'optimiser'") as caught:
        check_recipe({"train": "x", "published": published}, origin="mine")

    assert "'optimizer'" in caught.value.remedy
