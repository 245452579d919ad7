/* SPDX-License-Identifier: MIT */
/* rask_last_error(): one text per thread, and the end of a failed check. */
#include "error.h"
#include "check.h"
#include <rask/client.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static _Thread_local char last_error[1024];

int rk_error(int error, const char *format, ...)
{
    char text[sizeof last_error]; /* arguments may point into last_error */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(last_error, sizeof last_error, "%s", text);
    return error;
}

void rk_error_clear(void)
{
    last_error[0] = '\0';
}

const char *rask_last_error(void)
{
    return last_error;
}

void rk_check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "rask: check failed: %s (%s:%d): this is a bug in rask or in the program that calls it\n", what,
            file, line);
    abort();
}
