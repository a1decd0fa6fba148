"""VRAE and VOSP against the plain recurrent network on the piano rolls of seed 003's table 1.

python benchmarks/compare_music.py FOLDER MAT_FOLDER

MAT_FOLDER holds JSB_Chorales.mat, Nottingham.mat and Piano_midi.mat. For each set and model a random search,
equally long for all models, then the best trial is trained on; both go on where they were stopped. The model
is chosen on the validation split and scored on whole test sequences. Denoising, imputation and synthesis
follow on one set. Tables, numbers, pictures: benchmarks/results/music-MACHINE.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare_models import this_machine, vidpred
from record_kernels import RESULTS

MODELS = ("fdrnn", "vosp", "vrae")
MINUTES = {"JSB_Chorales": (1.0, 1.0), "Piano_midi": (1.5, 4.0), "Nottingham": (1.5, 5.0)}
"""Of a trial, and of the training of the best one on top."""
TRIALS = 6
SHARED = """
[model]
dropout = [0.1, 0.2, 0.3]
weight_std_in = [0.1, 0.0316]
spectral_radius = [1.0, 1.1]
incoming = [15, 25, "none"]
{latent}
[optim]
learning_rate = [0.002, 0.001, 0.0005]
momentum = [0.0, 0.9]
"""
LATENT = "latent = [8, 16, 32]\nkl_warmup = [200, 400]\n"
"""Table 2 of seed 003 without what is too slow for minutes: 200 units, step rates from 0.0005 on."""
SHOWN = "Nottingham"


def main(folder: Path, sources: Path) -> None:
    """Searches what is not searched yet, trains on, scores, keeps the results."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = RESULTS / f"music-{this_machine()}"
    kept.mkdir(parents=True, exist_ok=True)
    for name, (of_trial, _) in MINUTES.items():
        data = folder / f"{name}.h5"
        if not data.exists():
            vidpred("gen-data", "piano-roll", str(sources / f"{name}.mat"), "--out", str(data))
        for model in MODELS:
            space = folder / f"{model}.toml"
            space.write_text(SHARED.format(latent="" if model == "fdrnn" else LATENT), "utf-8")
            vidpred(
                "search", model, "--data", str(data), "--space", str(space), "--trials", str(TRIALS),
                "--set", f"train.minutes={of_trial}", "--set", "train.sample_every=1000",
                "--set", f"train.validate_every={10 if name == 'JSB_Chorales' else 2}",
                "--out", str(folder / f"search-{name}-{model}"),
            )  # fmt: skip
            shutil.copy(folder / f"search-{name}-{model}" / "table.md", kept / f"search-{name}-{model}.md")
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        list(cores.map(lambda pair: train_on(folder, *pair), [(n, m) for n in MINUTES for m in MODELS]))
    for name in MINUTES:
        runs = [str(best(folder, name, model)) for model in MODELS]
        use("likelihood", [*runs, "--samples", "5"], folder / f"likelihood-{name}", kept)
    vosp, vrae = (str(best(folder, SHOWN, model)) for model in ("vosp", "vrae"))
    use("denoise", [vosp], folder / f"denoise-{SHOWN}", kept)
    use("impute", [vrae], folder / f"impute-{SHOWN}", kept)
    use("synthesis", [vosp, vrae], folder / f"synthesis-{SHOWN}", kept)


def best(folder: Path, name: str, model: str) -> Path:
    """The trained-on best trial, in a folder named after the model, as tables will call it."""
    return folder / name / model


def train_on(folder: Path, name: str, model: str) -> None:
    """Copies the best trial and trains it for some minutes more."""
    search, run = folder / f"search-{name}-{model}", best(folder, name, model)
    if not run.exists():
        number = json.loads((search / "results.json").read_text("utf-8"))["trials"][0]["number"]
        shutil.copytree(search / f"trial-{number:03d}", run)
    minutes = sum(MINUTES[name])
    limits = ["--set", f"train.minutes={minutes}", "--set", "train.steps=100000"]
    vidpred("train", "--resume", str(run), *limits, env=os.environ | {"OMP_NUM_THREADS": "1"})


def use(experiment: str, arguments: list[str], folder: Path, kept: Path) -> None:
    """Makes an experiment and keeps its tables, numbers and smaller pictures."""
    vidpred("experiment", experiment, *arguments, "--out", str(folder))
    for file in folder.iterdir():
        if file.suffix in (".md", ".png", ".mid") and file.stat().st_size < 300_000:
            shutil.copy(file, kept / f"{folder.name}-{file.name}")
        if file.suffix == ".json":
            text = file.read_text("utf-8").replace(f"{folder.parent}/", "FOLDER/")
            (kept / f"{folder.name}-{file.name}").write_text(text, "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
