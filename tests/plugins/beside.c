/* SPDX-License-Identifier: MIT */
/* A library that lies beside a plugin. */
int beside(void);

int beside(void)
{
    return 42;
}
