/* SPDX-License-Identifier: MIT */
/* Libraries beside the plugin. A plugin is loaded from a copy in memory, so the linker would resolve $ORIGIN in its
 * RPATH or RUNPATH to nowhere. They are opened here first, from the folder of the original; the linker then finds each
 * of them already loaded under the name that the plugin wants. */
#include "loader_error.h"
#include <dlfcn.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEEDED_MAX (sizeof(((struct rk_origin *)NULL)->library) / sizeof(struct link_map *))

/* What the dynamic section says; the strings are libelf's. */
struct wanted {
    Elf *elf;
    const char *search; /* RUNPATH, or else RPATH */
    const char *needed[NEEDED_MAX];
    unsigned count;
};

static void note_entry(struct wanted *wanted, size_t strings, const GElf_Dyn *entry)
{
    const char *text = elf_strptr(wanted->elf, strings, entry->d_un.d_val);
    if (!text) return;
    if (entry->d_tag == DT_NEEDED && wanted->count < NEEDED_MAX && !strchr(text, '/'))
        wanted->needed[wanted->count++] = text;
    if (entry->d_tag == DT_RUNPATH || (entry->d_tag == DT_RPATH && !wanted->search)) wanted->search = text;
}

static void read_dynamic(struct wanted *wanted)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(wanted->elf, section)) != NULL) {
        GElf_Shdr facts;
        if (!gelf_getshdr(section, &facts) || facts.sh_type != SHT_DYNAMIC || facts.sh_entsize == 0) continue;
        Elf_Data *data = elf_getdata(section, NULL);
        for (size_t i = 0; data && i < data->d_size / facts.sh_entsize; i++) {
            GElf_Dyn entry;
            if (gelf_getdyn(data, (int)i, &entry)) note_entry(wanted, facts.sh_link, &entry);
        }
    }
}

/* One folder of the search path, if it begins with $ORIGIN: the rest behind it, else NULL. */
static const char *behind_origin(const char *folder)
{
    static const char *const words[] = {"$ORIGIN", "${ORIGIN}"};
    for (unsigned i = 0; i < 2; i++)
        if (strncmp(folder, words[i], strlen(words[i])) == 0) return folder + strlen(words[i]);
    return NULL;
}

/* Path of a needed library below $ORIGIN. */
static bool find_library(const struct wanted *wanted, const char *origin, const char *name, char *path, size_t bytes)
{
    for (const char *folder = wanted->search; folder; folder = strchr(folder, ':') ? strchr(folder, ':') + 1 : NULL) {
        const char *rest = behind_origin(folder);
        if (!rest) continue;
        int length = snprintf(path, bytes, "%s%.*s/%s", origin, (int)strcspn(rest, ":"), rest, name);
        if (length > 0 && (size_t)length < bytes && access(path, R_OK) == 0) return true;
    }
    return false;
}

/* The linker compares names: for the time of loading the library is called what the plugin calls it. */
static int open_library(struct rk_origin *origin, const char *path, const char *name, struct rk_load_error *error)
{
    struct link_map *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    char *wanted = strdup(name);
    if (!library || !wanted) {
        free(wanted);
        return rk_load_refuse(error, RK_LOAD_DLOPEN, "a library that the plugin needs does not load: %s",
                              library ? "out of memory" : dlerror());
    }
    origin->library[origin->count] = library;
    origin->name[origin->count++] = library->l_name;
    library->l_name = wanted;
    return 0;
}

int rk_origin_open(struct rk_origin *origin, const char *path, int fd, struct rk_load_error *error)
{
    struct wanted wanted = {.elf = elf_begin(fd, ELF_C_READ, NULL)};
    char real[PATH_MAX], library[2 * PATH_MAX];
    int result = 0;
    if (!wanted.elf || !realpath(path, real)) { /* the original is gone, and its folder perhaps, too */
        if (wanted.elf) elf_end(wanted.elf);
        return 0;
    }
    const char *folder = dirname(real);
    read_dynamic(&wanted);
    for (unsigned i = 0; i < wanted.count && result == 0; i++)
        if (find_library(&wanted, folder, wanted.needed[i], library, sizeof(library)))
            result = open_library(origin, library, wanted.needed[i], error);
    elf_end(wanted.elf);
    return result;
}

void rk_origin_close(struct rk_origin *origin)
{
    for (unsigned i = 0; i < origin->count; i++) {
        free(origin->library[i]->l_name);
        origin->library[i]->l_name = origin->name[i];
    }
    origin->count = 0;
}
