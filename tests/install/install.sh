#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh BUILD_DIR PREFIX LIBDIR SOURCE_DIR: installs into a scratch DESTDIR, then does there what a user does who
# has only the installed files: builds the README's handler and client with pkg-config, runs both, and loads a plugin
# that was put into `plugindir`.
set -eu
build=$1 prefix=$2 libdir=$3 source=$4
dest=$(mktemp -d /tmp/rask-install.XXXXXX)
supervisor=
clean_up() {
    if [ -n "$supervisor" ]; then kill -TERM "$supervisor" 2>/dev/null || true; fi
    rm -rf "$dest"
}
trap clean_up EXIT
fail() { echo "install: $*" >&2; exit 1; }

meson install -C "$build" --no-rebuild --quiet --destdir "$dest"

for file in bin/rask bin/svgcast "$libdir/rask/plugins/svgcast.so" include/rask/rask.h include/rask/client.h include/rask/plugin.h \
    include/rask/status.h include/rask/limits.h include/rask/version.h include/rask/uring.h \
    include/rask/stream.h include/rask/upcall.h include/rask/lease.h include/rask/ext/stream.h include/rask/ext/upcall.h include/rask/ext/lease.h \
    "$libdir/librask.so" "$libdir/librask.so.0" "$libdir/librask.a" \
    "$libdir/pkgconfig/rask.pc" "$libdir/pkgconfig/rask-plugin.pc" "$libdir/rask/plugins/echo.so"; do
    [ -e "$dest$prefix/$file" ] || fail "$prefix/$file is not installed"
done

python3 "$source/tests/install/exports.py" "$dest$prefix/$libdir/librask.so" \
    "$dest$prefix/include/rask/client.h" "$dest$prefix/include/rask/status.h" "$dest$prefix/include/rask/uring.h" \
    "$dest$prefix/include/rask/stream.h" "$dest$prefix/include/rask/upcall.h" "$dest$prefix/include/rask/lease.h"

export PATH="$dest$prefix/bin:$PATH"
export PKG_CONFIG_PATH="$dest$prefix/$libdir/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$dest"
export LD_LIBRARY_PATH="$dest$prefix/$libdir"
unset RASK_BIN RASK_TEST_PLUGINS
mkdir "$dest/user" "$dest/run"
chmod 700 "$dest/run"
cd "$dest/user"
rask --version | grep -q '^rask ' || fail "the installed program does not run"
[ "$(rask call --plugin echo echo 'by name')" = 'by name' ] || fail "the installed plugin echo is not found by its name"

# The handler and the client, with exactly the README's words and commands.
python3 "$source/tests/install/readme.py" block "$source" shout.c >shout.c
python3 "$source/tests/install/readme.py" block "$source" ask.c >ask.c
sh -eu -c "$(python3 "$source/tests/install/readme.py" command "$source" 'cc -shared')"
sh -eu -c "$(python3 "$source/tests/install/readme.py" command "$source" 'cc ask.c')"
[ "$(rask call --plugin ./shout.so shout hello)" = HELLO ] || fail "the README's handler answers something else"


# The guide's example: state and configuration.
cc -shared -fPIC $(pkg-config --cflags rask-plugin) "$source/workers/examples/greeter.c" -o greeter.so
[ "$(rask call --plugin ./greeter.so --set greeting=hej greet rask)" = "hej, rask" ] || fail "greeter answers something else"

# svgcast finds the supervisor beside it, and its plugin.
"$build/workers/svgcast-sample" --frames 3 frames | svgcast -o frames.svg || fail "the installed svgcast does not run"
grep -q 'image/png' frames.svg || fail "the installed svgcast writes no picture"

socket=$dest/run/default.sock
rask run --plugin ./shout.so --socket "$socket" >ready &
supervisor=$!
tries=200
until [ -s ready ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || fail "the installed supervisor was not ready within 10 s"
    sleep 0.05
done
[ "$(cat ready)" = "ready $socket" ] || fail "unexpected ready line: $(cat ready)"
[ "$(rask call --socket "$socket" shout again)" = AGAIN ] || fail "a call to the installed supervisor failed"
[ "$(./ask "$socket")" = HELLO ] || fail "the README's client prints something else"
cc ask.c $(pkg-config --cflags rask) "$dest$prefix/$libdir/librask.a" -luring -pthread -o ask_static
[ "$(./ask_static "$socket")" = HELLO ] || fail "the client linked with librask.a prints something else"
kill -TERM "$supervisor"
wait "$supervisor" || fail "the installed supervisor ended with exit code $?"
supervisor=

plugins=$(PKG_CONFIG_SYSROOT_DIR="" pkg-config --variable=plugindir rask-plugin)
[ "$plugins" = "$prefix/$libdir/rask/plugins" ] || fail "plugindir is $plugins"
echo "installed, built outside the tree and run"
