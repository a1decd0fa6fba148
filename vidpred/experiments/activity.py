"""Early activity recognition (seed 002, section 4, tables 1 and 3): the class of a video from its front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vidpred.config import DataConfig
from vidpred.data.hdf5 import open_dataset
from vidpred.errors import ConfigError, DataError
from vidpred.experiments.workspace import Arrays, Workspace
from vidpred.metrics.classification import (
    accuracy,
    class_accuracy,
    confusion_matrix,
    group_accuracy,
    group_confusion,
)
from vidpred.models.activity import Activity
from vidpred.progress import progress_bar
from vidpred.runs import Run
from vidpred.sequences import Sequences, is_clips, open_sequences
from vidpred.viz.confusion import write_confusion
from vidpred.viz.table import Table

PAPER = {
    "3D-CNN": (13.26, 20.72),
    "ConvLSTM": (15.46, 21.97),
    "E3D-LSTM": (14.59, 22.73),
    "Conv-TT-LSTM": (19.53, 30.05),
}
"""Table 3 of the paper: top-1 accuracy in percent, from 25 % and 50 % of the frames."""

PAPER_GROUPS = (
    "Dropping", "Holding", "MovingLR", "MovingRL", "Picking",
    "Poking", "Pouring", "Putting", "Showing", "Tearing",
)  # fmt: skip
PAPER_BY_GROUP = {
    ("3D-CNN", 25): (8.5, 4.7, 25.8, 32.6, 7.5, 2.9, 1.9, 10.3, 14.0, 14.5),
    ("ConvLSTM", 25): (8.5, 7.0, 27.4, 38.8, 16.8, 5.9, 1.9, 12.0, 7.0, 21.2),
    ("Conv-TT-LSTM", 25): (11.5, 4.7, 33.9, 40.8, 16.8, 5.9, 5.7, 13.6, 20.9, 26.0),
    ("3D-CNN", 50): (14.6, 11.6, 45.2, 57.1, 16.8, 8.8, 11.3, 17.4, 16.3, 26.0),
    ("ConvLSTM", 50): (21.5, 7.0, 43.5, 47.0, 15.9, 14.7, 5.7, 20.7, 16.3, 30.8),
    ("Conv-TT-LSTM", 50): (24.6, 11.6, 56.5, 57.1, 27.6, 5.9, 13.2, 25.5, 37.2, 46.2),
}
"""Table 1 of the paper: the same for each group of classes, in percent."""

_PAPERS = "paper's"
_PAPERS_NOTE = (
    "The paper's rows (Su et al. 2020, tables 1 and 3) are of Something-Something V2, 41 classes in 10 "
    "groups, and stand here for orientation: only the same data, classes and preset would compare."
)


def open_videos(trained_on: DataConfig, file: Path | None, split: str) -> tuple[Path, Sequences]:
    """The data file, by default that of the run, and the sequences of a split with their labels.

    Raises:
        ConfigError: neither a file is given nor was the run trained on one.
        DataError: the file or split is missing or damaged, or does not name its classes.
    """
    file = file or (Path(trained_on.file) if trained_on.file else None)
    if file is None:
        raise ConfigError("the run was trained without a data file: say with --data what to try it on")
    if is_clips(file):
        raise DataError(f"{file} has no labels, expected a data file that names its classes")
    with open_dataset(file) as opened:
        if not opened.attributes.get("classes"):
            raise DataError(f"{file} does not name its classes")
        labels = opened[split].labels
        if labels is not None and (labels.ndim != 2 or labels.shape[1] != 1):
            raise DataError(
                f"the sequences of {file} have labels of shape {labels.shape[1:]}, expected one class each"
            )
    return file, open_sequences(trained_on, file, split, length=trained_on.frames, with_labels=True)


def activity(workspace: Workspace, split: str = "test") -> list[Table]:
    """Lets the runs name the classes of the first `workspace.count` sequences of the split.

    Raises:
        ConfigError: a run of another model.
        DataError: the file does not fit a run, or has fewer sequences.
    """
    assert workspace.file is not None
    with open_dataset(workspace.file) as opened:
        names = opened.attributes.get("classes", [])
        groups = opened.attributes.get("groups", [])
    for run in workspace.runs:
        _check(run, names, workspace.file)
    parts = [workspace.part_of(run, partial(_name, workspace, run, split)) for run in workspace.runs]
    confusions = [confusion_matrix(part["truth"], part["named"], len(names)) for part in parts]
    tables = [_overall(workspace, parts, confusions)]
    if groups:
        tables.append(_by_group(workspace, parts, confusions, groups))
    tables.append(_by_class(workspace, confusions, names, groups))
    for number, (run, part, confusion) in enumerate(zip(workspace.runs, parts, confusions, strict=True)):
        title = f"{run.name}, {part['given']} of {part['frames']} frames, top-1 {accuracy(confusion):.1%}"
        write_confusion(workspace.picture(f"confusion-{number}.png"), confusion, names, title, groups)
    workspace.finish(
        tables,
        {
            "split": split,
            "classes": names,
            "groups": groups,
            "runs": {
                run.name: _numbers(part, confusion, groups)
                for run, part, confusion in zip(workspace.runs, parts, confusions, strict=True)
            },
            "paper": {
                "top_1": PAPER,
                "groups": PAPER_GROUPS,
                "by_group": {f"{name}, {front} %": of for (name, front), of in PAPER_BY_GROUP.items()},
            },
        },
    )
    return tables


def _check(run: Run, names: Sequence[str], file: Path) -> None:
    if run.config.name != "activity":
        raise ConfigError(f"{run.path} is a run of the model {run.config.name}, expected activity")
    known = run.config.model.classes  # type: ignore[attr-defined]
    if known != len(names):
        raise DataError(f"{run.path} tells {known} classes apart, but {file} names {len(names)}")
    learnt = run.config.data.file
    if learnt and Path(learnt).is_file():
        with open_dataset(learnt) as opened:
            own = opened.attributes.get("classes", names)
        if own != names:
            raise DataError(f"{run.path} has learnt other classes, those of {learnt}, than {file} names")


def _name(workspace: Workspace, run: Run, split: str) -> Arrays:
    """What one run takes the sequences for."""
    _, sequences = open_videos(run.config.data, workspace.file, split)
    setting, device = workspace.setting, workspace.setting.device
    sequences.check_fits(run.model, run.name)
    sequences.check_numbers(0, workspace.count)
    frames = sequences.frame_shape[0]
    model = run.model.to(device)
    assert isinstance(model, Activity)
    given = model.options.context(frames)
    truth: list[NDArray[np.int64]] = []
    named: list[NDArray[np.int64]] = []
    entropy: list[NDArray[np.float64]] = []
    with progress_bar(quiet=workspace.quiet) as bar:
        task = bar.add_task(run.name, total=workspace.count, note="")
        for batch in sequences.batches(range(workspace.count), setting.batch):
            assert batch.labels is not None
            labels = batch.labels[:, 0]
            logits = model.classify(batch.frames[:, :given].to(device)).cpu().double()
            if int(labels.max()) >= logits.shape[1]:
                raise DataError(f"{sequences.source} has a label {int(labels.max())} without a name")
            truth.append(labels.numpy())
            named.append(logits.argmax(1).numpy())
            entropy.append(F.cross_entropy(logits, labels, reduction="none").numpy())
            bar.advance(task, len(labels))
    model.to(torch.device("cpu"))
    return {
        "truth": np.concatenate(truth),
        "named": np.concatenate(named),
        "cross_entropy": np.concatenate(entropy),
        "given": np.array(given),
        "frames": np.array(frames),
    }


def _overall(workspace: Workspace, parts: Sequence[Arrays], confusions: Sequence[NDArray[np.int64]]) -> Table:
    rows = []
    for run, part, confusion in zip(workspace.runs, parts, confusions, strict=True):
        share = accuracy(confusion)
        error = np.sqrt(share * (1 - share) / workspace.count)
        seen = f"{part['given']} of {part['frames']} frames"
        rows.append(
            [run.name, seen, f"{100 * share:.2f} ± {100 * error:.2f}", f"{part['cross_entropy'].mean():.3f}"]
        )
    totals = confusions[0].sum(axis=1)
    rows.append(["always the most frequent class", "", f"{100 * totals.max() / totals.sum():.2f}", ""])
    rows += [
        [f"{_PAPERS} {name}", f"{front} %", f"{value:.2f}", ""]
        for column, front in enumerate((25, 50))
        for name, value in ((name, of[column]) for name, of in PAPER.items())
    ]
    note = (
        f"Top-1 accuracy in percent ± standard error, and cross-entropy in nats, of {workspace.count} "
        f"sequences of {len(totals)} classes. {_PAPERS_NOTE}"
    )
    header = ["", "seen", "top-1", "cross-entropy"]
    return Table("Top-1 accuracy", header, rows, workspace.note(note))


def _by_group(
    workspace: Workspace,
    parts: Sequence[Arrays],
    confusions: Sequence[NDArray[np.int64]],
    groups: Sequence[str],
) -> Table:
    columns = list(dict.fromkeys(groups))
    totals = group_confusion(confusions[0], groups).sum(axis=1)
    rows = [["sequences", "", *map(str, totals)]]
    for run, part, confusion in zip(workspace.runs, parts, confusions, strict=True):
        seen = f"{part['given']} of {part['frames']} frames"
        rows.append([run.name, seen, *map(_percent, group_accuracy(confusion, groups).values())])
        rows.append(
            [
                f"{run.name}, the group",
                seen,
                *map(_percent, class_accuracy(group_confusion(confusion, groups))),
            ]
        )
    if set(columns) & set(PAPER_GROUPS):
        for (name, front), of in PAPER_BY_GROUP.items():
            known = dict(zip(PAPER_GROUPS, of, strict=True))
            rows.append(
                [f"{_PAPERS} {name}", f"{front} %", *(_percent(known.get(c, np.nan) / 100) for c in columns)]
            )
    note = (
        "Percent of the sequences of a group whose very class was named; 'the group': whose class was named "
        f"or another one of the same group. We read the paper's table 1 as the former. {_PAPERS_NOTE}"
    )
    return Table("Accuracy by group", ["", "seen", *columns], rows, workspace.note(note))


def _by_class(
    workspace: Workspace,
    confusions: Sequence[NDArray[np.int64]],
    names: Sequence[str],
    groups: Sequence[str],
) -> Table:
    totals = confusions[0].sum(axis=1)
    accuracies = [class_accuracy(confusion) for confusion in confusions]
    rows = [
        [
            name,
            *([groups[label]] if groups else []),
            str(totals[label]),
            *(_percent(of[label]) for of in accuracies),
        ]
        for label, name in enumerate(names)
    ]
    header = ["", *(["group"] if groups else []), "sequences", *(run.name for run in workspace.runs)]
    note = "Percent of the sequences of a class that were named rightly."
    return Table("Accuracy by class", header, rows, workspace.note(note))


def _numbers(part: Arrays, confusion: NDArray[np.int64], groups: Sequence[str]) -> Mapping[str, object]:
    found = {
        "given": part["given"],
        "frames": part["frames"],
        "top_1": accuracy(confusion),
        "cross_entropy": part["cross_entropy"].mean(),
        "by_class": class_accuracy(confusion),
        "confusion": confusion,
    }
    if groups:
        found |= {
            "by_group": group_accuracy(confusion, groups),
            "group_confusion": group_confusion(confusion, groups),
        }
    return found


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.1f}"
