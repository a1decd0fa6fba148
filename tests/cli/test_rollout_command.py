import numpy as np
import pytest
from PIL import Image

from vidpred import open_dataset
from vidpred.cli.main import run as vidpred

QUICK = ["--device=cpu", "--horizon=4", "--samples=2", "--context=3"]


def test_it_draws_a_gif_into_the_run_by_itself(make_run, capsys):
    run = make_run("a", "vrnn")
    assert vidpred(["rollout", str(run), *QUICK]) == 0
    with Image.open(run / "rollout.gif") as gif:
        assert gif.n_frames == 3 + 4
    assert capsys.readouterr().out == (
        f"{run / 'rollout.gif'}: moving MNIST made on the fly (test, seed 0), sequences 0 to 0, "
        "context 3, horizon 4, samples 2\n"
    )


def test_the_same_seed_gives_the_same_prediction(make_run, tmp_path):
    run = make_run("a", "vrnn")
    futures = []
    for n, seed in enumerate((1, 1, 2)):
        out = tmp_path / f"{n}.npy"
        assert vidpred(["rollout", str(run), *QUICK, f"--seed={seed}", f"--out={out}"]) == 0
        futures.append(np.load(out))
    assert futures[0].shape == (2, 1, 4, 1, 32, 32)
    np.testing.assert_array_equal(futures[0], futures[1])
    assert not np.array_equal(futures[0], futures[2])
    assert not np.array_equal(futures[0][0], futures[0][1])


def test_deterministic_and_chanceless_models_give_one_sample(make_run, tmp_path):
    for model, options in (("vrnn", ["--deterministic"]), ("rnn", [])):
        out = tmp_path / f"{model}.npy"
        run = make_run(model, model)
        assert vidpred(["rollout", str(run), *QUICK, *options, f"--out={out}"]) == 0
        assert np.load(out).shape[0] == 1


def test_clips_and_data_files_can_be_continued_without_ground_truth(make_run, tmp_path):
    run, clips, data = make_run("a", "rnn"), tmp_path / "clips.npy", tmp_path / "future.h5"
    np.save(clips, np.zeros((3, 3, 1, 32, 32), np.uint8))
    given = ["rollout", str(run), *QUICK]
    assert vidpred([*given, f"--data={clips}", "--index=1", "--count=2", f"--out={data}"]) == 0
    with open_dataset(data) as file:
        assert file["test"].frames.shape == (2, 3 + 4, 1, 32, 32)
        config = file.attributes["config"]
    assert (config["model"], config["preset"], config["source"]) == ("rnn", "tiny", str(clips))
    assert (config["context"], config["horizon"], config["first_sequence"]) == (3, 4, 1)
    assert vidpred([*given, f"--data={data}", "--context=7", f"--out={tmp_path / 'x.png'}"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out=x.mp9"], 2, "cannot tell what to write to x.mp9: expected a name that ends in .gif"),
        (["--horizon=0"], 2, "--horizon"),
        (["--samples=-1"], 2, "--samples"),
        (["--count=0"], 2, "--count"),
        (["--context=0"], 2, "--context"),
        (["--every=0"], 2, "--every"),
        (
            ["--index=6"],
            1,
            "sequence 6 was asked for, but moving MNIST made on the fly",
        ),
        (["--data=none.npy"], 1, "none.npy does not exist"),
        (["--data=short.npy"], 1, "a context of 3 frames does not fit into the sequences of short.npy"),
        (
            ["--data=wide.npy"],
            1,
            "32x32, but those of wide.npy are 1 channel, 32x48",
        ),
        (
            ["--data=colour.npy"],
            1,
            "32x32, but those of colour.npy are 3 channels, 32x32",
        ),
        (["--device=tpu"], 2, "there is no device 'tpu' here"),
        (["--out=file/x.gif"], 1, "cannot write file/x.gif"),
    ],
)
def test_a_mistake_is_one_sentence(make_run, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    np.save("short.npy", np.zeros((1, 2, 1, 32, 32), np.uint8))
    np.save("wide.npy", np.zeros((1, 9, 1, 32, 48), np.uint8))
    np.save("colour.npy", np.zeros((1, 9, 3, 32, 32), np.uint8))
    (tmp_path / "file").touch()
    assert vidpred(["rollout", str(make_run("a", "vrnn")), *QUICK, *arguments]) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("vidpred: ")
    assert message in error


def test_a_folder_without_a_run_is_named(tmp_path, capsys):
    assert vidpred(["rollout", str(tmp_path)]) == 1
    assert f"there is no training run at {tmp_path}" in capsys.readouterr().err
    assert not (tmp_path / "rollout.gif").exists()


def test_models_that_know_classes_get_the_labels(make_run, tmp_path, capsys):
    run = make_run("a", "vrnn", "model.classes=10")
    assert vidpred(["rollout", str(run), *QUICK]) == 0
    np.save(tmp_path / "clips.npy", np.zeros((1, 5, 1, 32, 32), np.uint8))
    assert vidpred(["rollout", str(run), *QUICK, f"--data={tmp_path / 'clips.npy'}"]) == 1
    assert "has no labels, but the model is conditioned on them" in capsys.readouterr().err


def test_the_flow_of_a_flow_autoencoder_is_drawn(make_run, tmp_path):
    run = make_run("a", "flow_autoencoder")
    options = [f"--out={tmp_path / 'r.png'}", f"--flow={tmp_path / 'flow.png'}"]
    assert vidpred(["rollout", str(run), *QUICK, *options]) == 0
    with Image.open(tmp_path / "flow.png") as picture:
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (colours.max(axis=1) > colours.min(axis=1) + 100).any()  # arrows, borders and the key


def test_set_chooses_how_a_video_pixel_network_decodes(make_run, tmp_path):
    run = make_run("a", "vpn")
    found = {}
    for decoding in ("blank", "argmax", "sample"):
        out = tmp_path / f"{decoding}.npy"
        assert vidpred(["rollout", str(run), *QUICK, f"--set=model.decoding={decoding}", f"--out={out}"]) == 0
        found[decoding] = np.load(out)
    assert [len(found[decoding]) for decoding in found] == [1, 1, 2]
    assert set(np.unique(found["sample"])) == {0, 255}
    assert set(np.unique(found["argmax"])) <= {0, 255}
    assert not set(np.unique(found["blank"])) & {0, 255}
