"""likelihood, denoise, impute and synthesis on small networks, against brute force."""

import json
import math

import numpy as np
import pytest
import rolls
import torch
from PIL import Image

from vidpred.cli.main import run as vidpred
from vidpred.data.midi import read_midi
from vidpred.experiments import denoise as denoise_module
from vidpred.experiments import impute as impute_module
from vidpred.experiments.denoise import NoisyChannel
from vidpred.experiments.synthesis import Statistics, pitch_classes
from vidpred.experiments.whole_sequences import (
    Padded,
    WholeSequences,
    mean_of_means,
    per_step,
    reconstructed,
    score,
)
from vidpred.runs import checkpoint_digest, load_run

TRAINED = 240


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A data file of easy piano rolls, called as one of the paper's was made from it."""
    folder = tmp_path_factory.mktemp("rolls")
    splits = {name: rolls.rolls(name) for name in rolls.COUNTS}
    return rolls.write_rolls(folder / "x.h5", splits, sources={"JSB_Chorales.mat": "0" * 64})


@pytest.fixture(scope="module")
def trained(file):
    """The folders of a VOSP and a VRAE that have learnt the chords."""
    return {
        "vosp": rolls.make_sequence_run(file.parent / "vosp", "vosp", file, steps=TRAINED),
        "vrae": rolls.make_sequence_run(file.parent / "vrae", "vrae", file, steps=TRAINED // 2),
    }


@pytest.fixture
def fresh(file, tmp_path):
    """fresh(model, *settings): the folder of a run that has learnt nothing."""

    def make(model, *settings, name=None):
        return rolls.make_sequence_run(tmp_path / (name or model), model, file, *settings)

    return make


@pytest.fixture
def frames_run(tmp_path, glyphs):
    """The folder of a VRAE on moving pictures that are made on the fly."""
    moving = ("data.frames=6", "data.val=5", "data.train=6", f"data.digits={glyphs}")
    return rolls.make_sequence_run(tmp_path / "frames", "vrae", None, *moving)


def tried():
    """The sequences of the test split, as the models see them."""
    return [roll[:, None, None].astype(np.float32) for roll in rolls.rolls("test")]


def experiment(name, *arguments):
    return vidpred(["experiment", name, *map(str, arguments), "--device=cpu"])


def results(folder, name):
    return json.loads((folder / "experiments" / name / "results.json").read_text())


# Reading, padding and scoring


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


# likelihood


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


def test_runs_on_music_and_on_moving_pictures_need_data_to_share(frames_run, fresh, capsys):
    assert experiment("likelihood", frames_run, fresh("vrae", name="music")) == 2
    assert "give what both shall be tried on with --data" in capsys.readouterr().err


def test_a_folder_of_the_users_own_is_no_place_for_an_experiment(fresh, tmp_path, capsys):
    run, mine = fresh("fdrnn"), tmp_path / "mine"
    mine.mkdir()
    (mine / "results.json").write_text("[1, 2]")
    assert experiment("likelihood", run, f"--out={mine}") == 1
    assert f"{mine} exists and holds no experiment" in capsys.readouterr().err
    assert [file.name for file in mine.iterdir()] == ["results.json"]
    assert experiment("likelihood", run, f"--out={run}") == 1
    assert (run / "config.toml").is_file()
    for _ in range(2):
        assert experiment("likelihood", run, f"--out={tmp_path / 'new'}") == 0


# denoise


def test_a_trained_vosp_cleans_better_than_what_looks_at_one_value(trained):
    assert experiment("denoise", *trained.values()) == 0
    found = results(trained["vosp"], "denoise")["results"]
    scores, online = found["scores"], found["online"]
    assert online == {"vosp": "yes", "vrae": "no"}
    assert scores["vosp, filter"]["f1"] > scores["vosp"]["f1"]
    assert scores["vosp, filter"]["log_likelihood"] > scores["one noisy value alone"]["log_likelihood"]
    for run in ("vosp", "vrae"):
        assert scores[run]["f1"] > scores["noisy input"]["f1"] + 0.1
        for baseline in ("noisy input", "previous noisy step", "marginals of training"):
            assert scores[run]["log_likelihood"] > scores[baseline]["log_likelihood"]
    alone = scores["one noisy value alone"]
    assert alone["log_likelihood"] > scores["noisy input"]["log_likelihood"]
    with Image.open(trained["vosp"] / "experiments" / "denoise" / "sequence-0.png") as picture:
        picture.verify()


def test_scores_of_denoising_by_brute_force(trained):
    assert experiment("denoise", trained["vosp"], "--seed=7", "--batch=5") == 0
    scores = results(trained["vosp"], "denoise")["results"]["scores"]
    channel = NoisyChannel("flip", 0.05)
    model = load_run(trained["vosp"]).model
    kept = []
    for number, clean in enumerate(tried()):
        noisy = channel.corrupt(clean, 7, number)
        cleaned = model.reconstruct(torch.from_numpy(noisy)[None])[0].double().numpy()
        kept.append((clean.ravel(), noisy.ravel(), cleaned.ravel(), len(clean)))
    clean, noisy, cleaned = (np.concatenate(values) for values in list(zip(*kept, strict=True))[:3])
    steps = sum(length for *_, length in kept)

    def f1(said):
        return 2 * (said * clean).sum() / (said.sum() + clean.sum())

    assert scores["noisy input"]["f1"] == pytest.approx(f1(noisy))
    assert scores["vosp"]["f1"] == pytest.approx(f1(cleaned >= 0.5), rel=1e-3)
    cleaned = cleaned.clip(1e-7, 1 - 1e-7)
    nats = np.log(np.where(clean > 0, cleaned, 1 - cleaned)).sum() / steps
    assert scores["vosp"]["log_likelihood"] == pytest.approx(nats, rel=1e-3)
    wrong = (clean != noisy).sum()
    known = wrong * math.log(0.05) + (clean.size - wrong) * math.log(0.95)
    assert scores["noisy input"]["log_likelihood"] == pytest.approx(known / steps)


@pytest.mark.parametrize(("model", "online"), [("vosp", True), ("vrae", False)])
@pytest.mark.parametrize("posterior", ["independent", "chain"])
def test_later_noise_changes_nothing_before_it_online(fresh, model, online, posterior):
    network = load_run(fresh(model, f"model.posterior={posterior}", "model.weight_std_in=0.7")).model
    clean = tried()[0]
    early = NoisyChannel("flip", 0.05).corrupt(clean, 0, 0)
    late = early.copy()
    late[6:] = NoisyChannel("flip", 0.5).corrupt(clean, 1, 0)[6:]
    one, other = (reconstructed(network, [noisy], torch.device("cpu"))[0] for noisy in (early, late))
    assert np.allclose(one[:6], other[:6], rtol=0, atol=1e-6) == online
    assert not np.allclose(one[6:], other[6:], atol=1e-3)


def test_notes_that_are_turned_on_leave_every_note(trained):
    assert experiment("denoise", trained["vosp"], "--noise=on") == 0
    scores = results(trained["vosp"], "denoise")["results"]["scores"]
    assert scores["noisy input"]["recall"] == 1
    assert scores["noisy input"]["precision"] < 0.6
    assert math.isfinite(scores["one noisy value alone"]["log_likelihood"])


def test_without_noise_the_input_is_right(trained):
    assert experiment("denoise", trained["vosp"], "--rate=0") == 0
    scores = results(trained["vosp"], "denoise")["results"]["scores"]
    assert scores["noisy input"]["f1"] == scores["one noisy value alone"]["f1"] == 1
    assert scores["noisy input"]["log_likelihood"] == 0


def test_the_same_seed_gives_the_same_numbers_and_finished_parts_stay(trained, monkeypatch, tmp_path):
    out = tmp_path / "out"

    def numbers(*options):
        assert experiment("denoise", trained["vosp"], "--count=5", f"--out={out}", *options) == 0
        return json.loads((out / "results.json").read_text())["results"]["scores"]

    asked = []
    clean = denoise_module._clean
    monkeypatch.setattr(denoise_module, "_clean", lambda *given: asked.append(1) or clean(*given))
    first = numbers()
    assert numbers() == first
    assert len(asked) == 1
    assert numbers("--seed=1") != first
    assert len(asked) == 2
    assert numbers() == first  # whose part gave way, and was made anew
    assert len(asked) == 3
    with_noise = numbers("--rate=0.1")
    assert with_noise["noisy input"]["f1"] < first["noisy input"]["f1"]


# impute


def test_a_trained_vrae_fills_a_gap_better_than_its_ends_tell(trained):
    assert experiment("impute", trained["vrae"], "--gap=3", "--iterations=5") == 0
    found = results(trained["vrae"], "impute")["results"]
    scores = found["scores"]
    for baseline in ("random values", "step before the gap", "marginals of training"):
        assert scores["vrae"]["f1"] > scores[baseline]["f1"] + 0.1
    assert scores["random values"]["log_likelihood"] == pytest.approx(-3 * 88 * math.log(2) / 3)
    inferred = scores["vrae, inferred"]
    for baseline in ("random values", "step before the gap", "marginals of training"):
        assert inferred["f1"] > scores[baseline]["f1"] + 0.1
        assert inferred["log_likelihood"] > scores[baseline]["log_likelihood"]
    assert len(found["f1_by_iteration"]["vrae"]) == 5
    assert found["f1_by_iteration"]["vrae"][-1] == scores["vrae"]["f1"]
    folder = trained["vrae"] / "experiments" / "impute"
    for name in ("iterations.png", "sequence-0.png", "sequence-1.png"):
        with Image.open(folder / name) as picture:
            picture.verify()
    assert "## F1 after so many iterations" in (folder / "table.md").read_text()


def test_vosp_infers_a_gap_and_a_prior_without_steps_does_not(trained, fresh):
    assert experiment("impute", trained["vosp"], "--gap=3", "--iterations=2", "--samples=100") == 0
    found = results(trained["vosp"], "impute")["results"]
    scores, inferred = found["scores"], found["scores"]["vosp, inferred"]
    for baseline in ("random values", "step before the gap", "marginals of training"):
        assert inferred["f1"] > scores[baseline]["f1"] + 0.1
        assert inferred["log_likelihood"] > scores[baseline]["log_likelihood"]
    white = fresh("vosp", "model.prior=white")
    assert experiment("impute", white, "--gap=3", "--iterations=2") == 0
    assert "vosp, inferred" not in results(white, "impute")["results"]["scores"]


def test_scores_of_a_gap_by_brute_force(trained):
    assert experiment("impute", trained["vrae"], "--gap=4", "--iterations=3", "--seed=5", "--batch=5") == 0
    found = results(trained["vrae"], "impute")["results"]
    model = load_run(trained["vrae"]).model
    hits, held, total, straight = 0, 0, 0, 0
    said = dict.fromkeys(("vrae", "before", "line"), 0)
    for number, truth in enumerate(tried()):
        noise = np.random.default_rng([5, number])
        first = int(noise.integers(1, len(truth) - 4))
        assert found["first_lost_step"][number] == first
        gap = slice(first, first + 4)
        filled = truth.copy()
        filled[gap] = noise.random(filled[gap].shape, np.float32)
        for _ in range(3):
            better = model.reconstruct(torch.from_numpy(filled)[None])[0].numpy()
            filled[gap] = better[gap] >= 0.5
        before = np.repeat(truth[first - 1][None], 4, axis=0)
        after = truth[first + 4]
        line = np.stack([before[0], before[0], after, after])  # the nearer end
        total += truth[gap].sum()
        hits, held, straight = (
            of + (guess * truth[gap]).sum()
            for of, guess in ((hits, filled[gap]), (held, before), (straight, line))
        )
        for name, guess in (("vrae", filled[gap]), ("before", before), ("line", line)):
            said[name] += guess.sum()
    scores = found["scores"]
    assert scores["vrae"]["f1"] == pytest.approx(2 * hits / (said["vrae"] + total), rel=1e-3)
    assert scores["step before the gap"]["f1"] == pytest.approx(2 * held / (said["before"] + total))
    assert scores["linear interpolation"]["f1"] == pytest.approx(2 * straight / (said["line"] + total))


def test_what_is_known_stays_as_it_is(trained, monkeypatch):
    seen = []
    inner = impute_module.reconstructed

    def watched(model, sequences, *rest):
        seen.append([sequence.copy() for sequence in sequences])
        return inner(model, sequences, *rest)

    monkeypatch.setattr(impute_module, "reconstructed", watched)
    assert experiment("impute", trained["vrae"], "--gap=2", "--iterations=3", "--count=1", "--seed=9") == 0
    truth, [first] = tried()[0], results(trained["vrae"], "impute")["results"]["first_lost_step"]
    known = np.ones(len(truth), bool)
    known[first : first + 2] = False
    assert len(seen) == 3
    for [given] in seen:
        assert (given[known] == truth[known]).all()
    assert not np.isin(seen[0][0][~known], (0, 1)).any()
    assert np.isin(seen[1][0], (0, 1)).all()


# synthesis


def test_samples_are_written_as_midi_and_drawn(fresh, tmp_path):
    paths = [fresh("vosp"), fresh("vrae"), fresh("fdrnn")]
    assert experiment("synthesis", *paths, "--steps=12", "--count=2") == 0
    folder = paths[0] / "experiments" / "synthesis"
    names = {file.name for file in folder.glob("*.*")}
    assert {f"sample-{run}-{sample}.mid" for run in range(3) for sample in range(2)} <= names
    assert {f"samples-{run}.png" for run in range(3)} <= names
    for number, path in enumerate(paths):
        part = np.load(folder / "parts" / f"run-{checkpoint_digest(path)[:12]}.npz")
        drawn = part["frames"]
        assert set(np.unique(drawn)) <= {0, 255}
        for sample in range(2):
            read, _ = read_midi(folder / f"sample-{number}-{sample}.mid", steps_per_beat=1)
            assert (read * 255 == drawn[sample].reshape(12, 88)[: len(read)]).all()
    statistics = results(paths[0], "synthesis")["results"]["statistics"]
    assert statistics["training split"]["on"] == 4
    assert statistics["training split"]["silent"] == 0
    assert experiment("synthesis", paths[0], "--steps=12", "--count=1", f"--out={folder}") == 0
    assert sorted(file.name for file in folder.glob("*.mid")) == ["sample-0-0.mid"]


def test_a_sample_depends_on_the_seed_and_its_number_alone(fresh, tmp_path):
    run = fresh("vosp")
    for name, options in (("a", ["--count=2"]), ("b", ["--count=3"]), ("c", ["--count=2", "--seed=1"])):
        assert experiment("synthesis", run, "--steps=9", f"--out={tmp_path / name}", *options) == 0

    def content(folder, number):
        return (tmp_path / folder / f"sample-0-{number}.mid").read_bytes()

    assert content("a", 0) == content("b", 0)
    assert content("a", 1) == content("b", 1)
    assert content("a", 0) != content("a", 1)
    assert content("a", 0) != content("c", 0)


def test_statistics_by_hand():
    roll = np.zeros((4, 1, 1, 88))
    roll[0, ..., [39, 43]] = 1  # C and E
    roll[1, ..., [39, 46]] = 1  # C held, G
    roll[3, ..., 51] = 1  # C, an octave higher
    found = Statistics.of([roll], rolls=True)
    assert found.on == pytest.approx((5 / 4, np.std([2, 2, 0, 1])))
    assert found.repeated == pytest.approx(1 / 3)
    assert found.silent == 1 / 4
    assert found.pitches == pytest.approx([3 / 5, 0, 0, 0, 1 / 5, 0, 0, 1 / 5, 0, 0, 0, 0])
    other = Statistics.of([roll[:1]], rolls=True)
    assert found.distance(other) == pytest.approx(0.5 * (0.1 + 0.3 + 0.2))
    assert found.distance(found) == 0
    assert math.isnan(Statistics.of([np.zeros((2, 1, 1, 88))], rolls=True).repeated)
    assert np.isnan(pitch_classes(np.zeros(88))).all()


def test_the_keys_have_their_pitch_classes():
    keys = np.zeros(88)
    keys[0] = 3  # A0, the lowest
    keys[87] = 1  # C8, the highest
    assert pitch_classes(keys)[[9, 0]] == pytest.approx([0.75, 0.25])


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
