/* SPDX-License-Identifier: MIT */
/* Looks into a plugin's file with libelf, without mapping it and without running any of its code. The file may be
 * anything: every offset is checked against its length. A file that is cut short is found out here; handed to the
 * dynamic linker it would end in SIGBUS. */
#include "loader.h"
#include "loader_error.h"
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <rask/plugin.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define MACHINE_NAME "x86-64"
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#define MACHINE_NAME "aarch64"
#else
#error "rask is built for x86-64 and aarch64"
#endif

#define SYMBOL "rask_plugin"

struct file {
    const char *path;
    int fd;
    uint64_t bytes;
    Elf *elf;
    GElf_Ehdr head;
    struct rk_load_error *error;
};

int rk_load_refuse(struct rk_load_error *error, enum rk_load_check check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error->check = check;
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return -ENOEXEC;
}

/* Not blocking, so that a named pipe in the plugin's place is refused instead of waited for. */
int rk_plugin_open(const char *path, struct rk_load_error *error)
{
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return rk_load_refuse(error, RK_LOAD_FIND, "plugin %s: %s; check the path and its permissions", path,
                              strerror(errno));
    if (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode)) return fd;
    close(fd);
    return rk_load_refuse(error, RK_LOAD_FIND, "plugin %s is not a regular file: name the .so itself", path);
}

static int measure(struct file *file)
{
    struct stat facts;
    if (fstat(file->fd, &facts) < 0)
        return rk_load_refuse(file->error, RK_LOAD_FIND, "plugin %s: %s", file->path, strerror(errno));
    file->bytes = (uint64_t)facts.st_size;
    return 0;
}

static int refuse_elf(struct file *file, const char *what)
{
    return rk_load_refuse(file->error, RK_LOAD_ELF,
                          "plugin %s is not a shared object for " MACHINE_NAME ": %s; build it with cc -shared -fPIC",
                          file->path, what);
}

static int refuse_cut(struct file *file, const char *what, uint64_t end)
{
    return rk_load_refuse(file->error, RK_LOAD_ELF,
                          "plugin %s is cut short: it has %llu bytes and its %s reaches to %llu; copy or build it anew",
                          file->path, (unsigned long long)file->bytes, what, (unsigned long long)end);
}

static int read_head(struct file *file)
{
    if (elf_version(EV_CURRENT) == EV_NONE) return refuse_elf(file, "libelf is too old");
    file->elf = elf_begin(file->fd, ELF_C_READ, NULL);
    if (!file->elf || elf_kind(file->elf) != ELF_K_ELF) return refuse_elf(file, "no ELF header");
    if (!gelf_getehdr(file->elf, &file->head)) return refuse_elf(file, "its ELF header is incomplete");
    const unsigned char *ident = file->head.e_ident;
    if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB || file->head.e_machine != MACHINE)
        return refuse_elf(file, "it is for another machine");
    if (file->head.e_type != ET_DYN) return refuse_elf(file, "it is of another kind (object file or program)");
    return 0;
}

/* Is [offset, offset + bytes) inside the file? */
static bool inside(const struct file *file, uint64_t offset, uint64_t bytes)
{
    return bytes <= file->bytes && offset <= file->bytes - bytes;
}

static int check_complete(struct file *file)
{
    const GElf_Ehdr *head = &file->head;
    uint64_t programs_bytes = (uint64_t)head->e_phnum * head->e_phentsize;
    uint64_t sections_bytes = (uint64_t)head->e_shnum * head->e_shentsize;
    if (!inside(file, head->e_phoff, programs_bytes))
        return refuse_cut(file, "program header table", head->e_phoff + programs_bytes);
    bool loads = false;
    for (int i = 0; i < head->e_phnum; i++) {
        GElf_Phdr part;
        if (!gelf_getphdr(file->elf, i, &part)) return refuse_elf(file, "a program header cannot be read");
        if (part.p_type == PT_LOAD) loads = true;
        if (part.p_type != PT_NULL && !inside(file, part.p_offset, part.p_filesz))
            return refuse_cut(file, "contents", part.p_offset + part.p_filesz);
    }
    if (!loads) return refuse_elf(file, "it has nothing to load");
    if (!inside(file, head->e_shoff, sections_bytes))
        return refuse_cut(file, "section table", head->e_shoff + sections_bytes);
    return 0;
}

/* Searches one table of dynamic symbols. */
static bool find_in_table(struct file *file, Elf_Scn *section, const GElf_Shdr *facts, GElf_Sym *symbol)
{
    Elf_Data *data = elf_getdata(section, NULL);
    if (!data || facts->sh_entsize == 0) return false;
    size_t count = data->d_size / facts->sh_entsize;
    for (size_t i = 0; i < count; i++) {
        if (!gelf_getsym(data, (int)i, symbol)) return false;
        if (symbol->st_shndx == SHN_UNDEF) continue;
        const char *name = elf_strptr(file->elf, facts->sh_link, symbol->st_name);
        if (name && strcmp(name, SYMBOL) == 0) return true;
    }
    return false;
}

static int find_symbol(struct file *file, GElf_Sym *symbol)
{
    Elf_Scn *section = NULL;
    while ((section = elf_nextscn(file->elf, section)) != NULL) {
        GElf_Shdr facts;
        if (!gelf_getshdr(section, &facts) || facts.sh_type != SHT_DYNSYM) continue;
        if (!find_in_table(file, section, &facts, symbol)) continue;
        if (GELF_ST_TYPE(symbol->st_info) == STT_OBJECT && symbol->st_size >= sizeof(uint32_t)) return 0;
        return rk_load_refuse(file->error, RK_LOAD_SYMBOL,
                              "plugin %s: its symbol " SYMBOL " is not data: declare it with RASK_PLUGIN()",
                              file->path);
    }
    return rk_load_refuse(file->error, RK_LOAD_SYMBOL,
                          "plugin %s exports no symbol " SYMBOL ": add RASK_PLUGIN(...) of <rask/plugin.h>",
                          file->path);
}

/* The first word of the structure as it lies in the file; 0 where the file has no bytes for it. */
static int read_abi(struct file *file, const GElf_Sym *symbol, uint32_t *abi)
{
    *abi = 0;
    for (int i = 0; i < file->head.e_phnum; i++) {
        GElf_Phdr part;
        if (!gelf_getphdr(file->elf, i, &part) || part.p_type != PT_LOAD || symbol->st_value < part.p_vaddr) continue;
        uint64_t offset = symbol->st_value - part.p_vaddr;
        if (part.p_filesz < sizeof(*abi) || offset > part.p_filesz - sizeof(*abi)) continue;
        if (pread(file->fd, abi, sizeof(*abi), (off_t)(part.p_offset + offset)) == (ssize_t)sizeof(*abi)) return 0;
        return refuse_cut(file, "table of methods", part.p_offset + offset + sizeof(*abi));
    }
    return 0;
}

static int check_abi(struct file *file)
{
    GElf_Sym symbol;
    uint32_t abi;
    int result = find_symbol(file, &symbol);
    if (result == 0) result = read_abi(file, &symbol, &abi);
    if (result < 0 || abi == RASK_PLUGIN_ABI) return result;
    return rk_load_refuse(file->error, RK_LOAD_ABI,
                          "plugin %s has plugin ABI %u, this rask has %u: rebuild it with this rask's headers",
                          file->path, abi, RASK_PLUGIN_ABI);
}

int rk_plugin_inspect_copy(const char *path, int fd, struct rk_load_error *error)
{
    struct file file = {.path = path, .fd = fd, .error = error};
    *error = (struct rk_load_error){.check = RK_LOAD_OK};
    int result = measure(&file);
    if (result == 0) result = read_head(&file);
    if (result == 0) result = check_complete(&file);
    if (result == 0) result = check_abi(&file);
    if (file.elf) elf_end(file.elf);
    return result;
}

int rk_plugin_inspect(const char *path, struct rk_load_error *error)
{
    int fd = rk_plugin_open(path, error);
    if (fd < 0) return fd;
    int result = rk_plugin_inspect_copy(path, fd, error);
    close(fd);
    return result;
}
