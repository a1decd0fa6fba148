#!/usr/bin/env bash
# All that only a GPU can show, into one folder: the CUDA tests, compute-sanitizer, benchmarks, training.
#
#   benchmarks/gpu.sh                          needs: python3 with torch for CUDA, nvcc, a C++ compiler; no network
#   STEPS="install tests" benchmarks/gpu.sh    only these of: install tests sanitize bench train
#
#   STEPS          what to do, in this order (install tests sanitize bench)
#   LIMIT          seconds for everything; what has no time left is skipped (570)
#   OUT            where the results go, at most 8 files (build/gpu)
#   PYTHON         the interpreter to install into (python3)
#   WHEELS         a folder of wheels to install first, for what that interpreter lacks
#   SANITIZERS     tools of compute-sanitizer (memcheck racecheck synccheck; initcheck also sees torch's own kernels)
#   SANITIZE_ONLY  which CUDA tests run under them, as pytest's -k understands it
#   BENCH_OPTIONS  further options of `vidpred bench kernels`, such as --quick
#   TRAIN_MODELS   what the step `train` trains at preset paper and evaluates (vrnn rnn)
#   TRAIN_OPTIONS  further options of `vidpred train`, such as --set train.minutes=3
#   VIDPRED_DIGITS the folder with the MNIST files, for training
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
read -ra steps <<<"${STEPS:-install tests sanitize bench}"
for wanted in "${steps[@]}"; do
    case $wanted in
        install | tests | sanitize | bench | train) ;;
        *) echo "gpu.sh: unknown step '$wanted' (choices: install, tests, sanitize, bench, train)" >&2 && exit 2 ;;
    esac
done
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    echo "gpu.sh: there is no GPU that torch in $python can use" >&2
    exit 1
fi

limit=${LIMIT:-570}
out=$(mkdir -p "${OUT:-build/gpu}" && cd "${OUT:-build/gpu}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/logs"
: >"$out/summary.txt"
failures=0

# step NAME SECONDS COMMAND...: runs the command with a log of its own, interrupts it after so many seconds or
# when the time for everything is over, and says in the summary how it ended.
step() {
    local name=$1 seconds=$2 start=$SECONDS status=0 verdict=ok
    shift 2
    seconds=$((seconds < limit - SECONDS ? seconds : limit - SECONDS))
    if ((seconds <= 0)); then
        verdict='NO TIME'
    else
        timeout --signal=INT --kill-after=15 "$seconds" "$@" >"$work/logs/$name.log" 2>&1 || status=$?
        case $status in
            0) ;;
            124 | 137) verdict='TIMED OUT' ;;
            *) verdict=FAILED ;;
        esac
        grep -qs 'Device not supported' "$work/logs/$name.log" && verdict='NOT HERE' # by compute-sanitizer
    fi
    printf '%-9s %s (%d s)\n' "$verdict" "$name" $((SECONDS - start)) | tee -a "$out/summary.txt"
    if [ "$verdict" != ok ]; then
        failures=$((failures + 1))
        tail -n 15 "$work/logs/$name.log" 2>/dev/null || true
    fi
}

has() {
    [[ " ${steps[*]} " == *" $1 "* ]]
}

finish() {
    tar -czf "$out/logs.tar.gz" -C "$work" logs
    echo "results in $out"
    exit $((failures > 0))
}

# The kernels for the GPU that is here alone: two architectures would take twice the time.
install_all() {
    local architecture
    architecture=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())')
    if [ -n "${WHEELS:-}" ]; then
        step wheels 90 "$python" -m pip install --no-index --no-deps "$WHEELS"/*.whl
    fi
    step build 270 env VIDPRED_CUDA_ARCH="$architecture" \
        "$python" -m pip install --no-index --no-build-isolation --no-deps -e .
    step kernels-are-there 60 "$python" -c \
        'from vidpred import ops; assert ops.build_info()["cuda_architectures"], ops.build_info()'
}

cuda_tests() {
    local name=$1 seconds=$2
    shift 2
    step "$name" "$seconds" "$python" -m pytest -q -p no:cacheprovider -m "needs_cuda and not slow" "$@"
}

# Each tensor gets an allocation of its own, so that a step beyond its end is seen.
sanitize() {
    local only='float32 and not compile and not stream and not graph and not gradcheck and not opcheck'
    step "$1" 90 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$1" --error-exitcode 1 \
        "$python" -m pytest -v -p no:cacheprovider -m "needs_cuda and not slow" tests/ops -k "${SANITIZE_ONLY:-$only}"
}

bench() {
    local suite=$1 seconds=$2
    shift 2
    step "bench-$suite" "$seconds" "$python" -m vidpred bench "$suite" --device cuda --json "$out/$suite.json" "$@"
}

train_and_evaluate() {
    local model=$1 run=$work/runs/$1
    # shellcheck disable=SC2086  # several options in one variable
    step "train-$model" 540 "$python" -m vidpred train "$model" --preset paper --run "$run" ${TRAIN_OPTIONS:-}
    step "rollout-$model" 60 "$python" -m vidpred rollout "$run" --out "$run/rollout.gif"
    step "evaluate-$model" 120 "$python" -m vidpred evaluate "$run" --json "$run/evaluation.json"
}

if has install; then
    install_all
    [ "$failures" = 0 ] || finish
fi
if has tests; then
    # The kernels must run on torch's current stream: without that, nothing that follows means anything.
    cuda_tests streams 60 tests/ops -k "stream or graph"
    [ "$failures" = 0 ] || finish
    cuda_tests tests 180
fi
if has bench; then
    step info 60 "$python" -m vidpred info --json "$out/info.json"
    # shellcheck disable=SC2086  # several options in one variable
    bench kernels 200 --plot "$out/kernels.png" ${BENCH_OPTIONS:-}
    bench models 100
    if "$python" -m vidpred bench --help 2>/dev/null | grep -q sampling; then
        bench sampling 90
    fi
fi
if has sanitize; then
    for tool in ${SANITIZERS:-memcheck racecheck synccheck}; do
        sanitize "$tool"
    done
fi
if has train; then
    for model in ${TRAIN_MODELS:-vrnn rnn}; do
        train_and_evaluate "$model"
    done
    mkdir -p "$work/runs"
    tar -czf "$out/training.tar.gz" --exclude=checkpoints -C "$work" runs
fi
finish
