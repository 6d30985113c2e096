"""Copy the model of a finished demo run into the package, in bf16: `--model demo`.

gaudi-asr finetune-ctc --run runs/demo && python scripts/bundle_demo.py runs/demo
"""

import json
import sys
from pathlib import Path

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.models.ctc.tuning import save_model

TARGET = Path(__file__).parents[1] / "gaudi_asr_cli" / "models" / "demo"


def bundle(run: Path) -> None:
    """Write the run's model and card to the package's folder."""
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    model = open_ctc_model(str(run), device=open_device("cpu"), dtype="fp32")
    save_model(model, TARGET, dtype="bf16")
    card = (run / "model" / "README.md").read_text(encoding="utf-8")
    (TARGET / "README.md").write_text(card.replace(str(run), "demo"), encoding="utf-8")
    size = sum(file.stat().st_size for file in TARGET.iterdir())
    print(f"{TARGET}: {size / 1e6:.2f} MB, test WER {report['test']['wer']:.2%}")


if __name__ == "__main__":
    bundle(Path(sys.argv[1]))
