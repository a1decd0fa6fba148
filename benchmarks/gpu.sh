#!/usr/bin/env bash
# shellcheck disable=SC2317  # the functions are called through step
# All that only a GPU can show: the CUDA tests, compute-sanitizer, benchmarks, and training when asked.
#
#   benchmarks/gpu.sh                 needs: python3 with torch for CUDA, nvcc; no network
#   TRAIN=1 benchmarks/gpu.sh         also trains vrnn and rnn at preset paper and evaluates both
#
#   OUT            where the results go, at most 8 files (build/gpu)
#   PYTHON         the interpreter to install into (python3)
#   WHEELS         a folder of wheels to install first, for what that interpreter lacks
#   TRAIN_OPTIONS  further options of `vidpred train`, such as --set train.minutes=8
#   VIDPRED_DIGITS the folder with the MNIST files, for training
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
out=$(mkdir -p "${OUT:-build/gpu}" && cd "${OUT:-build/gpu}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/logs"
failures=0

# step NAME COMMAND...: runs the command with a log of its own; the summary says how it ended.
step() {
    local name=$1 start=$SECONDS verdict=ok
    shift
    "$@" >"$work/logs/$name.log" 2>&1 || verdict=FAILED
    printf '%-7s %s (%d s)\n' "$verdict" "$name" $((SECONDS - start)) | tee -a "$out/summary.txt"
    if [ "$verdict" = FAILED ]; then
        tail -n 15 "$work/logs/$name.log"
        failures=$((failures + 1))
    fi
}

finish() {
    tar -czf "$out/logs.tar.gz" -C "$work" logs
    echo "results in $out"
    exit $((failures > 0))
}

install() {
    if [ -n "${WHEELS:-}" ]; then
        "$python" -m pip install --no-index --no-deps "$WHEELS"/*.whl || return
    fi
    "$python" -m pip install --no-index --no-build-isolation --no-deps -e . &&
        "$python" -c 'from vidpred import ops; assert ops.build_info()["cuda_architectures"], ops.build_info()'
}

cuda_tests() {
    "$python" -m pytest -q -m needs_cuda "$@"
}

# Each tensor gets an allocation of its own, so that a step beyond its end is seen.
sanitize() {
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$1" --error-exitcode 1 \
        "$python" -m pytest -q -m needs_cuda tests/ops -k "not compile and not stream and not graph"
}

train_and_evaluate() {
    local model=$1
    # shellcheck disable=SC2086  # several options in one variable
    "$python" -m vidpred train "$model" --preset paper --run "$work/runs/$model" ${TRAIN_OPTIONS:-} &&
        "$python" -m vidpred rollout "$work/runs/$model" --out "$work/runs/$model/rollout.gif" &&
        "$python" -m vidpred evaluate "$work/runs/$model" --json "$work/runs/$model/evaluation.json"
}

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    echo "gpu.sh: there is no GPU that torch in $python can use" >&2
    exit 1
fi
: >"$out/summary.txt"

step install install
# The kernels must run on torch's current stream: without that, nothing that follows means anything.
step streams cuda_tests tests/ops -k "stream or graph"
[ "$failures" = 0 ] || finish

step tests cuda_tests
step memcheck sanitize memcheck
step racecheck sanitize racecheck
step info "$python" -m vidpred info --json "$out/info.json"
step kernels "$python" -m vidpred bench kernels --device cuda --json "$out/kernels.json"
step kernels-cold "$python" -m vidpred bench kernels --device cuda --cold --json "$out/kernels-cold.json"
step models "$python" -m vidpred bench models --device cuda --json "$out/models.json"

if [ "${TRAIN:-0}" = 1 ]; then
    step train-vrnn train_and_evaluate vrnn
    step train-rnn train_and_evaluate rnn
    tar -czf "$out/training.tar.gz" --exclude=checkpoints -C "$work" runs
fi
finish
