"""``vidpred rollout``: what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidpred.cli.options import Device, Seed, Usage
from vidpred.errors import ConfigError


def rollout(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="A data file, or a .npy or .npz file of clips; no ground truth is needed.",
            show_default="the data of the run",
        ),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            help="A video of your own (mp4, avi, webm, gif or a folder of pictures) to be continued."
        ),
    ] = None,
    video_from: Annotated[
        str,
        typer.Option(
            help="Which frames of the --video are given: those at its end, or at its start; then what really "
            "followed is shown too."
        ),
    ] = "end",
    split: Annotated[str, typer.Option(help="Split of the data file: train, val or test.")] = "test",
    index: Annotated[
        int,
        typer.Option(min=0, help="First sequence (window where a file's differ in length), counted from 0."),
    ] = 0,
    count: Annotated[int, typer.Option(min=1, help="Sequences.")] = 1,
    context: Annotated[
        int | None, typer.Option(min=1, help="Frames that are given.", show_default="eval.context of the run")
    ] = None,
    horizon: Annotated[int, typer.Option(min=1, help="Frames to predict.")] = 100,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="Predictions of each sequence.", show_default="5, or 1 for a .mid file"),
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="One prediction, of the mean at every step.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A .gif, .mp4, .png, .mid (of music), .h5 or .npy file. The notes of a .mid are drawn, "
            "unless the prediction is --deterministic.",
            show_default="RUN/rollout.gif, or .png of music",
        ),
    ] = None,
    flow: Annotated[
        Path | None,
        typer.Option(help="Also draw the flow that moves the first sequence, as PNG (flow_autoencoder)."),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(min=1, help="Shows every so many frames in a .png.", show_default="at most 16 columns"),
    ] = None,
    tempo: Annotated[
        float | None, typer.Option(help="Beats a minute of a .mid file.", show_default="120")
    ] = None,
    usage: Usage = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Let a trained model predict the future of some sequences, and draw it."""
    from vidpred.allocator import keep_freed_memory

    keep_freed_memory()

    from vidpred.data.midi import MIDI_ENDINGS, check_timing
    from vidpred.data.notes import ROLL_SHAPE
    from vidpred.device import find_device
    from vidpred.files import require_writable
    from vidpred.models.registry import model_class
    from vidpred.rollout import (
        TEMPO,
        check_format,
        check_music,
        draw_flow,
        roll_out_sequences,
        write_rollout,
    )
    from vidpred.runs import load_runs
    from vidpred.sequences import open_sequences, open_video, wants_labels

    [opened] = load_runs([run], usage or [])
    to_midi = out is not None and out.suffix.lower() in MIDI_ENDINGS
    if to_midi and not deterministic and "decoding" in model_class(opened.config.name).usage:
        # Means rarely reach 1/2, from where on a note sounds.
        [opened] = load_runs([run], ["model.decoding=sample", *(usage or [])])
    frame_shape = (opened.config.channels, *opened.config.size)
    out = out or run / f"rollout.{'png' if frame_shape == ROLL_SHAPE else 'gif'}"
    samples = samples or (1 if to_midi else 5)
    if data and video:
        raise ConfigError("--data and --video are both given: one of them says what to continue")
    if tempo is not None and not to_midi:
        raise ConfigError(f"--tempo is for a .mid file, got --out {out}")
    tempo = TEMPO if tempo is None else tempo
    check_format(out)
    check_music(out, frame_shape, count * samples, every)
    learnt_from = opened.config.data.file
    for output in (out, flow):
        if output:
            require_writable(output, [data, video, Path(learnt_from) if learnt_from else None])
    if flow and flow.resolve() == out.resolve():
        raise ConfigError(f"--out and --flow are the same file, {out}")
    model = opened.model.to(find_device(device))
    context = context or opened.config.eval.context
    if video:
        sequences = open_video(video, model, context, horizon, video_from)
    else:
        sequences = open_sequences(
            opened.config.data,
            data,
            split,
            length=context + horizon,
            least=context,
            with_labels=wants_labels(model),
        )
    if to_midi:
        check_timing(sequences.steps_per_beat, tempo)
    sequences.check_numbers(index, count)
    sequences.check_length(context)
    if flow:
        draw_flow(model, sequences, index, context, horizon, flow, every=every)
    result = roll_out_sequences(
        model,
        sequences,
        range(index, index + count),
        context,
        horizon,
        samples=samples,
        deterministic=deterministic,
        seed=seed,
    )
    settings = {
        "run": str(run),
        "model": opened.config.name,
        "preset": opened.config.preset,
        "source": sequences.source,
        "first_sequence": index,
        "sequences": count,
        "samples": len(result.predicted),
        "deterministic": deterministic,
        "context": context,
        "horizon": horizon,
    }
    write_rollout(
        result,
        out,
        every=every,
        steps_per_beat=sequences.steps_per_beat,
        tempo=tempo,
        settings=settings,
        seed=seed,
        sources=sequences.sha256,
    )
    typer.echo(
        f"{out}: {sequences.source}, sequences {index} to {index + count - 1}, context {context}, "
        f"horizon {horizon}, samples {len(result.predicted)}"
    )
