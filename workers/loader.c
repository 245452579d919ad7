/* SPDX-License-Identifier: MIT */
/* Finding a plugin's file, dlopen, and checks of the tables inside. What can be known without running the plugin's code
 * is known before (inspect.c). The tables are the plugin's own data: they are read with bounds, so that a plugin that
 * forgot a terminator or a pointer gets a sentence instead of a crash where that is possible. */
#include "loader.h"
#include "loader_error.h"
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <rask/limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where `meson install` puts plugins; set by the build. */
#ifndef RASK_PLUGIN_DIR
#define RASK_PLUGIN_DIR "/usr/local/lib/rask/plugins"
#endif
/* The same folder seen from the installed program: right also where the whole installation was moved (DESTDIR). */
#ifndef RASK_PLUGIN_DIR_FROM_PROGRAM
#define RASK_PLUGIN_DIR_FROM_PROGRAM "../lib/rask/plugins"
#endif

#define CONFIG_KEYS_MAX 256u
#define CONFIG_KEY_BYTES_MAX 63u
#define FLAGS_KNOWN RASK_PLUGIN_SHARED_REQUEST
#define PATH_BYTES 4096u

static const char *const check_names[RK_LOAD_CHECK_COUNT] = {
    [RK_LOAD_OK] = "ok",         [RK_LOAD_FIND] = "find",   [RK_LOAD_ELF] = "elf",     [RK_LOAD_SYMBOL] = "symbol",
    [RK_LOAD_ABI] = "abi",       [RK_LOAD_DLOPEN] = "load", [RK_LOAD_TABLE] = "table", [RK_LOAD_SETTINGS] = "settings",
    [RK_LOAD_OPEN] = "open",     [RK_LOAD_CRASH] = "crash", [RK_LOAD_HANG] = "hang",   [RK_LOAD_CANARY] = "canary",
    [RK_LOAD_LIMITS] = "limits",
};

const char *rk_load_check_name(uint32_t check)
{
    return check < RK_LOAD_CHECK_COUNT ? check_names[check] : "unknown";
}

/* Folder of the running binary, without the slash; empty when /proc cannot tell. */
static void own_folder(char *folder, size_t bytes)
{
    ssize_t length = readlink("/proc/self/exe", folder, bytes - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
}

static bool is_file(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

/* folder/NAME.so, then folder/NAME: beside an installed program stand others with names like echo and sleep. */
static bool find_in(const char *folder, const char *name, char *path, size_t path_bytes)
{
    static const char *const endings[] = {".so", ""};
    for (size_t i = 0; i < 2; i++) {
        int length = snprintf(path, path_bytes, "%s/%s%s", folder, name, endings[i]);
        if (length > 0 && (size_t)length < path_bytes && is_file(path)) return true;
    }
    return false;
}

static int find_path(const char *name, char *path, size_t path_bytes, struct rk_load_error *error)
{
    if (snprintf(path, path_bytes, "%s", name) >= (int)path_bytes) {
        rk_load_refuse(error, RK_LOAD_FIND, "the plugin's path is longer than %zu bytes", path_bytes - 1);
        return -ENOENT;
    }
    if (access(path, F_OK) == 0) return 0;
    rk_load_refuse(error, RK_LOAD_FIND, "plugin %s: %s; build it first, or correct the path", name, strerror(errno));
    return -ENOENT;
}

int rk_plugin_find(const char *name, char *path, size_t path_bytes, struct rk_load_error *error)
{
    if (strchr(name, '/')) return find_path(name, path, path_bytes, error);
    char own[PATH_BYTES], beside[PATH_BYTES + 16], moved[PATH_BYTES + sizeof(RASK_PLUGIN_DIR_FROM_PROGRAM)];
    own_folder(own, sizeof(own));
    snprintf(beside, sizeof(beside), "%s/plugins", own);
    snprintf(moved, sizeof(moved), "%s/%s", own, RASK_PLUGIN_DIR_FROM_PROGRAM);
    const char *const folders[] = {beside, moved, RASK_PLUGIN_DIR, own};
    for (size_t i = 0; name[0] != '\0' && i < sizeof(folders) / sizeof(folders[0]); i++)
        if (find_in(folders[i], name, path, path_bytes)) return 0;
    rk_load_refuse(
        error, RK_LOAD_FIND,
        "no plugin named \"%s\": looked for %s and %s.so in %s, %s and %s; for a file elsewhere give its path "
        "with a slash (./%s)",
        name, name, name, beside, RASK_PLUGIN_DIR, own, name);
    return -ENOENT;
}

static bool is_word(const char *text, size_t bytes_max)
{
    size_t length = strnlen(text, bytes_max + 1);
    if (length == 0 || length > bytes_max) return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-') return false;
    }
    return true;
}

static bool fits(const char *text, size_t bytes_max)
{
    return text && strnlen(text, bytes_max + 1) <= bytes_max;
}

#define REFUSE_TABLE(...) rk_load_refuse(error, RK_LOAD_TABLE, __VA_ARGS__)

static int check_head(const char *path, const struct rask_plugin *plugin, struct rk_load_error *error)
{
    if (plugin->abi != RASK_PLUGIN_ABI)
        return rk_load_refuse(error, RK_LOAD_ABI, "plugin %s: ABI %u once loaded, this rask has %u: rebuild it", path,
                              plugin->abi, RASK_PLUGIN_ABI);
    if (plugin->size != sizeof(*plugin))
        return REFUSE_TABLE("plugin %s: rask_plugin.size is %u instead of %zu: set it to sizeof(struct rask_plugin)",
                            path, plugin->size, sizeof(*plugin));
    if (plugin->flags & ~FLAGS_KNOWN)
        return REFUSE_TABLE("plugin %s: unknown plugin flags %#x: this rask knows %#x", path,
                            plugin->flags & ~FLAGS_KNOWN, FLAGS_KNOWN);
    if (!fits(plugin->name, RASK_PLUGIN_NAME_BYTES_MAX) || plugin->name[0] == '\0')
        return REFUSE_TABLE("plugin %s: its name must have 1 to %u bytes", path, RASK_PLUGIN_NAME_BYTES_MAX);
    if (!fits(plugin->version, RASK_PLUGIN_VERSION_BYTES_MAX))
        return REFUSE_TABLE("plugin %s: its version must be a string of at most %u bytes", path,
                            RASK_PLUGIN_VERSION_BYTES_MAX);
    if (!plugin->methods || plugin->method_count == 0)
        return REFUSE_TABLE("plugin %s: it has no methods (method_count %u, methods %s): give it at least one", path,
                            plugin->method_count, plugin->methods ? "set" : "NULL");
    if (plugin->method_count > RASK_METHODS_MAX)
        return REFUSE_TABLE("plugin %s: method_count %u is over the limit of %u", path, plugin->method_count,
                            RASK_METHODS_MAX);
    return 0;
}

static int check_method(const char *path, const struct rask_plugin *plugin, uint32_t index, struct rk_load_error *error)
{
    const struct rask_method *method = &plugin->methods[index];
    if (!method->name) return REFUSE_TABLE("plugin %s: method %u has no name", path, index);
    if (!is_word(method->name, RASK_METHOD_NAME_BYTES_MAX))
        return REFUSE_TABLE("plugin %s: method %u is named \"%.*s\": use 1 to %u bytes of [A-Za-z0-9._-]", path, index,
                            (int)RASK_METHOD_NAME_BYTES_MAX, method->name, RASK_METHOD_NAME_BYTES_MAX);
    if (!method->handle) return REFUSE_TABLE("plugin %s: method %s has no handler (NULL)", path, method->name);
    if (method->flags != 0)
        return REFUSE_TABLE("plugin %s: method %s has flags %#x: must be 0", path, method->name, method->flags);
    if (method->summary && !fits(method->summary, RASK_METHOD_SUMMARY_BYTES_MAX))
        return REFUSE_TABLE("plugin %s: the summary of method %s is longer than %u bytes", path, method->name,
                            RASK_METHOD_SUMMARY_BYTES_MAX);
    for (uint32_t other = 0; other < index; other++)
        if (strcmp(plugin->methods[other].name, method->name) == 0)
            return REFUSE_TABLE("plugin %s: methods %u and %u are both named %s", path, other, index, method->name);
    return 0;
}

static int check_keys(const char *path, const struct rask_plugin *plugin, struct rk_load_error *error)
{
    for (uint32_t i = 0; plugin->config_keys && plugin->config_keys[i]; i++) {
        if (i == CONFIG_KEYS_MAX)
            return REFUSE_TABLE("plugin %s: config_keys has over %u entries: is its NULL at the end missing?", path,
                                CONFIG_KEYS_MAX);
        if (!is_word(plugin->config_keys[i], CONFIG_KEY_BYTES_MAX))
            return REFUSE_TABLE("plugin %s: config key %u must have 1 to %u bytes of [A-Za-z0-9._-]", path, i,
                                CONFIG_KEY_BYTES_MAX);
    }
    return 0;
}

static bool declares(const struct rask_plugin *plugin, const char *setting, size_t key_bytes)
{
    for (const char *const *key = plugin->config_keys; key && *key; key++)
        if (strlen(*key) == key_bytes && strncmp(*key, setting, key_bytes) == 0) return true;
    return false;
}

/* The keys as "a, b, c", cut when there is no more room. */
static const char *list_keys(const struct rask_plugin *plugin, char *text, size_t bytes)
{
    size_t used = 0;
    snprintf(text, bytes, "none");
    for (const char *const *key = plugin->config_keys; key && *key; key++) {
        int length = snprintf(text + used, bytes - used, "%s%s", used ? ", " : "", *key);
        if (length < 0 || (size_t)length >= bytes - used) break;
        used += (size_t)length;
    }
    return text;
}

static int check_settings(const char *path, const struct rask_plugin *plugin, const char *const *settings,
                          struct rk_load_error *error)
{
    char keys[256];
    for (; settings && *settings; settings++) {
        const char *equals = strchr(*settings, '=');
        if (!equals || equals == *settings)
            return rk_load_refuse(error, RK_LOAD_SETTINGS, "--set \"%.64s\" is not KEY=VALUE", *settings);
        int key_bytes = equals - *settings > 64 ? 64 : (int)(equals - *settings);
        if (!declares(plugin, *settings, (size_t)(equals - *settings)))
            return rk_load_refuse(error, RK_LOAD_SETTINGS, "--set %.*s: plugin %.100s has no such key; it knows: %s",
                                  key_bytes, *settings, path, list_keys(plugin, keys, sizeof(keys)));
    }
    return 0;
}

static int check_tables(const char *path, const struct rask_plugin *plugin, const char *const *settings,
                        struct rk_load_error *error)
{
    int result = check_head(path, plugin, error);
    for (uint32_t i = 0; result == 0 && i < plugin->method_count; i++) result = check_method(path, plugin, i, error);
    if (result == 0) result = check_keys(path, plugin, error);
    return result == 0 ? check_settings(path, plugin, settings, error) : result;
}

static int check_loaded(void *handle, const char *path, const char *const *settings, const struct rask_plugin **out,
                        struct rk_load_error *error)
{
    if (!handle)
        return rk_load_refuse(error, RK_LOAD_DLOPEN, "plugin %s does not load: %s; link it with what is missing", path,
                              dlerror());
    const struct rask_plugin *plugin = dlsym(handle, "rask_plugin");
    if (!plugin)
        return rk_load_refuse(error, RK_LOAD_SYMBOL, "plugin %s: the linker does not find rask_plugin: %s", path,
                              dlerror());
    int result = check_tables(path, plugin, settings, error);
    if (result == 0) *out = plugin;
    return result;
}

int rk_plugin_load(const char *path, const char *const *settings, const struct rask_plugin **out,
                   struct rk_load_error *error)
{
    *out = NULL;
    int result = rk_plugin_inspect(path, error);
    if (result < 0) return result;
    /* Without a slash dlopen would search the library path instead of opening the file that was inspected. */
    char here[PATH_BYTES];
    snprintf(here, sizeof(here), "%s%s", strchr(path, '/') ? "" : "./", path);
    return check_loaded(dlopen(here, RTLD_NOW | RTLD_LOCAL), path, settings, out, error);
}

/* What debuggers and dladdr() read: the copy's own name is a descriptor's and means nothing elsewhere. The old one is kept
 * reachable for leak checkers; neither is ever freed, plugins stay loaded. */
static void rename_loaded(void *handle, const char *path)
{
    static char *linkers_own;
    struct link_map *map = handle;
    char *name = realpath(path, NULL);
    if (!map || !name) return;
    linkers_own = map->l_name;
    map->l_name = name;
    (void)linkers_own;
}

int rk_plugin_load_copy(const char *path, int fd, const char *const *settings, const struct rask_plugin **out,
                        struct rk_load_error *error)
{
    *out = NULL;
    struct rk_origin origin = {.count = 0};
    int result = rk_plugin_inspect_copy(path, fd, error);
    if (result == 0) result = rk_origin_open(&origin, path, fd, error);
    if (result == 0) {
        char name[64];
        snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        rename_loaded(handle, path);
        result = check_loaded(handle, path, settings, out, error);
    }
    rk_origin_close(&origin);
    return result;
}
