"""Every command with wrong input: one sentence on stderr, exit code 1 or 2, nothing left behind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vidpred.benchmarking import machine
from vidpred.benchmarking.roofline import Peaks
from vidpred.cli.main import app
from vidpred.cli.main import run as vidpred
from vidpred.data.midi import write_midi

FAILED, USAGE = 1, 2
MMNIST = "gen-data mmnist --train 2 --val 0 --test 1 --size 32 --digit-size 16 --digits digits.npz"
VIDEO = "gen-data video videos --out x.h5"
SSV2 = "gen-data ssv2 videos --labels labels --out x.h5"
KTH = "gen-data kth kth --sequences list.txt --out x.h5"
SHAPES = "gen-data shapes --train 2 --val 0 --test 1"
TRAIN = "train rnn --preset tiny --device cpu"
ROLLOUT = "rollout run --device cpu --context 2 --horizon 2 --samples 1"
MUSIC = "rollout music --device cpu --context 2 --horizon 2"
ROLLS = "gen-data piano-roll --out x.h5"
IMPORT = "import-weights --from conv-tt-lstm"
EVALUATE = "evaluate run --device cpu --context 2 --horizon 2 --samples 1"

# A file that does not exist, one of rubbish, an empty one, half of a real one, and a folder.
NO_DATA = ("none.h5", "rubbish.h5", "empty.h5", "half.h5", "folder.h5")
NO_CLIPS = ("none.npy", "rubbish.npy", "empty.npy", "half.npy", "folder.npy", "words.npy", "rubbish.npz")
NO_VIDEO = ("none.avi", "rubbish.avi", "empty.avi", "half.avi", "folder.avi", "file")
NO_LIST = ("none.txt", "rubbish.h5", "videos")
NO_ROLLS = (
    *("none.mid", "rubbish.mid", "empty.mid", "half.mid", "folder.mid"),
    *("none.mat", "rubbish.mat", "empty.mat", "folder.mat", "none.json", "rubbish.json", "empty.json"),
    *("songs.pickle", "file", "videos"),
)
NO_WEIGHTS = ("none.npz", "rubbish.npz", "folder.npz", "digits.npz")
NO_RUN = ("none", "folder.h5", "rubbish.h5", "run-without-model", "run-with-half-a-model", "run-of-rubbish")
# A place below a file, one that is a folder, and one where nothing can be made.
NO_PLACE = ("file/x", "folder.x", "/proc/nowhere/x")

MOVING = ("digit-count", "new-glyphs", "long-term", "diversity", "out-of-domain", "latent")
WHOLE = ("likelihood", "denoise", "impute", "synthesis")
EXPERIMENTS = (*MOVING, "activity", *WHOLE)
SUITES = ("models", "sampling", "data")
MISTAKES = [
    (USAGE, "predict"),
    (USAGE, "--bogus"),
    (USAGE, "gen-data mnist --out x.h5"),
    (USAGE, "gen-data mmnist"),
    (USAGE, f"{MMNIST} --out x.h5 --motion newton"),
    (USAGE, f"{MMNIST} --out x.h5 --overlap xor"),
    (USAGE, f"{MMNIST} --out x.h5 --frames none"),
    (USAGE, f"{MMNIST} --out x.h5 --frames 0"),
    (USAGE, f"{MMNIST} --out x.h5 --seed -1"),
    (USAGE, f"{MMNIST} --out x.h5 --acceleration -1"),
    (USAGE, f"{MMNIST} --out x.h5 --digits mnits"),
    *((FAILED, f"{MMNIST} --out x.h5 --digits {name}") for name in ("none.npz", "rubbish.npz", "folder.npz")),
    (FAILED, f"{MMNIST} --out x.h5 --digits rubbish-idx3-ubyte"),
    *((FAILED, f"{MMNIST} --out {place}.h5") for place in NO_PLACE),
    *((FAILED, f"{SHAPES} --out {place}.h5") for place in NO_PLACE),
    (USAGE, f"{SHAPES} --out x.h5 --objects 9"),
    (USAGE, f"{SHAPES} --out x.h5 --size 8"),
    (USAGE, "gen-data video --out x.h5"),
    (USAGE, "gen-data video videos"),
    *((FAILED, f"gen-data video {name} --out x.h5") for name in NO_VIDEO),
    *((FAILED, f"gen-data video videos {name} --out x.h5") for name in NO_VIDEO),
    (FAILED, "gen-data video rubbish.avi --out x.h5 --on-error skip"),
    (USAGE, f"{VIDEO} --on-error ignore"),
    *((USAGE, f"{VIDEO} --size {size}") for size in ("0", "8x", "8x8x8", "big")),
    *((USAGE, f"{VIDEO} --val {share}") for share in ("-1", "1.5", "some", "nan", "9")),
    (USAGE, f"{VIDEO} --test 9"),
    (FAILED, f"{VIDEO} --frames 99"),
    (USAGE, f"{VIDEO} --frames 0"),
    (USAGE, f"{VIDEO} --stride -1"),
    *((FAILED, f"gen-data video videos --out {place}.h5") for place in NO_PLACE),
    (USAGE, "gen-data kth --out x.h5"),
    *((FAILED, f"gen-data kth {name} --out x.h5") for name in ("none", "file", "kth", "videos")),
    (FAILED, KTH),
    *((FAILED, f"gen-data kth kth --out x.h5 --sequences {name}") for name in NO_LIST),
    (FAILED, f"{KTH} --train-persons 25 --on-error skip"),
    *((USAGE, f"{KTH} --split {name}") for name in ("persons", "oficial")),
    *((USAGE, f"{KTH} --clips {name}") for name in ("svg", "evry")),
    *((USAGE, f"{KTH} --train-persons {persons}") for persons in ("26", "0", "1-", "1,,2", "anna", "9-30")),
    (USAGE, f"{KTH} --train-persons 1 --test-persons 1"),
    (USAGE, f"{KTH} --val-persons 19"),
    (USAGE, f"{KTH} --size 64,64"),
    (USAGE, f"{KTH} --frames 0"),
    (USAGE, f"{KTH} --on-error ignore"),
    *((FAILED, f"{KTH.replace('x.h5', place)}.h5 --on-error skip") for place in NO_PLACE),
    (USAGE, "gen-data ssv2 videos --out x.h5"),
    (FAILED, "gen-data ssv2 none --labels labels --out x.h5"),
    *((FAILED, f"gen-data ssv2 videos --labels {name} --out x.h5") for name in ("none", "file", "videos")),
    *((FAILED, f"{SSV2} --classes {name}") for name in ("none", "rubbish.avi", "empty.avi", "folder.avi")),
    *((USAGE, f"{SSV2} --val {share}") for share in ("-1", "1.5", "some", "nan")),
    *((USAGE, f"{SSV2} --{wrong}") for wrong in ("frames 0", "size 0", "on-error ignore", "train -1")),
    (FAILED, SSV2),
    (USAGE, "gen-data piano-roll"),
    *((USAGE, f"{ROLLS} --{wrong}") for wrong in ("train -1", "val 0.1", "val -1", "test some", "seed -1")),
    (USAGE, f"{ROLLS} --train 0 --val 0 --test 0"),
    (USAGE, f"{ROLLS} --steps-per-beat 4"),
    (USAGE, f"{ROLLS} --on-error skip"),
    *((FAILED, f"gen-data piano-roll --train 1 --val 0 --test 0 --out {place}.h5") for place in NO_PLACE),
    *((FAILED, f"{ROLLS} {name}") for name in NO_ROLLS),
    (FAILED, f"{ROLLS} rubbish.mat --on-error skip"),
    (USAGE, f"{ROLLS} song.mid --on-error ignore"),
    (USAGE, f"{ROLLS} song.mid --train 3"),
    *((USAGE, f"{ROLLS} song.mid --val {share}") for share in ("-1", "1", "1.5", "some", "nan", "0.95")),
    (USAGE, f"{ROLLS} song.mid --steps-per-beat 0"),
    *((USAGE, f"{ROLLS} songs.json --{wrong}") for wrong in ("val 0.1", "seed 1", "steps-per-beat 0")),
    *((USAGE, f"{ROLLS} {name} --seed {2**64}") for name in ("", "song.mid")),
    (USAGE, f"{ROLLS} song.mid songs.json"),
    *((FAILED, f"gen-data piano-roll song.mid --out {place}.h5") for place in NO_PLACE),
    (USAGE, "convert clips.npy"),
    (USAGE, "convert clips.npy x.h5 --format hdf4"),
    (USAGE, "convert clips.npy x.h5 --split tset"),
    (USAGE, "convert clips.npy x.bin"),
    *((FAILED, f"convert {name} x.h5") for name in NO_CLIPS),
    *((FAILED, f"convert {name} x.npy") for name in NO_DATA),
    (FAILED, "convert long.h5 x.npy --split train"),
    *((FAILED, f"convert clips.npy {place}.h5") for place in NO_PLACE),
    *((FAILED, f"convert data.h5 {place}.npy") for place in NO_PLACE),
    (USAGE, "train"),
    (USAGE, "train vrn --preset tiny"),
    (USAGE, f"{TRAIN} --preset huge"),
    (USAGE, f"{TRAIN} --device tpu"),
    (USAGE, f"{TRAIN} --seed -1"),
    (USAGE, f"{TRAIN} --set train.batch"),
    (USAGE, f"{TRAIN} --set train.context=0"),
    (USAGE, f"{TRAIN} --set train.context=-1"),
    (USAGE, f"{TRAIN} --set train.batch=many"),
    (USAGE, f"{TRAIN} --set train.bacth=1"),
    *((USAGE, f"{TRAIN} --config {name}") for name in ("none.toml", "rubbish.toml", "folder.toml")),
    *((FAILED, f"{TRAIN} --data {name}") for name in NO_DATA),
    *((FAILED, f"{TRAIN} --run {place}") for place in ("file/x", "/proc/nowhere/x")),
    *((FAILED, f"train --resume {run}") for run in NO_RUN),
    (USAGE, "search"),
    (USAGE, "search vrea --out searched"),
    (USAGE, "search vrnn --out searched"),
    (USAGE, "search vosp --out searched --trials 0"),
    (USAGE, "search vosp --out searched --preset huge"),
    (USAGE, "search vosp --out searched --space none.toml"),
    (USAGE, "search vosp --out searched --set model.hiden=3"),
    (USAGE, "search vosp --out searched --set train.context=2"),
    (USAGE, "search vosp --out searched --workers -1"),
    (FAILED, "search vosp --out searched --data none.h5"),
    (FAILED, "search vosp --out rubbish.h5/below"),
    (USAGE, "rollout"),
    (FAILED, f"{ROLLOUT} --out x.gif --split tset --data data.h5"),
    (USAGE, f"{ROLLOUT} --out x.gif --device tpu"),
    (USAGE, f"{ROLLOUT} --out x.gif --horizon 0"),
    (USAGE, f"{ROLLOUT} --out x.mp9"),
    (FAILED, f"{ROLLOUT} --out x.gif --index 999"),
    (USAGE, f"{ROLLOUT} --out x.mid"),
    (USAGE, f"{ROLLOUT} --out x.gif --tempo 90"),
    (USAGE, f"{MUSIC} --out x.mid --samples 2"),
    (USAGE, f"{MUSIC} --out x.mid --count 2"),
    *((USAGE, f"{MUSIC} --out x.mid --tempo {tempo}") for tempo in ("0", "-9", "nan", "fast")),
    (USAGE, f"{MUSIC} --out x.png --every 2"),
    (FAILED, f"{MUSIC} --data data.h5 --out x.mid"),
    *((FAILED, f"{MUSIC} --out {place}.{kind}") for place in NO_PLACE for kind in ("mid", "png")),
    *((FAILED, f"{ROLLOUT} --out x.gif --video {name}") for name in NO_VIDEO),
    (FAILED, f"{ROLLOUT} --out x.gif --video videos/good.avi --context 13"),
    (FAILED, f"{ROLLOUT} --out x.gif --video videos/good.avi --index 1"),
    (USAGE, f"{ROLLOUT} --out x.gif --video videos/good.avi --video-from middle"),
    (USAGE, f"{ROLLOUT} --out x.gif --video videos/good.avi --data clips.npy"),
    (FAILED, f"{ROLLOUT} --out x.gif --data long.h5 --split train --context 13"),
    (FAILED, f"{ROLLOUT} --out x.gif --data long.h5"),
    *((FAILED, f"{ROLLOUT} --out {place}.mp4") for place in NO_PLACE),
    (FAILED, f"{TRAIN} --data long.h5"),
    (FAILED, f"{EVALUATE} --data long.h5 --split train --horizon 40"),
    *((FAILED, f"{ROLLOUT} --out x.gif --data {name}") for name in (*NO_DATA, *NO_CLIPS)),
    *((FAILED, f"{ROLLOUT} --out {place}.{kind}") for place in NO_PLACE for kind in ("gif", "h5", "npy")),
    *((FAILED, f"rollout {run} --out x.gif") for run in NO_RUN),
    (USAGE, "evaluate"),
    (USAGE, f"{EVALUATE} --frames one"),
    (USAGE, f"{EVALUATE} --frames 3"),
    (FAILED, f"{EVALUATE} --split tset --data data.h5"),
    (USAGE, f"{EVALUATE} --device tpu"),
    (USAGE, f"{EVALUATE} --batch 0"),
    (FAILED, f"{EVALUATE} --count 999"),
    *((FAILED, f"{EVALUATE} --data {name}") for name in (*NO_DATA, *NO_CLIPS)),
    *((FAILED, f"{EVALUATE} --{out} {place}.x") for out in ("json", "csv", "curve") for place in NO_PLACE),
    *((FAILED, f"{EVALUATE} --study {place}") for place in ("file/x", "file", "/proc/nowhere/x")),
    (USAGE, f"{EVALUATE} --conventions strict,tsrict"),
    (USAGE, f"{EVALUATE} --study x --split val"),
    (USAGE, "evaluate run run --device cpu"),
    (USAGE, f"{ROLLOUT} --out x.png --flow x.png"),
    (USAGE, f"{EVALUATE} --set model.hidden=9"),
    (USAGE, f"{ROLLOUT} --set model.decoding=sample"),
    (USAGE, f"{ROLLOUT} --out x.gif --flow flow.png"),
    *((FAILED, f"{EVALUATE} --lpips {name}") for name in NO_WEIGHTS),
    *((FAILED, f"evaluate {run}") for run in NO_RUN),
    (USAGE, "experiment"),
    (USAGE, "experiment digit-cuont run"),
    *((USAGE, f"experiment {name}") for name in EXPERIMENTS),
    *((USAGE, f"experiment {name} run --count 0") for name in EXPERIMENTS),
    *((USAGE, f"experiment {name} run --device tpu") for name in EXPERIMENTS),
    *((FAILED, f"experiment {name} none --device cpu") for name in EXPERIMENTS),
    *((FAILED, f"experiment {name} run --device cpu --out {place}") for name in (*MOVING, *WHOLE)
      for place in ("file/x", "file", "/proc/nowhere/x")),
    (FAILED, "experiment new-glyphs run --device cpu --glyphs none.npz"),
    (USAGE, "experiment new-glyphs run --device cpu --glyphs lettres"),
    (USAGE, "experiment latent run --device cpu"),
    (USAGE, "experiment diversity run --device cpu --samples 1"),
    (USAGE, "experiment digit-count run --device cpu --set model.hidden=9"),
    *((USAGE, f"experiment {name} run --device cpu") for name in WHOLE),
    *((USAGE, f"experiment {name} vosp --device cpu --seed -1") for name in WHOLE),
    *((FAILED, f"experiment {name} {run} --device cpu") for name in WHOLE for run in NO_RUN[:4]),
    *((FAILED, f"experiment {name} vosp --device cpu --data {file}") for name in WHOLE for file in NO_DATA),
    *((FAILED, f"experiment {name} vosp --device cpu --data clips.npy") for name in WHOLE),
    *((FAILED, f"experiment {name} vosp --device cpu --data rolls.h5") for name in WHOLE),
    *((FAILED, f"experiment {name} vosp --device cpu --split tset --data rolls.h5") for name in WHOLE[:-1]),
    *((FAILED, f"experiment {name} vosp --device cpu --count 99") for name in WHOLE[:-1]),
    (USAGE, "experiment likelihood vosp --device cpu --samples 0"),
    (USAGE, "experiment likelihood vosp --device cpu --published Bach"),
    *((USAGE, f"experiment denoise vosp --device cpu --rate {rate}") for rate in ("-1", "1.5", "nan", "no")),
    (USAGE, "experiment denoise vosp --device cpu --noise flop"),
    (USAGE, "experiment denoise fdrnn --device cpu"),
    (USAGE, "experiment impute fdrnn --device cpu"),
    (USAGE, "experiment impute vosp --device cpu --gap 0"),
    (FAILED, "experiment impute vosp --device cpu --gap 3"),
    (USAGE, "experiment impute vosp --device cpu --iterations 0"),
    (USAGE, "experiment synthesis vosp --device cpu --steps 0"),
    (USAGE, "bench"),
    (USAGE, "bench kernals"),
    (USAGE, "bench kernels --op conv"),
    (USAGE, "bench kernels --dtype int8"),
    (USAGE, "bench kernels --threads many"),
    (USAGE, "bench models --device tpu"),
    (USAGE, "bench models --threads -1"),
    (USAGE, "bench sampling --device tpu"),
    (USAGE, "bench data --json"),
    *((FAILED, f"bench kernels --{out} {place}.x") for out in ("json", "plot") for place in NO_PLACE),
    *((FAILED, f"bench {suite} --json {place}.x") for suite in SUITES for place in NO_PLACE),
    (USAGE, "import-weights"),
    (USAGE, "import-weights none.pt --run new"),
    (USAGE, f"{IMPORT} rubbish.npz --run new --size big"),
    (USAGE, f"{IMPORT} rubbish.npz --run new --from conv-tt-lsmt"),
    *((FAILED, f"{IMPORT} {name} --run new") for name in (*NO_DATA, *NO_WEIGHTS)),
    *((FAILED, f"{IMPORT} weights.pt --run {place}")
      for place in ("file/x", "file", "run", "/proc/nowhere/x")),
    (USAGE, "info --jsn x"),
    (USAGE, "info rn"),
    (USAGE, "info rnn --size 3x"),
    (USAGE, "info rnn --set model.hidden=0"),
    (USAGE, "info --size 64"),
    *((FAILED, f"info rnn --json {place}.x") for place in NO_PLACE),
    *((FAILED, f"info --json {place}.x") for place in NO_PLACE),
    (USAGE, "demo --uot x"),
    *((FAILED, f"demo --out {place}") for place in ("file/x", "file", "/proc/nowhere/x")),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_video):
    """A folder with a good and many bad files of every kind."""
    folder = tmp_path_factory.mktemp("mistakes")
    random = np.random.default_rng(0)
    np.save(folder / "clips.npy", random.integers(0, 256, (6, 3, 32, 32), np.uint8))
    np.save(folder / "words.npy", np.array(["a", "b"]))
    digits = random.integers(0, 256, (20, 28, 28), np.uint8)
    np.savez(folder / "digits.npz", images=digits, labels=np.arange(20, dtype=np.uint8) % 10)
    assert vidpred(["convert", str(folder / "clips.npy"), str(folder / "data.h5")]) == 0
    whole = make_video(folder / "videos" / "good.avi", random.integers(0, 256, (12, 16, 16), np.uint8))
    (folder / "half.avi").write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    assert vidpred(["gen-data", "video", str(folder / "videos"), "--out", str(folder / "long.h5")]) == 0
    (folder / "kth").mkdir()
    shutil.copy(whole, folder / "kth" / "person11_boxing_d1_uncomp.avi")
    (folder / "list.txt").write_text("person11_boxing_d1 frames 1-9, 10-13")  # which has only 12
    (folder / "labels").mkdir()
    item = {"id": "7", "label": "holding a cup", "template": "Holding [something]"}  # whose video is missing
    for name, content in (("labels", {"Holding something": "0"}), ("train", [item]), ("validation", [item])):
        (folder / "labels" / f"{name}.json").write_text(json.dumps(content))
    (folder / "songs.json").write_text(json.dumps({"train": [[[60]] * 6]}))
    (folder / "songs.pickle").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    write_midi(folder / "song.mid", np.ones((9, 88)))
    chorales = ["--train", "2", "--val", "1", "--test", "2", "--out", str(folder / "rolls.h5")]
    assert vidpred(["gen-data", "piano-roll", *chorales]) == 0
    for ending in ("h5", "npy", "npz", "toml", "avi", "mid", "mat", "json"):
        (folder / f"rubbish.{ending}").write_bytes(b"\x00\xffrubbish = [\n" * 20)
        (folder / f"empty.{ending}").touch()
        (folder / f"folder.{ending}").mkdir()
    for name in ("data.h5", "clips.npy", "song.mid"):
        whole = (folder / name).read_bytes()
        (folder / f"half{Path(name).suffix}").write_bytes(whole[: len(whole) // 2])
    network = {"layers.b0l0.conv": torch.nn.Conv2d(3, 8, 3), "layers.output": torch.nn.Conv2d(2, 1, 1)}
    weights = {
        f"{at}.{name}": value for at, conv in network.items() for name, value in conv.state_dict().items()
    }
    torch.save(weights, folder / "weights.pt")
    (folder / "rubbish-idx3-ubyte").write_bytes(b"rubbish")
    (folder / "file").touch()
    for place in (entry for entry in NO_PLACE if entry.startswith("folder")):
        for ending in ("", ".h5", ".npy", ".gif", ".mp4", ".mid", ".png", ".x"):
            (folder / f"{place}{ending}").mkdir()
    return folder


@pytest.fixture
def here(made, tmp_path, make_run, monkeypatch):
    """The working directory: a copy of those files, and runs that are whole and broken."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    run = make_run("here/run", "rnn", f"data.digits={folder / 'digits.npz'}")
    for model in ("vosp", "fdrnn"):
        make_run(f"here/{model}", model, f"data.digits={folder / 'digits.npz'}", "train.context=0")
    make_run("here/music", "convlstm", "model.patch=1", f"data.file={folder / 'rolls.h5'}")
    without, half, rubbish = (
        folder / f"run-{how}" for how in ("without-model", "with-half-a-model", "of-rubbish")
    )
    for broken in (without, half, rubbish):
        shutil.copytree(run, broken)
    shutil.rmtree(without / "checkpoints")
    (weights,) = half.glob("checkpoints/last/*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    (rubbish / "config.toml").write_bytes(b"\x00\xff = [\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VIDPRED_OFFLINE", "1")
    monkeypatch.setenv("VIDPRED_MALLOC", "system")
    monkeypatch.setattr(machine, "measure_peaks", lambda _: Peaks(10.0, 100.0))
    return folder


@pytest.mark.parametrize(("code", "command"), MISTAKES, ids=lambda value: str(value))
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(here, capsys, code, command):
    before = set(here.rglob("*"))
    assert vidpred(command.split()) == code
    error = capsys.readouterr().err
    if command not in ("bench", "experiment"):  # which shows its help
        lines = error.splitlines()
        assert len(lines) == 1, error
        assert lines[0].startswith("vidpred: ")
    assert "Traceback" not in error
    assert set(here.rglob("*")) == before


def test_every_command_is_among_the_mistakes():
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    for group in app.registered_groups:
        names |= {
            f"{group.name} {command.name or command.callback.__name__}"
            for command in group.typer_instance.registered_commands
        }
    tried = [command for _, command in MISTAKES]
    assert [name for name in names if not any(command.startswith(name) for command in tried)] == []
