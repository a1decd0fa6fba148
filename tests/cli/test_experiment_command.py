import json

import pytest
from PIL import Image

from vidpred.cli.main import run as vidpred

SHORT = ["--count=2", "--context=2", "--device=cpu"]


@pytest.fixture
def run(make_run, tmp_path):
    import numpy as np

    images = np.zeros((20, 28, 28), np.uint8)
    images[:, 6:22, 10:18] = np.arange(100, 120, dtype=np.uint8)[:, None, None]
    np.savez(tmp_path / "glyphs.npz", images=images)
    return make_run("run", "vrnn", f"data.digits={tmp_path / 'glyphs.npz'}")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("digit-count", ["--horizon=2"]),
        ("new-glyphs", ["--horizon=2", "--glyphs=letters"]),
        ("diversity", ["--horizon=2", "--samples=2"]),
        ("out-of-domain", ["--horizon=2"]),
        ("latent", []),
    ],
)
def test_an_experiment_writes_table_numbers_and_pictures_into_the_run(run, capsys, name, options):
    assert vidpred(["experiment", name, str(run), *SHORT, *options]) == 0
    folder = run / "experiments" / name
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith(str(folder))
    assert (folder / "table.md").read_text().startswith("## ")
    content = json.loads((folder / "results.json").read_text())
    assert content["experiment"] == name
    assert content["sequences"] == 2
    pictures = list(folder.glob("*.png"))
    assert pictures
    for file in pictures:
        with Image.open(file) as picture:
            picture.verify()


def test_without_classes_of_glyphs_the_other_curves_are_measured(run, capsys):
    assert vidpred(["experiment", "long-term", str(run), *SHORT, "--horizon=2"]) == 0
    assert "No classifier: the digit source" in " ".join(capsys.readouterr().out.split())
    curves = json.loads((run / "experiments" / "long-term" / "results.json").read_text())["results"]["curves"]
    assert "confidence" not in curves["run"]
    assert len(curves["run"]["objects"]) == 2
