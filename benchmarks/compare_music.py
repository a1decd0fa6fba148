"""VRAE and VOSP against recurrent networks without z on the piano rolls of seed 003's table 1.

python benchmarks/compare_music.py FOLDER MAT_FOLDER

MAT_FOLDER holds JSB_Chorales.mat, Nottingham.mat and Piano_midi.mat. For each set and model a random search
of short trainings, then a long one with the settings of the best; numbers of steps are such that all models
take about as long. Whichever of them is best on the validation split is scored on whole test sequences.
Denoising, imputation and synthesis follow on one set. What is in FOLDER already is not done again. Tables,
numbers, pictures: benchmarks/results/music-MACHINE.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from compare_models import this_machine, train, vidpred
from record_kernels import RESULTS

from vidpred.experiments.whole_sequences import per_step

STEPS = {"plain": 3000, "fdrnn": 1200, "vosp": 720, "vrae": 360}
"""Of a trial: about 90 s of a core. ``plain`` is the model fdrnn without dropout."""
TRIALS = 3
LONGER = {"Nottingham": 8, "Piano_midi": 3, "JSB_Chorales": 3}
"""How many times longer than a trial the last training takes."""
SHORTER = {("Nottingham", "plain"): 4}
"""The same of one more training, where the last one never came back to what the trials had reached."""
SHARED: dict[str, list[Any]] = {
    "model.weight_std_in": [0.1, 0.0316],
    "model.spectral_radius": [1.0, 1.1],
    "model.incoming": [15, 25, "none"],
}
"""Table 2 of seed 003 where minutes are enough: 200 units, momentum 0.9, decay 0.9, and large step rates."""
OF_MODEL: dict[str, dict[str, list[Any]]] = {
    "plain": {"optim.learning_rate": [0.001, 0.0005]},
    "fdrnn": {"optim.learning_rate": [0.001, 0.0005]},
    "vosp": {"model.latent": [8, 16]},
    "vrae": {"model.latent": [16, 32], "model.dropout": [0.1, 0.2]},
}
"""Models with z keep to 0.0005: faster, they learn to do without it before they have learnt to use it."""
DROPOUT = {"JSB_Chorales": [0.2, 0.3, 0.4], "Piano_midi": [0.2, 0.3, 0.4], "Nottingham": [0.1, 0.2, 0.3]}
LATENT = ("vosp", "vrae")
SHOWN = "Nottingham"


def main(folder: Path, sources: Path) -> None:
    """Searches, trains and scores what is not yet, keeps the results."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = RESULTS / f"music-{this_machine()}"
    kept.mkdir(parents=True, exist_ok=True)
    for name in LONGER:
        data = folder / f"{name}.h5"
        if not data.exists():
            vidpred("gen-data", "piano-roll", str(sources / f"{name}.mat"), "--out", str(data))
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        pairs = [(name, model) for name in LONGER for model in STEPS]
        list(cores.map(lambda pair: search_and_train(folder, *pair), pairs))
    for name in LONGER:
        runs = [str(best(folder, name, model)) for model in STEPS]
        for model, run in zip(STEPS, runs, strict=True):
            shutil.copy(Path(run) / "metrics.jsonl", kept / f"metrics-{name}-{model}.jsonl")
            shutil.copy(searched(folder, name, model) / "table.md", kept / f"search-{name}-{model}.md")
        use("likelihood", [*runs, "--samples", "5"], folder / f"likelihood-{name}", kept)
    summary = {
        name: {"minutes": minutes(folder, name), "less_than": advantages(folder / f"likelihood-{name}")}
        for name in LONGER
    }
    (kept / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    vosp, vrae = (str(best(folder, SHOWN, model)) for model in LATENT)
    use("denoise", [vosp, vrae], folder / f"denoise-{SHOWN}", kept)
    use("impute", [vrae, vosp], folder / f"impute-{SHOWN}", kept)
    use("synthesis", [vosp, vrae], folder / f"synthesis-{SHOWN}", kept)


def search_and_train(folder: Path, name: str, model: str) -> None:
    """All the training of a model on a set."""
    search(folder, name, model)
    for longer in lengths(name, model):
        train_long(folder, name, model, longer)


def lengths(name: str, model: str) -> list[int]:
    """How many times longer than a trial the long trainings of a model take."""
    shorter = SHORTER.get((name, model))
    return [LONGER[name]] if shorter is None else [LONGER[name], shorter]


def long_run(folder: Path, name: str, model: str, longer: int) -> Path:
    """The folder of a long training."""
    return folder / name / f"{model}-{longer}-times"


def searched(folder: Path, name: str, model: str) -> Path:
    """The folder of a search."""
    return folder / f"search-{name}-{model}"


def search(folder: Path, name: str, model: str) -> None:
    """Short trainings with settings drawn at random."""
    space = SHARED | OF_MODEL[model]
    if model in ("fdrnn", "vosp"):
        space = space | {"model.dropout": DROPOUT[name]}
    file = folder / f"{name}-{model}.toml"
    file.write_text("".join(f"{key} = {json.dumps(values)}\n" for key, values in space.items()), "utf-8")
    settings = [f"train.steps={STEPS[model]}", f"train.validate_every={validate_every(name)}"]
    settings.append("train.sample_every=1000")
    if model in LATENT:
        settings.append(f"model.kl_warmup={STEPS[model]}")
    settings += as_they_are(model)
    vidpred(
        "search", registered(model), "--data", str(folder / f"{name}.h5"), "--space", str(file),
        "--trials", str(TRIALS), "--workers", "1", *as_options(settings),
        "--out", str(searched(folder, name, model)),
    )  # fmt: skip


def registered(model: str) -> str:
    """What vidpred calls a model."""
    return "fdrnn" if model == "plain" else model


def as_they_are(model: str) -> list[str]:
    """Settings that make it this model."""
    return ["model.dropout=0"] if model == "plain" else []


def as_options(settings: Iterable[str]) -> list[str]:
    """Settings as the command line takes them."""
    return [part for setting in settings for part in ("--set", setting)]


def validate_every(name: str) -> int:
    """Epochs, which are short where there is little music."""
    return {"JSB_Chorales": 8, "Piano_midi": 3, "Nottingham": 1}[name]


def train_long(folder: Path, name: str, model: str, longer: int) -> None:
    """The settings of the best trial for longer; the weight of the divergence rises as fast as there."""
    run = long_run(folder, name, model, longer)
    found = best_trial(folder, name, model)["settings"]
    chosen = {key: value for key, value in found.items() if value != "none"}
    chosen["train.steps"] = STEPS[model] * longer
    if model in LATENT:
        chosen["model.kl_warmup"] = STEPS[model]
    chosen["train.validate_every"] = 2 * validate_every(name)
    chosen["train.sample_every"] = 1000
    settings = as_options([*(f"{key}={value}" for key, value in chosen.items()), *as_they_are(model)])
    train(run, registered(model), ["--data", str(folder / f"{name}.h5"), *settings])


def best_trial(folder: Path, name: str, model: str) -> dict[str, Any]:
    """What `vidpred search` says of the best trial."""
    text = (searched(folder, name, model) / "results.json").read_text("utf-8")
    trial: dict[str, Any] = json.loads(text)["trials"][0]
    return trial


def best(folder: Path, name: str, model: str) -> Path:
    """The best of the trials and the long trainings, in a folder that tables call by the model."""
    run, trial = folder / name / model, best_trial(folder, name, model)
    if not run.exists():
        losses = {searched(folder, name, model) / f"trial-{trial['number']:03d}": trial["best"]}
        for longer in lengths(name, model):
            long = long_run(folder, name, model, longer)
            losses[long] = best_loss(long)
        shutil.copytree(min(losses, key=losses.__getitem__), run)
    return run


def best_loss(run: Path) -> float:
    """The least of a run on the validation split."""
    lines = (json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines())
    return min(line["loss"] for line in lines if line["split"] == "val")


def minutes(folder: Path, name: str) -> float:
    """What the clock showed for all trainings on a set together."""
    seconds = 0.0
    for model in STEPS:
        trials = (searched(folder, name, model) / "trials.jsonl").read_text("utf-8").splitlines()
        seconds += sum(json.loads(trial)["seconds"] for trial in trials)
        for longer in lengths(name, model):
            lines = (long_run(folder, name, model, longer) / "metrics.jsonl").read_text("utf-8").splitlines()
            seconds += json.loads(lines[-1])["seconds"]
    return round(seconds / 60, 1)


def advantages(likelihood: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Nats a step by which a bound is below the likelihood of a network without z, and the standard error of
    that over sequences: model with z -> without -> the two numbers.
    """
    found = json.loads((likelihood / "results.json").read_text("utf-8"))["results"]
    steps = np.array(found["steps"])
    nats = {model: np.array(found["sequences"][model]["nats"]) for model in STEPS}
    return {
        model: {other: per_step(nats[other] - nats[model], steps) for other in ("plain", "fdrnn")}
        for model in LATENT
    }


def use(experiment: str, arguments: list[str], folder: Path, kept: Path) -> None:
    """Makes an experiment and keeps its tables, numbers and smaller pictures."""
    vidpred("experiment", experiment, *arguments, "--out", str(folder))
    for file in folder.iterdir():
        copy = kept / f"{folder.name}-{file.name}"
        if file.suffix in (".md", ".json"):
            copy.write_text(file.read_text("utf-8").replace(f"{folder.parent}/", "FOLDER/"), "utf-8")
        elif file.suffix in (".png", ".mid") and file.stat().st_size < 300_000:
            shutil.copy(file, copy)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
