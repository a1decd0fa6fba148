"""What the experiments on whole sequences share: reading, padding, scoring, frames, and their refusals."""

import math

import numpy as np
import pytest
import rolls
import torch
from PIL import Image
from rolls import experiment, results, tried

from vidpred.experiments.whole_sequences import (
    Padded,
    WholeSequences,
    mean_of_means,
    per_step,
    score,
)
from vidpred.runs import load_run


def test_whole_sequences_are_read_as_they_are(file, fresh):
    whole = WholeSequences(load_run(fresh("fdrnn")).config.data, None, "test")
    assert whole.are_rolls
    for number, (read, expected) in enumerate(zip(whole.read(range(12)), tried(), strict=True)):
        assert (read == expected).all()
        assert whole.lengths[number] == len(expected)
    groups = list(whole.in_groups(10, 4))
    assert sorted(number for group in groups for number in group) == list(range(10))
    assert [len(group) for group in groups] == [4, 4, 2]
    assert max(whole.lengths[groups[0]]) <= min(whole.lengths[groups[1]])


def test_padding_is_cut_off_again():
    sequences = tried()[:3]
    padded = Padded.of(sequences, torch.device("cpu"))
    assert padded.frames.shape[1] == max(map(len, sequences))
    assert padded.lengths.tolist() == [len(sequence) for sequence in sequences]
    assert all(
        (mine == yours).all() for mine, yours in zip(padded.cut(padded.frames), sequences, strict=True)
    )


def test_a_score_by_hand():
    truth = np.array([1, 0, 1, 0.0]).reshape(2, 1, 1, 2)
    probability = np.array([0.9, 0.6, 0.2, 0.5]).reshape(2, 1, 1, 2)
    nats = math.log(0.9) + math.log(0.4) + math.log(0.2) + math.log(0.5)
    assert score(probability, truth).tolist() == pytest.approx([1, 2, 1, nats, 2])
    assert score(probability, truth, on=truth > 0).tolist() == pytest.approx([2, 0, 0, nats, 2])


def test_both_means_and_their_errors():
    totals, steps = np.array([10.0, 40.0, 12.0]), np.array([5, 10, 4])
    assert per_step(totals, steps)[0] == pytest.approx(62 / 19)
    means = [2.0, 4.0, 3.0]
    assert mean_of_means(totals, steps) == pytest.approx((3.0, np.std(means, ddof=1) / np.sqrt(3)))
    assert math.isnan(per_step(totals[:1], steps[:1])[1])


def test_the_error_of_a_ratio_is_that_of_many_repetitions():
    random = np.random.default_rng(0)
    steps = random.integers(5, 40, (4000, 60))
    totals = 3.0 * steps + random.normal(0, 4, steps.shape) * np.sqrt(steps)
    found = np.array([per_step(total, step) for total, step in zip(totals, steps, strict=True)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.05)


# Frames


def test_all_of_it_on_frames(frames_run):
    assert experiment("likelihood", frames_run) == 0
    assert experiment("denoise", frames_run, "--count=3") == 0
    assert experiment("impute", frames_run, "--gap=2", "--iterations=2", "--count=3") == 0
    assert experiment("synthesis", frames_run, "--steps=4", "--count=2") == 0
    folder = frames_run / "experiments"
    assert results(frames_run, "likelihood")["sequences"] == 5
    table = (folder / "likelihood" / "table.md").read_text()
    assert "paper's" not in table
    assert "## Cross-entropy" in table  # of grey values
    assert "exact" not in table
    scores = results(frames_run, "denoise")["results"]["scores"]
    assert scores["one noisy value alone"]["f1"] > scores["noisy input"]["f1"]
    for name in ("denoise/sequence-0.png", "impute/sequence-1.png", "synthesis/samples-0.png"):
        with Image.open(folder / name) as picture:
            picture.verify()
    with Image.open(folder / "synthesis" / "samples-0.gif") as animation:
        assert animation.n_frames == 4


# Mistakes


def mistake(capsys, code, *arguments):
    assert experiment(*arguments) == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return " ".join(error.split())


def test_a_run_of_another_model(make_run, fresh, capsys):
    rnn, fdrnn = make_run("rnn", "rnn"), fresh("fdrnn")
    assert "is a run of the model rnn, expected vrae, vosp or fdrnn" in mistake(capsys, 2, "likelihood", rnn)
    assert "is a run of the model fdrnn, expected vosp or vrae" in mistake(capsys, 2, "denoise", fdrnn)
    assert "is a run of the model fdrnn, expected vrae or vosp" in mistake(capsys, 2, "impute", fdrnn)
    assert "is a run of the model rnn, expected vrae" in mistake(capsys, 2, "synthesis", rnn)


def test_numbers_out_of_range(fresh, capsys):
    run = fresh("vosp")
    for rate in ("-0.1", "1.5", "nan"):
        assert "--rate is a probability from 0 to 1" in mistake(capsys, 2, "denoise", run, f"--rate={rate}")
    assert "unknown noise 'flop'; did you mean 'flip'?" in mistake(capsys, 2, "denoise", run, "--noise=flop")
    shortest = min(map(len, rolls.rolls("test")))
    told = mistake(capsys, 1, "impute", run, f"--gap={shortest - 1}")
    assert f"has {shortest} steps, expected at least {shortest + 1}" in told
    told = mistake(capsys, 2, "likelihood", run, "--published=JBS")
    assert "unknown data set of the paper 'JBS'; did you mean 'JSB'?" in told
    assert "has only 0 to 11" in mistake(capsys, 1, "denoise", run, "--count=13")


def test_data_that_do_not_fit(fresh, frames_run, tmp_path, capsys):
    run = fresh("vosp")
    silent = rolls.write_rolls(
        tmp_path / "silent.h5", {name: [np.zeros((12, 88), np.uint8)] * 3 for name in ("train", "test")}
    )
    assert experiment("denoise", run, f"--data={silent}") == 0  # nothing to hear is no mistake
    scores = results(run, "denoise")["results"]["scores"]
    assert scores["marginals of training"]["f1"] is None
    assert scores["marginals of training"]["log_likelihood"] < 0
    assert experiment("synthesis", run, f"--data={silent}", "--steps=3") == 0
    assert "no split 'val'" in mistake(capsys, 1, "likelihood", run, f"--data={silent}", "--split=val")
    without = rolls.write_rolls(tmp_path / "without.h5", {"test": rolls.rolls("test")})
    assert experiment("likelihood", run, f"--data={without}") == 0  # counts are those of the run's own data
    assert experiment("synthesis", run, f"--data={without}", "--steps=3") == 0
    told = mistake(capsys, 1, "denoise", frames_run, f"--data={silent}")
    assert "expects frames of 1 channel, 32x32, but those of" in told
    assert "none.h5 does not exist" in mistake(capsys, 1, "impute", run, "--data=none.h5")
    empty = rolls.write_rolls(
        tmp_path / "empty.h5", {"train": rolls.rolls("train"), "test": [np.zeros((0, 88), np.uint8)]}
    )
    assert "has no steps" in mistake(capsys, 1, "denoise", run, f"--data={empty}")


def test_runs_on_music_and_on_moving_pictures_need_data_to_share(frames_run, fresh, capsys):
    assert experiment("likelihood", frames_run, fresh("vrae", name="music")) == 2
    assert "give what both shall be tried on with --data" in capsys.readouterr().err


def test_a_folder_of_the_users_own_is_no_place_for_an_experiment(fresh, tmp_path, capsys):
    run, mine = fresh("fdrnn"), tmp_path / "mine"
    mine.mkdir()
    (mine / "results.json").write_text("[1, 2]")
    assert experiment("likelihood", run, f"--out={mine}") == 1
    assert f"{mine} exists already: it holds no experiment" in capsys.readouterr().err
    assert [file.name for file in mine.iterdir()] == ["results.json"]
    assert experiment("likelihood", run, f"--out={run}") == 1
    assert (run / "config.toml").is_file()
    for _ in range(2):
        assert experiment("likelihood", run, f"--out={tmp_path / 'new'}") == 0
