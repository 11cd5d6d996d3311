#!/bin/bash
# What a machine with a GPU is for, in under eight minutes of it: all kernels against the reference,
# random calls, tensors beyond 2^31 elements, compute-sanitizer, the benchmark beside PyTorch and a
# copy, and ncu on the slowest kernels.
#
#   tests/gpu/on_device.sh [--emulated] [--library build/gpu_harness/gpu_harness.so]
#                          [--limit SECONDS] [PART...]
#
# It wants python3 with NumPy and ml_dtypes (with PyTorch for the benchmark), and the library that
# `TF_DWBP_CUDA_ARCHS=90 python tests/gpu/harness.py build` made, or else an nvcc to make it. Each
# part has a time limit of its own (--limit makes longer ones as short): one that hangs costs itself
# alone. PART is some of conformance, fuzz, large, sanitize, bench and ncu. Into $OUT (build/on_device
# unless set) go results.json, table.md, bench.json, bench_small.json, ncu.txt and log.txt.
#
# Parts that judge run at the same time, those that measure by themselves. --emulated runs what can
# be run on the CPU, in a minute of it, and says of the rest why not. Exit status: 0 if no part
# failed, 1 if one did.
set -uo pipefail
cd "$(dirname "$0")/../.."

emulated=() library=() parts=() most=600
usage() { echo "$0: $1; the head of it has what there is" >&2 && exit 2; }
while (($#)); do
  case $1 in
    --emulated) emulated=(--emulated) ;;
    --library)
      [[ -f ${2-} ]] || usage "--library is followed by '${2-}', which is no file"
      library=(--library "$2") && shift
      ;;
    --limit)
      [[ ${2-} =~ ^[1-9][0-9]*$ ]] || usage "--limit is followed by '${2-}', not by seconds"
      most=$2 && shift
      ;;
    conformance | fuzz | large | sanitize | bench | ncu) parts+=("$1") ;;
    *) usage "there is no part or option '$1'" ;;
  esac
  shift
done
((${#parts[@]})) || parts=(conformance fuzz large sanitize bench ncu)
python=${PYTHON:-python3}
OUT=${OUT:-build/on_device}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
mkdir -p "$OUT" || exit 2

wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }

# part NAME LIMIT COMMAND...: runs it for so many seconds at most, and keeps its status and output.
part() {
  local name=$1 limit=$(($2 < most ? $2 : most)) status=0 start=$SECONDS
  shift 2
  timeout --kill-after=5 "$limit" "$@" >"$work/$name.log" 2>&1 || status=$?
  echo "$status $((SECONDS - start)) $limit" >"$work/$name.status"
}
run() { # the same, of the harness
  local name=$1 limit=$2
  shift 2
  part "$name" "$limit" "$python" tests/gpu/harness.py "$@" "${emulated[@]}" "${library[@]}"
}
not_here() { echo "$2" >"$work/$1.not_here"; }

# Once, so that parts need not build it.
if ((${#library[@]} == 0)); then
  built=$(TF_DWBP_CUDA_ARCHS=${TF_DWBP_CUDA_ARCHS:-90} timeout 300 "$python" tests/gpu/harness.py \
    build "${emulated[@]}" 2>"$work/build.log" | tail -1)
  [[ -f $built ]] || { cat "$work/build.log" >&2 && echo "$0: no library: $built" >&2 && exit 1; }
  library=(--library "$built")
fi

if ((${#emulated[@]})); then
  ! wanted conformance || run conformance 300 conformance --quick --json "$work/conformance.json"
  ! wanted fuzz || run fuzz 300 fuzz --calls 60 --json "$work/fuzz.json"
  ! wanted large || run large 300 large --json "$work/large.json"
  # In compute-sanitizer's place.
  ! wanted sanitize || part sanitize 600 "$python" tests/gpu/harness.py fuzz --sanitized \
    --calls 40 --seed 2 --json "$work/sanitize.json"
  if ! wanted bench; then
    :
  elif "$python" -c "import torch" 2>/dev/null; then
    run bench 300 bench --shapes 14x14x512 --batch 1 --dtype float32
  else
    not_here bench "python3 has no PyTorch"
  fi
  ! wanted ncu || run ncu 300 profile forward:float:NHWC:b1:12x12x8m1:k3x3:s1x1:d1x1:SAME
else
  # The reference takes longer than the GPU: a process for each op and layout.
  if wanted conformance; then
    for op in forward input_grad filter_grad; do
      for layout in NHWC NCHW; do
        run "conformance_${op}_$layout" 150 conformance --op "$op" --layout "$layout" \
          --json "$work/conformance_${op}_$layout.json" &
      done
    done
  fi
  if wanted fuzz; then
    for seed in 1 2 3 4; do
      layers=()
      ((seed % 2)) || layers=(--layers)
      run "fuzz_$seed" 90 fuzz --seconds 60 --seed "$seed" "${layers[@]}" \
        --json "$work/fuzz_$seed.json" &
    done
  fi
  ! wanted large || run large 100 large --json "$work/large.json" &
  if wanted sanitize; then
    for tool in memcheck racecheck; do
      for layout in NHWC NCHW; do
        run "${tool}_$layout" 150 sanitize --tool "$tool" --layout "$layout" &
      done
    done
  fi
  wait
  if wanted bench; then
    run bench_small 30 bench --batch 1 --shapes 112x112x32 --op forward --dtype float32 \
      --json "$OUT/bench_small.json"
    run bench 200 bench --rounds 5 --seconds 160 --json "$OUT/bench.json"
  fi
  if wanted ncu; then
    if command -v ncu >/dev/null; then
      "$python" tests/gpu/on_device.py slowest "$OUT/bench.json" >"$work/slowest"
      number=0
      while read -r problem; do
        part "ncu_$((number++))" 30 ncu --clock-control none --launch-skip 1 --launch-count 1 \
          --kernel-name "regex:^(gather|filter_grad)_" \
          --section SpeedOfLight --section Occupancy --section MemoryWorkloadAnalysis \
          --section WarpStateStats --section LaunchStats \
          "$python" tests/gpu/harness.py profile "$problem" "${library[@]}"
      done <"$work/slowest"
      cat "$work"/ncu_*.log >"$OUT/ncu.txt" 2>/dev/null
    else
      not_here ncu "there is no ncu on PATH"
    fi
  fi
fi

tail -n +1 "$work"/*.log >"$OUT/log.txt" 2>/dev/null
"$python" tests/gpu/on_device.py report "$work" "$OUT"
