#!/bin/sh
# SPDX-License-Identifier: MIT
# cxx_client.sh gcc|clang INCLUDE_DIR SOURCE: what a client writes compiles as C++17 without a warning.
set -eu
compiler=$1 include=$2 source=$3
case $compiler in
    gcc) cxx=g++ shadow=-Wshadow=local ;; # not: functions with the names of structs
    clang) cxx=clang++ shadow=-Wshadow ;;
    *) echo "unknown compiler: $compiler" >&2; exit 64 ;;
esac
command -v "$cxx" >/dev/null || { echo "$cxx is not installed"; exit 77; }
"$cxx" -std=c++17 -Wall -Wextra -Wpedantic -Wold-style-cast "$shadow" -Werror -I "$include" -fsyntax-only "$source"
