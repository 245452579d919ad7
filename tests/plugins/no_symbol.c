/* SPDX-License-Identifier: MIT */
/* A plugin that forgot its table: it exports a function, but no symbol rask_plugin. */
#include <rask/plugin.h>

RASK_EXPORT int answer(void);

int answer(void)
{
    return 42;
}
