#!/bin/sh
# SPDX-License-Identifier: MIT
# cxx_plugin.sh gcc|clang INCLUDE_DIR SOURCE: a C++17 plugin builds without a warning, exports the data symbol
# `rask_plugin`, and works when a worker loads it.
set -eu
compiler=$1 include=$2 source=$3
case $compiler in
    gcc) cxx=g++ ;;
    clang) cxx=clang++ ;;
    *) echo "unknown compiler: $compiler" >&2; exit 64 ;;
esac
command -v "$cxx" >/dev/null || { echo "$cxx is not installed"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$cxx" -std=c++17 -Wall -Wextra -Wpedantic -Werror -fvisibility=hidden -shared -fPIC -I "$include" "$source" -o "$dir/reverse.so"
nm -D --defined-only "$dir/reverse.so" | grep -q ' [DR] rask_plugin$' || {
    echo "reverse.so exports no data symbol rask_plugin:" >&2
    nm -D --defined-only "$dir/reverse.so" >&2
    exit 1
}
[ "$("$RASK_BIN" call --plugin "$dir/reverse.so" reverse stressed)" = desserts ]
