/* SPDX-License-Identifier: MIT */
/* What the sample frames show: a window that moves, text that is typed, text that scrolls, a third of the time each. */
#ifndef RK_SCENE_H
#define RK_SCENE_H

#include "canvas.h"

#define RK_SCENE_WIDTH_MIN 160
#define RK_SCENE_HEIGHT_MIN 120

/** Draw frame `index` of `count`. Depends on nothing else. */
void rk_scene_draw(struct rk_canvas *canvas, unsigned index, unsigned count);

/** Cover four places with noise that no other frame has: comparing and encoding such frames is hard work. */
void rk_scene_grain(struct rk_canvas *canvas, unsigned index);

#endif
