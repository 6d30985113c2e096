import pytest

from gaudi_asr_cli.core.legacy.scripts import SCRIPTS
from gaudi_asr_cli.core.recipes.loading import KINDS, list_keys


def test_every_key_of_a_flag_is_a_recipe_key_or_a_field_of_the_trainer():
    known = {name: set(list_keys(KINDS[f"finetune-{name}"])) for name in ("ctc", "seq2seq")}

    for script, keys in known.items():
        for flag in SCRIPTS[script].table.values():
            assert not flag.key or flag.key in keys or flag.key.startswith("trainer."), flag.name


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_has_a_description(script):
    for flag in SCRIPTS[script].table.values():
        assert flag.describe(lambda key: f"--{key}"), flag.name
