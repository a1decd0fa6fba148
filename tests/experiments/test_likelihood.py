"""likelihood on small networks, against brute force."""

import numpy as np
import pytest
import rolls
import torch
from rolls import experiment, results, tried

from vidpred.runs import load_run


def test_likelihood_of_each_sequence_by_itself(fresh, capsys):
    paths = [fresh("fdrnn"), fresh("vosp"), fresh("vrae")]
    assert experiment("likelihood", *paths, "--batch=5") == 0
    found = results(paths[0], "likelihood")["results"]
    model = load_run(paths[0]).model
    alone = [model.negative_log_likelihood(torch.from_numpy(sequence)[None]).item() for sequence in tried()]
    assert found["sequences"]["fdrnn"]["nats"] == pytest.approx(alone, rel=1e-5)
    steps = [len(sequence) for sequence in tried()]
    assert found["steps"] == steps
    mean = found["summary"]["fdrnn"]["nats"]
    assert mean["per_step"]["mean"] == pytest.approx(sum(alone) / sum(steps), rel=1e-5)
    assert mean["mean_over_sequences"]["mean"] == pytest.approx(
        np.mean([nats / step for nats, step in zip(alone, steps, strict=True)]), rel=1e-5
    )
    table = (paths[0] / "experiments" / "likelihood" / "table.md").read_text()
    assert f"| fdrnn | exact | {sum(alone) / sum(steps):.2f} ± " in table
    assert "| vosp | upper bound |" in table
    assert "| paper's VRAE | upper bound | < 5.53 |" in table
    assert "Negative log-likelihood" in capsys.readouterr().out


def test_baselines_of_the_likelihood_by_brute_force(fresh):
    run = fresh("fdrnn")
    assert experiment("likelihood", run) == 0
    found = results(run, "likelihood")["results"]["sequences"]["baselines"]
    training = np.concatenate(rolls.rolls("train")).astype(float)
    p = (training.sum(axis=0) + 0.5) / (len(training) + 1)
    for number, roll in enumerate(rolls.rolls("test")):
        assert found["marginal"][number] == pytest.approx(-np.log(np.where(roll, p, 1 - p)).sum())
    assert sum(found["chain"]) < sum(found["marginal"])


def test_more_samples_give_a_tighter_bound_beside_the_plain_one(fresh):
    run = fresh("vosp", "model.prior=white")
    assert experiment("likelihood", run, "--samples=20") == 0
    summary = results(run, "likelihood")["results"]["summary"]["vosp"]
    assert summary["weighted"]["per_step"]["mean"] < summary["nats"]["per_step"]["mean"]
    assert "weighted" in results(run, "likelihood")["results"]["sequences"]["vosp"]
    assert experiment("likelihood", run) == 0
    assert "weighted" not in results(run, "likelihood")["results"]["sequences"]["vosp"]


def test_the_papers_rows_are_those_of_the_data(fresh, tmp_path):
    run = fresh("fdrnn")
    table = run / "experiments" / "likelihood" / "table.md"
    assert experiment("likelihood", run, "--published=Nottingham") == 0
    assert "paper's RNN-NADE | exact | 2.31" in table.read_text()
    splits = {name: rolls.rolls(name) for name in rolls.COUNTS}
    for sources, recognised in (
        ({"data/jsb-chorales-quarter.json": ""}, True),
        ({"jsb-chorales-16th.json": ""}, False),
        ({}, False),
        ({"Nottingham.mat": "", "Piano_midi.mat": ""}, False),
    ):
        other = rolls.write_rolls(tmp_path / "y.h5", splits, sources=sources)
        assert experiment("likelihood", run, f"--data={other}") == 0
        assert ("paper's" in table.read_text()) == recognised
    known = rolls.write_rolls(tmp_path / "z.h5", splits, sources={"Nottingham.mat": ""})
    for part in ("--split=train", "--count=3"):  # table 1 is about the whole test split
        assert experiment("likelihood", run, f"--data={known}", part) == 0
        assert "paper's" not in table.read_text()


def test_densities_have_no_baselines_and_no_company(fresh, capsys):
    gaussian, other = fresh("fdrnn", "model.output=gaussian"), fresh("vosp")
    assert experiment("likelihood", gaussian) == 0
    assert "marginals" not in (gaussian / "experiments/likelihood/table.md").read_text().split("\n\n")[1]
    assert experiment("likelihood", gaussian, other) == 2
    assert "cannot share an experiment" in capsys.readouterr().err
    assert experiment("denoise", fresh("vosp", "model.output=gaussian", name="dense")) == 2
    assert "expected a run with probabilities" in capsys.readouterr().err
