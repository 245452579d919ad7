#!/bin/sh
# SPDX-License-Identifier: MIT
# fuzz.sh FUZZER CORPUS SECONDS: replays the corpus, then looks for new inputs for so long. New ones are kept in a scratch
# folder only; FUZZ_KEEP=FOLDER keeps them. An input that breaks a rule is left in the folder of the build and named.
set -eu
fuzzer=$1 corpus=$2 seconds=$3
found=${FUZZ_KEEP:-$(mktemp -d)}
[ -n "${FUZZ_KEEP:-}" ] || trap 'rm -rf "$found"' EXIT
mkdir -p "$found"
"$fuzzer" -runs=0 "$corpus"
"$fuzzer" -max_total_time="$seconds" -max_len=2048 -len_control=0 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
    -artifact_prefix="$(dirname "$fuzzer")/" "$found" "$corpus"
