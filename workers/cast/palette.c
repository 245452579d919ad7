/* SPDX-License-Identifier: MIT */
/* An open hash of at most 256 colours. */
#include "palette.h"
#include <string.h>

static uint32_t slot_of(uint32_t colour)
{
    return (colour * 2654435761u) >> 22; /* the 10 bits of RK_PALETTE_SLOTS; Knuth's multiplier */
}

_Static_assert(RK_PALETTE_SLOTS == 1u << 10, "slot_of() keeps 10 bits");

/* The colour's slot, or the free one where it belongs. */
static uint32_t find(const struct rk_palette *palette, uint32_t colour)
{
    uint32_t slot = slot_of(colour);
    while (palette->slots[slot] != 0 && palette->colours[palette->slots[slot] - 1] != colour)
        slot = (slot + 1) % RK_PALETTE_SLOTS;
    return slot;
}

static bool add(struct rk_palette *palette, uint32_t colour)
{
    uint32_t slot = find(palette, colour);
    if (palette->slots[slot] != 0) return true;
    if (palette->count == RK_PALETTE_MAX) return false;
    palette->colours[palette->count++] = colour;
    palette->slots[slot] = (uint16_t)palette->count;
    return true;
}

bool rk_palette_collect(struct rk_palette *palette, const struct rk_image *image, struct rk_rect rect)
{
    memset(palette, 0, sizeof(*palette));
    for (uint32_t y = rect.y; y < rect.y + rect.height; y++) {
        const uint32_t *row = rk_image_row(image, y) + rect.x;
        for (uint32_t x = 0; x < rect.width; x++) {
            if ((x == 0 || row[x] != row[x - 1]) && !add(palette, row[x])) return false;
        }
    }
    return true;
}

uint8_t rk_palette_index(const struct rk_palette *palette, uint32_t colour)
{
    uint16_t found = palette->slots[find(palette, colour)];
    return found ? (uint8_t)(found - 1) : 0;
}
