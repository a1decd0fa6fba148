"""The comparison of networks of seed 001 (Feist 2021, chapter 4): its tables, box plots and overlays.

An average hides much, says the thesis. So it looks at the first and the last predicted frame by themselves,
at how errors are distributed over sequences, at whether networks find the same sequences hard, at test
digits that were in training against others, and at single sequences.

The error is the cross-entropy in nats a frame. Beside our numbers stand the thesis's own, which are for
64x64 frames, weeks of training, and 10,000 sequences: they say what the networks can do, not what ours did.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred.evaluation.comparison import Evaluated
from vidpred.files import replacing, without_nan
from vidpred.viz.box_plot import Box, write_box_plot
from vidpred.viz.overlay import write_overlays
from vidpred.viz.table import Table

METRIC = "bce_frame"
SEEN, NEW = "val", "test"
"""The two splits: of moving digits, val shows those of training in other sequences, and test others."""


@dataclass(frozen=True)
class Published:
    """What the thesis reports of one network, in nats a frame."""

    mean: float  # table 4.1, "Results": over ten frames, on test sequences of training digits
    first: float  # table 4.1, "1st-Frame"
    last: float  # table 4.1, "10th-Frame"
    expected: float  # table 4.1, "Expected": from the paper that introduced the network
    parameters: float  # table 4.2
    test_digits: float  # table 4.3, "Research Test Set"


THESIS: Mapping[str, Published] = {
    "convlstm": Published(361.6, 219.7, 457.0, 367.2, 3.7e6, 361.5),
    "flow_autoencoder": Published(354.7, 302.3, 395.2, 179.8, 1.0e6, 354.8),
    "vpn": Published(170.3, 119.8, 216.1, 87.6, 3.8e7, 205.5),
}
"""By the name of the model."""

THESIS_CORRELATION: Mapping[frozenset[str], float] = {
    frozenset({"convlstm", "flow_autoencoder"}): 0.798,
    frozenset({"convlstm", "vpn"}): 0.574,
    frozenset({"flow_autoencoder", "vpn"}): 0.553,
}
"""Table 4.4: Spearman's coefficient of two networks' errors over sequences."""


@dataclass(frozen=True)
class Study:
    """Networks on sequences with digits they were trained on, and on sequences with other digits.

    Attributes:
        on: `SEEN` and `NEW`, or the latter alone -> the evaluation.
    """

    on: Mapping[str, Evaluated]

    @property
    def names(self) -> list[str]:
        """Of the contestants, in the order of the tables."""
        return list(dict.fromkeys(row.name for row in self.on[NEW].report.rows))

    def _errors(self, digits: str, name: str) -> NDArray[np.float64]:
        """(sequences, horizon) of the contestant called `name`."""
        return self.on[digits].values.of(name, METRIC)

    def tables(self) -> list[Table]:
        """Tables 4.1 to 4.4."""
        tables = [self._over_frames(), self._sizes(), self._over_fitting(), self._correlation()]
        return [table for table in tables if table.rows]

    def write(self, folder: Path) -> list[Path]:
        """Writes ``tables.md``, ``study.json``, box plots and overlays; returns their paths.

        Raises:
            OutputError: a file cannot be written.
        """
        with replacing(folder / "tables.md") as temporary:
            temporary.write_text("\n".join(table.markdown() for table in self.tables()), "utf-8")
        with replacing(folder / "study.json") as temporary:
            temporary.write_text(
                json.dumps(without_nan(self.as_json()), indent=1, allow_nan=False) + "\n", "utf-8"
            )
        pictures = [self._boxes(folder, *which) for which in self._frames_of_interest()]
        test = self.on[NEW].gallery
        for number in test.numbers:
            picture = folder / f"sequence-{number}.png"
            predicted = {name: test.predicted[number][name] for name in self._trained()}
            write_overlays(picture, test.truth[number], predicted, test.context[number])
            pictures.append(picture)
        return [folder / "tables.md", folder / "study.json", *pictures]

    def as_json(self) -> dict[str, Any]:
        """Every number of the tables."""
        return {
            "facts": {digits: evaluated.report.facts for digits, evaluated in self.on.items()},
            "errors": {
                digits: {
                    name: dict(
                        zip(
                            ("mean", "first", "last"),
                            _readings(self._errors(digits, name)),
                            strict=True,
                        )
                    )
                    for name in self.names
                }
                for digits in self.on
            },
            "spearman": [
                {"between": list(pair), "coefficient": value} for pair, value in self._correlations()
            ],
        }

    def _over_frames(self) -> Table:
        horizon = self._horizon
        split = SEEN if SEEN in self.on else NEW  # the thesis's table is of training digits
        rows = [
            [name, *map(_nats, _readings(self._errors(split, name))), *self._published(name)]
            for name in self.names
        ]
        return Table(
            f"Cross-entropy of predicted frames, split {split}",
            ["", "mean", "frame 1", f"frame {horizon}", *(f"thesis: {head}" for head in _PUBLISHED)],
            rows,
            f"Nats a frame, {self.on[split].report.facts['sequences']} sequences. {self._presets} Thesis: "
            "table 4.1, 64x64 frames, test sequences of training digits; expected: as published by those who "
            "introduced the network.",
        )

    def _published(self, name: str) -> list[str]:
        known = THESIS.get(self._models[name])
        if known is None:
            return [""] * len(_PUBLISHED)
        return [_nats(value) for value in (known.mean, known.first, known.last, known.expected)]

    def _sizes(self) -> Table:
        rows = []
        for run in self.on[NEW].report.facts["runs"]:
            known = THESIS.get(run["model"])
            rows.append([run["name"], f"{run['parameters']:,}", f"{known.parameters:.1e}" if known else ""])
        note = f"{self._presets} Thesis: table 4.2, its own sizes."
        return Table("Parameters", ["", "here", "thesis"], rows, note)

    def _over_fitting(self) -> Table:
        heads = [SEEN, NEW, "difference", "thesis", "thesis: difference"]
        rows = []
        if SEEN in self.on:
            for name in self.names:
                seen, unseen = (self._errors(d, name).mean() for d in (SEEN, NEW))
                known = THESIS.get(self._models[name])
                theirs = (
                    [f"{known.mean:.1f}, {known.test_digits:.1f}", f"{known.test_digits - known.mean:+.1f}"]
                    if known
                    else ["", ""]
                )
                rows.append([name, _nats(seen), _nats(unseen), f"{unseen - seen:+.1f}", *theirs])
        return Table(
            "Over-fitting: digits of training (val) against digits never seen (test)",
            ["", *heads],
            rows,
            f"Nats a frame, mean over the predicted frames. {self._presets} Thesis: table 4.3. Only moving "
            "MNIST has other digits in its test split.",
        )

    def _correlation(self) -> Table:
        rows = []
        for (first, second), value in self._correlations():
            theirs = THESIS_CORRELATION.get(frozenset({self._models[first], self._models[second]}))
            rows.append([f"{first} and {second}", f"{value:.3f}", "" if theirs is None else f"{theirs:.3f}"])
        return Table(
            "Do networks find the same sequences hard? Spearman's correlation of their errors",
            ["", "here", "thesis"],
            rows,
            f"Over sequences of the split {NEW}, of the mean over the predicted frames. {self._presets} "
            "Thesis: table 4.4.",
        )

    def _correlations(self) -> list[tuple[tuple[str, str], float]]:
        from scipy.stats import spearmanr

        means = {name: self._errors(NEW, name).mean(axis=1) for name in self._trained()}
        if len(next(iter(means.values()), ())) < 3:  # of two sequences any order is a perfect one
            return []
        return [
            (pair, float(spearmanr(means[pair[0]], means[pair[1]]).statistic))
            for pair in combinations(means, 2)
        ]

    def _boxes(self, folder: Path, stem: str, title: str, frame: int | None) -> Path:
        boxes = [
            Box(name, errors.mean(axis=1) if frame is None else errors[:, frame], digits)
            for name in self._trained()
            for digits in self.on
            for errors in [self._errors(digits, name)]
        ]
        write_box_plot(folder / f"{stem}.png", boxes, "cross-entropy, nats per frame", title)
        return folder / f"{stem}.png"

    def _frames_of_interest(self) -> list[tuple[str, str, int | None]]:
        """Figures 4.1 to 4.3."""
        last = self._horizon
        return [
            ("errors-mean", f"mean of predicted frames 1 to {last}", None),
            ("errors-first", "predicted frame 1", 0),
            ("errors-last", f"predicted frame {last}", last - 1),
        ]

    @property
    def _presets(self) -> str:
        return presets_of(self.on[NEW].report.facts["runs"])

    @property
    def _horizon(self) -> int:
        return int(self.on[NEW].report.facts["horizon"])

    @property
    def _models(self) -> dict[str, str]:
        return {row.name: row.model for row in self.on[NEW].report.rows}

    def _trained(self) -> Sequence[str]:
        rows = self.on[NEW].report.rows
        return list(dict.fromkeys(row.name for row in rows if not row.is_baseline))


def presets_of(runs: Sequence[Mapping[str, Any]]) -> str:
    """A sentence for the note of a table: the presets of the runs, which are as `describe` gives them."""
    presets = {run["name"]: run["preset"] for run in runs}
    if len(set(presets.values())) == 1:
        return f"Preset {next(iter(presets.values()))}."
    return "Presets: " + ", ".join(f"{name} {preset}" for name, preset in presets.items()) + "."


_PUBLISHED = ("mean", "frame 1", "frame 10", "expected mean")


def _readings(errors: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean over all frames, over the first, over the last, of (sequences, horizon)."""
    return float(errors.mean()), float(errors[:, 0].mean()), float(errors[:, -1].mean())


def _nats(value: float) -> str:
    return f"{value:.1f}"
