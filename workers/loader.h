/* SPDX-License-Identifier: MIT */
/* Finds, inspects and loads plugins. Every way to fail is a named check, with the path, the value and what to do. */
#ifndef RK_LOADER_H
#define RK_LOADER_H

#include <rask/plugin.h>
#include <stddef.h>
#include <stdint.h>

enum rk_load_check {
    RK_LOAD_OK = 0,
    RK_LOAD_FIND,     /* no such file, or not a regular readable file */
    RK_LOAD_ELF,      /* not an ELF shared object of this machine, or cut short */
    RK_LOAD_SYMBOL,   /* no data symbol `rask_plugin` */
    RK_LOAD_ABI,      /* another ABI number */
    RK_LOAD_DLOPEN,   /* the dynamic linker refused (text says why), or a constructor died */
    RK_LOAD_TABLE,    /* size, name, version, flags, method table, config keys */
    RK_LOAD_SETTINGS, /* --set names a key that the plugin does not declare, or is not KEY=VALUE */
    RK_LOAD_OPEN,     /* open() returned an error */
    RK_LOAD_CRASH,    /* died while loading or opening */
    RK_LOAD_HANG,     /* did not get ready within the start timeout */
    RK_LOAD_CANARY,   /* the request of --canary failed */
    RK_LOAD_LIMITS,   /* not the plugin: limits, user or sandbox that a worker cannot have */
    RK_LOAD_CHECK_COUNT
};

const char *rk_load_check_name(uint32_t check);

struct rk_load_error {
    uint32_t check;
    char text[448]; /* one line: what was wrong, with which value, what to do */
};

/** Turn what the user typed into a path: with a slash it is one; otherwise NAME.so or NAME is looked for in the folder
 * `plugins` beside the running binary, in the installed plugin folder, and beside the binary itself. 0, or -ENOENT with
 * the places in error->text. */
int rk_plugin_find(const char *name, char *path, size_t path_bytes, struct rk_load_error *error);

/** Look into the file without running any of its code (libelf): regular file, ELF, machine, complete, symbol, ABI. 0 or -ENOEXEC. */
int rk_plugin_inspect(const char *path, struct rk_load_error *error);

/** Open it, if it is a regular file. The descriptor, or -ENOEXEC. */
int rk_plugin_open(const char *path, struct rk_load_error *error);

/** The same for a copy that is open already; `path` is for messages. The descriptor stays the caller's. */
int rk_plugin_inspect_copy(const char *path, int fd, struct rk_load_error *error);

/** inspect, dlopen (RTLD_NOW|RTLD_LOCAL), check the tables and the settings. 0 or -ENOEXEC. *out lives until exit. */
int rk_plugin_load(const char *path, const char *const *settings, const struct rask_plugin **out,
                   struct rk_load_error *error);

/** The same from a copy: libraries that the file wants from its own folder ($ORIGIN) are taken from the folder of `path`, and to
 * debuggers and dladdr() it is the file at `path`. */
int rk_plugin_load_copy(const char *path, int fd, const char *const *settings, const struct rask_plugin **out,
                        struct rk_load_error *error);

#endif
