/* SPDX-License-Identifier: MIT */
/* See canvas.h. A letter is five rows of three dots, one octal digit per row, each dot two by two pixels. */
#include "canvas.h"
#include <ctype.h>
#include <string.h>

#define DOT 2
#define ROWS 5
#define COLUMNS 3

static const struct {
    char letter;
    char rows[ROWS + 1];
} font[] = {
    {'A', "25755"}, {'B', "65656"}, {'C', "34443"}, {'D', "65556"}, {'E', "74647"}, {'F', "74644"}, {'G', "34553"},
    {'H', "55755"}, {'I', "72227"}, {'J', "11152"}, {'K', "55655"}, {'L', "44447"}, {'M', "57755"}, {'N', "65555"},
    {'O', "25552"}, {'P', "65644"}, {'Q', "25563"}, {'R', "65655"}, {'S', "34216"}, {'T', "72222"}, {'U', "55557"},
    {'V', "55552"}, {'W', "55775"}, {'X', "55255"}, {'Y', "55222"}, {'Z', "71247"}, {'0', "75557"}, {'1', "26227"},
    {'2', "61247"}, {'3', "61216"}, {'4', "55711"}, {'5', "74616"}, {'6', "34757"}, {'7', "71122"}, {'8', "75757"},
    {'9', "75716"}, {'.', "00002"}, {',', "00024"}, {':', "02020"}, {'-', "00700"}, {'$', "37677"}, {'/', "11244"},
    {'>', "42124"}, {'_', "00007"}, {'*', "05250"}, {'(', "12221"}, {')', "42224"}, {'=', "07070"}, {'"', "55000"},
    {'%', "51245"},
};

static uint32_t pixel_of(uint32_t rgb)
{
    const uint8_t bytes[4] = {(uint8_t)(rgb >> 16), (uint8_t)(rgb >> 8), (uint8_t)rgb, 0xff};
    uint32_t pixel;
    memcpy(&pixel, bytes, sizeof(pixel));
    return pixel;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

void rk_canvas_fill(struct rk_canvas *canvas, int x, int y, int width, int height, uint32_t rgb)
{
    int right = smaller(x + width, canvas->clip_x + canvas->clip_width);
    int bottom = smaller(y + height, canvas->clip_y + canvas->clip_height);
    uint32_t pixel = pixel_of(rgb);
    for (int row = larger(y, canvas->clip_y); row < bottom; row++) {
        for (int column = larger(x, canvas->clip_x); column < right; column++)
            canvas->pixels[(size_t)row * (size_t)canvas->width + (size_t)column] = pixel;
    }
}

static const char *rows_of(char letter)
{
    for (size_t i = 0; i < sizeof(font) / sizeof(font[0]); i++) {
        if (font[i].letter == toupper((unsigned char)letter)) return font[i].rows;
    }
    return "00000";
}

static void put_letter(struct rk_canvas *canvas, int x, int y, const char *rows, uint32_t rgb)
{
    for (int row = 0; row < ROWS; row++) {
        for (int column = 0; column < COLUMNS; column++) {
            if ((rows[row] - '0') >> (COLUMNS - 1 - column) & 1)
                rk_canvas_fill(canvas, x + column * DOT, y + row * DOT, DOT, DOT, rgb);
        }
    }
}

void rk_canvas_text(struct rk_canvas *canvas, int x, int y, const char *text, size_t length, uint32_t rgb)
{
    for (size_t i = 0; i < length; i++, x += RK_LETTER_ADVANCE) put_letter(canvas, x, y, rows_of(text[i]), rgb);
}

void rk_canvas_clip(struct rk_canvas *canvas, int x, int y, int width, int height)
{
    if (width == 0) x = 0, y = 0, width = canvas->width, height = canvas->height;
    canvas->clip_x = larger(x, 0);
    canvas->clip_y = larger(y, 0);
    canvas->clip_width = smaller(x + width, canvas->width) - canvas->clip_x;
    canvas->clip_height = smaller(y + height, canvas->height) - canvas->clip_y;
}
