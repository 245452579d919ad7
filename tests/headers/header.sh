#!/bin/sh
# SPDX-License-Identifier: MIT
# header.sh gcc|clang INCLUDE_DIR HEADER: the header compiles alone, twice in a row, as C11 and as C++17, without a warning.
set -eu
compiler=$1 include=$2 header=$3
case $compiler in
    gcc) cxx=g++ ;;
    clang) cxx=clang++ ;;
    *) echo "unknown compiler: $compiler" >&2; exit 64 ;;
esac
for tool in "$compiler" "$cxx"; do
    command -v "$tool" >/dev/null || { echo "$tool is not installed"; exit 77; }
done
warnings="-Wall -Wextra -Wpedantic -Wundef -Werror"
text="#include <$header>
#include <$header>"
printf '%s\n' "$text" | "$compiler" -std=c11 $warnings -Wstrict-prototypes -I "$include" -fsyntax-only -x c -
printf '%s\n' "$text" | "$cxx" -std=c++17 $warnings -I "$include" -fsyntax-only -x c++ -
