"""Conv-TT-LSTM against the ConvLSTM of twelve layers, trained for equally long, as table 2 of seed 002.

python benchmarks/compare_convttlstm.py FOLDER LPIPS [options of `vidpred train`]

Trains both at preset small, a core each; runs that are in FOLDER already are continued. LPIPS is the file
with the weights that `vidpred evaluate --lpips` takes. Predicts 10 and 30 frames from 10; the table, the
numbers and a picture go to benchmarks/results/convttlstm-MACHINE.
"""

from __future__ import annotations

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from compare_models import draw, this_machine, train, vidpred
from record_kernels import RESULTS

MODELS = ("convlstm12", "convttlstm")
HORIZONS = (10, 30)
COUNT = "500"
SEQUENCES = f"--train 1000 --val 0 --test {COUNT} --frames 40 --size 32 --digit-size 16".split()
"""As preset small has them, long enough for both horizons; the mean frame is that of the training split."""
PAPER = {
    "convlstm12": {10: (18.17, 0.882, 67.13), 30: (33.08, 0.806, 140.1)},
    "convttlstm": {10: (12.96, 0.915, 40.54), 30: (25.81, 0.840, 90.38)},
}
"""Table 2: MSE x 10^-3, SSIM and LPIPS x 10^-3 on moving MNIST of 64x64 pixels."""
METRICS = ("convtt.mse", "convtt.ssim", "convtt.lpips")


def main(folder: Path, lpips: str, options: list[str]) -> None:
    """Trains what is not trained yet, evaluates, keeps the results."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(MODELS)) as cores:
        list(cores.map(lambda model: train(folder / model, model, options), MODELS))
    kept = RESULTS / f"convttlstm-{this_machine()}"
    kept.mkdir(parents=True, exist_ok=True)
    runs = [str(folder / model) for model in MODELS]
    sequences = folder / "sequences.h5"
    if not sequences.exists():
        vidpred("gen-data", "mmnist", *SEQUENCES, "--out", str(sequences))
    for horizon in HORIZONS:
        scored = [
            "--data", str(sequences), "--horizon", str(horizon), "--conventions", "convtt", "--lpips", lpips,
        ]  # fmt: skip
        vidpred("evaluate", *runs, "--count", COUNT, *scored, "--json", str(folder / f"{horizon}.json"))
    texts = {horizon: (folder / f"{horizon}.json").read_text("utf-8") for horizon in HORIZONS}
    results = {horizon: json.loads(text.replace(f"{folder}/", "FOLDER/")) for horizon, text in texts.items()}
    for horizon, result in results.items():
        (kept / f"{horizon}-frames.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    (kept / "table.md").write_text(table(results), "utf-8")
    for model in MODELS:
        shutil.copy(folder / model / "metrics.jsonl", kept / f"metrics-{model}.jsonl")
    draw([folder / model for model in MODELS], kept / "first-frames.png")


def table(results: dict[int, dict[str, Any]]) -> str:
    """Markdown: of each run and baseline the paper's metrics at every horizon, beside the paper's own."""
    scores = {
        horizon: {row["name"]: [row["metrics"][name]["mean"] for name in METRICS] for row in result["rows"]}
        for horizon, result in results.items()
    }
    heads = [f"10 -> {horizon}: {name}" for horizon in HORIZONS for name in ("MSE", "SSIM", "LPIPS")]
    lines = [
        "| | " + " | ".join([*heads, *(f"paper {head}" for head in heads)]) + " |",
        "|---|" + "---:|" * (2 * len(heads)),
    ]
    for name in scores[HORIZONS[0]]:
        ours = [cell for horizon in HORIZONS for cell in shown(*in_paper_s_units(*scores[horizon][name]))]
        theirs = [cell for horizon in HORIZONS for cell in shown(*PAPER.get(name, {}).get(horizon, ()))]
        lines.append(f"| {name} | " + " | ".join([*ours, *(theirs or [""] * len(heads))]) + " |")
    return "\n".join(lines) + "\n"


def in_paper_s_units(mse: float, ssim: float, lpips: float) -> tuple[float, float, float]:
    """MSE and LPIPS in thousandths."""
    return 1e3 * mse, ssim, 1e3 * lpips


def shown(*values: float) -> list[str]:
    """With the paper's decimals."""
    return [f"{value:.{decimals}f}" for value, decimals in zip(values, (2, 3, 1), strict=False)]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
