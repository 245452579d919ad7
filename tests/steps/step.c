/* SPDX-License-Identifier: MIT */
/* Dies where the page says; see page.h. */
#include "step.h"
#include "page.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/** The page, or NULL; looked for once per process. */
static struct step_page *find_page(void)
{
    static struct step_page *page;
    static pid_t looked;
    if (looked == getpid()) return page;
    looked = getpid();
    page = NULL;
    const char *path = getenv("RASK_STEP_PAGE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return NULL;
    void *base = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return page = base == MAP_FAILED ? NULL : base;
}

void rk_step(enum rk_step step)
{
    struct step_page *page = find_page();
    if (!page || __atomic_load_n(&page->armed, __ATOMIC_SEQ_CST) != (uint32_t)step + 1) return;
    if (__atomic_load_n(&page->victim, __ATOMIC_SEQ_CST) != (uint32_t)getpid()) return;
    __atomic_store_n(&page->reached, 1, __ATOMIC_SEQ_CST);
    kill(getpid(), SIGKILL);
}
