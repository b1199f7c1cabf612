/* Pictures of bytes resized, to the very bits of torch's `interpolate(antialias=True)`.

   Weights are those of the whole axis, as 16-bit numbers whose precision the largest weight
   decides; rows are resized first, to bytes, and then columns, with 32-bit sums that are rounded
   and clamped.  Only what is wanted of the resized picture is computed.  A pixel is four bytes, of
   which the fourth means nothing, or three.  Built where pairmill is installed, if there is a
   compiler; else torch does it.  Which vectors are used is decided when it runs. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__GNUC__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GCC or clang, and little-endian numbers, are taken for granted"
#endif

#ifdef __x86_64__
#include <immintrin.h>
#endif

#ifndef WIDEST
#define WIDEST 512 /* bits of the longest vectors that are used */
#endif
#define STEP 4 /* weights of a place are filled up to a multiple of this, with zeros */

struct picture {
    const uint8_t *pixels;
    int64_t height, width, depth, stride; /* stride: bytes from row to row */
};

/* What is wanted: of the picture resized to `whole_height` and `whole_width`, `height` rows and
   `width` pixels of each, from `top` and `left` on. */
struct wanted {
    int64_t whole_height, whole_width, top, left, height, width, cubic;
};

/* A row with four bytes to a pixel, and at least `pixels` of them. */
static const uint8_t *widened(const struct picture *picture, int64_t y, int64_t pixels,
                              uint8_t *row) {
    const uint8_t *own = picture->pixels + y * picture->stride;
    if (picture->depth == 4 && picture->width >= pixels)
        return own;
    for (int64_t x = 0; x < picture->width; x++)
        memcpy(row + 4 * x, own + picture->depth * x, 3);
    return row;
}

/* The places of one axis that are wanted, and what each is made of. */
struct axis {
    int64_t taps;     /* weights of a place */
    int32_t shift;    /* bits behind the point of a weight */
    int64_t *first;   /* of each place: the first that it is made of */
    int16_t *weights; /* of each place: `taps` */
};

/* Keys, Cubic convolution interpolation (1981), with a = -1/2; a triangle. */
static double filter(double x, int cubic) {
    x = x < 0 ? -x : x;
    if (!cubic)
        return x < 1 ? 1 - x : 0;
    double near = ((1.5 * x) - 2.5) * x * x + 1;
    double far = (((x - 5) * x + 8) * x - 4) * -0.5;
    return x < 1 ? near : x < 2 ? far : 0;
}

static int32_t precision(double largest) {
    int32_t bits = 0;
    while (bits < 22 && (int)(0.5 + largest * (double)(1 << (bits + 1))) < 1 << 15)
        bits++;
    return bits;
}

/* Weights of `count` places from `from` on, where `size` pixels become `whole`; 0 where memory is
   short. */
static int weigh(struct axis *axis, int64_t size, int64_t whole, int64_t from, int64_t count,
                 int cubic) {
    double scale = (double)size / (double)whole, reach = cubic ? 2 : 1, inverse = 1;
    if (scale >= 1)
        reach *= scale, inverse = 1 / scale;
    int64_t most = 2 * (int64_t)(reach + 1) + 1, taps = 1;
    double *exact = malloc((size_t)(whole * most) * sizeof *exact), largest = 0;
    int64_t *first = malloc((size_t)whole * 2 * sizeof *first), *many = first + whole;
    axis->first = malloc((size_t)count * sizeof *axis->first);
    axis->weights = NULL;
    for (int64_t i = 0; exact && first && i < whole; i++) {
        double centre = scale * ((double)i + 0.5), total = 0, *weights = exact + i * most;
        int64_t begin = (int64_t)(centre - reach + 0.5), end = (int64_t)(centre + reach + 0.5);
        begin = begin < 0 ? 0 : begin;
        end = end > size ? size : end;
        for (int64_t j = 0; j < end - begin; j++) {
            weights[j] = filter(((double)j + ((double)begin - centre) + 0.5) * inverse, cubic);
            total += weights[j];
        }
        for (int64_t j = 0; j < end - begin; j++) {
            weights[j] = total != 0 ? weights[j] / total : weights[j];
            largest = weights[j] > largest ? weights[j] : largest;
        }
        first[i] = begin;
        many[i] = end - begin;
        taps = many[i] > taps ? many[i] : taps;
    }
    axis->taps = taps = (taps + STEP - 1) / STEP * STEP;
    axis->shift = precision(largest);
    if (exact && first && axis->first)
        axis->weights = calloc((size_t)(count * taps), sizeof *axis->weights);
    for (int64_t i = 0; axis->weights && i < count; i++) {
        int64_t begin = first[from + i];
        axis->first[i] = begin + taps > size ? (size > taps ? size - taps : 0) : begin;
        int16_t *weights = axis->weights + i * taps + (begin - axis->first[i]);
        for (int64_t j = 0; j < many[from + i]; j++) {
            double v = exact[(from + i) * most + j] * (double)(1 << axis->shift);
            weights[j] = (int16_t)(int)(v < 0 ? v - 0.5 : v + 0.5);
        }
    }
    free(exact);
    free(first);
    return axis->weights != NULL;
}

static int16_t clamped(int32_t sum, int32_t shift) {
    sum >>= shift;
    return (int16_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* `count` places of a row of pixels of four bytes, as 16-bit numbers. */
static void along_anywhere(const struct axis *axis, int64_t count, const uint8_t *row,
                           int16_t *found) {
    int32_t half = axis->shift ? 1 << (axis->shift - 1) : 0;
    for (int64_t i = 0; i < count; i++, found += 4) {
        const int16_t *weights = axis->weights + i * axis->taps;
        const uint8_t *pixel = row + 4 * axis->first[i];
        int32_t sums[4] = {half, half, half, half};
        for (int64_t j = 0; j < axis->taps; j++)
            for (int c = 0; c < 4; c++)
                sums[c] += weights[j] * pixel[4 * j + c];
        for (int c = 0; c < 4; c++)
            found[c] = clamped(sums[c], axis->shift);
    }
}

/* A place of the other axis from `taps` rows of `size` numbers each; `sums`: as many. */
static void across_anywhere(const int16_t *weights, int64_t taps, int32_t shift,
                            const int16_t *const *rows, int64_t size, int32_t *sums,
                            uint8_t *found) {
    for (int64_t x = 0; x < size; x++)
        sums[x] = shift ? 1 << (shift - 1) : 0;
    for (int64_t j = 0; j < taps; j++)
        for (int64_t x = 0; x < size; x++)
            sums[x] += weights[j] * rows[j][x];
    for (int64_t x = 0; x < size; x++)
        found[x] = (uint8_t)clamped(sums[x], shift);
}

#ifdef __x86_64__
#include "resize_avx2.h"
#include "resize_avx512.h"
#endif

typedef void along(const struct axis *, int64_t, const uint8_t *, int16_t *);
typedef void across(const int16_t *, int64_t, int32_t, const int16_t *const *, int64_t, int32_t *,
                    uint8_t *);

/* As `resize`, from the axes of which what is wanted is made. */
static int by_rows(const struct picture *picture, const struct wanted *wanted,
                   const struct axis *rows, const struct axis *columns, uint8_t *found) {
    int64_t size = 4 * wanted->width, next = 0;
    along *one_row = along_anywhere;
    across *one_place = across_anywhere;
#ifdef __x86_64__
    if (WIDEST >= 256 && __builtin_cpu_supports("avx2") && wanted->width >= 4)
        one_row = along_avx2, one_place = across_avx2;
#endif
    int64_t wide = picture->width > columns->taps ? picture->width : columns->taps;
    uint8_t *row = calloc((size_t)wide, 4);
    int16_t *resized = malloc((size_t)(rows->taps * size) * sizeof *resized);
    int32_t *sums = malloc((size_t)size * sizeof *sums);
    const int16_t **window = malloc((size_t)rows->taps * sizeof *window);
    int sound = row && resized && sums && window;
    for (int64_t y = 0; sound && y < wanted->height; y++) {
        int64_t first = rows->first[y], last = first + rows->taps - 1;
        last = last < picture->height ? last : picture->height - 1;
        for (next = next > first ? next : first; next <= last; next++)
            one_row(columns, wanted->width, widened(picture, next, columns->taps, row),
                    resized + next % rows->taps * size);
        for (int64_t j = 0; j < rows->taps; j++)
            window[j] = resized + (first + j <= last ? first + j : last) % rows->taps * size;
        one_place(rows->weights + y * rows->taps, rows->taps, rows->shift, window, size, sums,
                  found + y * size);
    }
    void *const taken[] = {window, sums, resized, row};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        free(taken[i]);
    return sound;
}

/* Four bytes a pixel into `found`, whose rows lie one behind the other.  1, or 0 where memory was
   short. */
int32_t resize(const struct picture *picture, const struct wanted *wanted, uint8_t *found) {
    struct axis rows = {0}, columns = {0};
    int sound = weigh(&columns, picture->width, wanted->whole_width, wanted->left, wanted->width,
                      (int)wanted->cubic) &&
                weigh(&rows, picture->height, wanted->whole_height, wanted->top, wanted->height,
                      (int)wanted->cubic);
    int (*by)(const struct picture *, const struct wanted *, const struct axis *,
              const struct axis *, uint8_t *) = by_rows;
#ifdef __x86_64__
    __builtin_cpu_init();
    if (sound && has_avx512() && can_be_cut(&rows, wanted->height) &&
        can_be_cut(&columns, wanted->width))
        by = resize_avx512;
#endif
    sound = sound && by(picture, wanted, &rows, &columns, found);
    void *const taken[] = {rows.first, rows.weights, columns.first, columns.weights};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        free(taken[i]);
    return sound;
}

/* (byte - mean) / std of `count` pixels of four bytes; the colours' planes one behind the other. */
#define NORMALISE(name, target)                                                                    \
    target static void name(const uint32_t *restrict pixels, int64_t count, const float *mean,     \
                            const float *std, float *restrict red) {                               \
        float *restrict green = red + count, *restrict blue = green + count;                       \
        float m0 = mean[0], m1 = mean[1], m2 = mean[2], s0 = std[0], s1 = std[1], s2 = std[2];     \
        for (int64_t i = 0; i < count; i++) {                                                      \
            uint32_t pixel = pixels[i];                                                            \
            red[i] = ((float)(int32_t)(pixel & 255) - m0) / s0;                                    \
            green[i] = ((float)(int32_t)(pixel >> 8 & 255) - m1) / s1;                             \
            blue[i] = ((float)(int32_t)(pixel >> 16 & 255) - m2) / s2;                             \
        }                                                                                          \
    }

NORMALISE(normalise_anywhere, )
#ifdef __x86_64__
NORMALISE(normalise_avx2, AVX2)
#endif

/* As above, of `pictures` of `count` pixels each. */
void normalise(const uint8_t *pixels, int64_t pictures, int64_t count, const float *mean,
               const float *std, float *found) {
    void (*one)(const uint32_t *, int64_t, const float *, const float *, float *) =
        normalise_anywhere;
#ifdef __x86_64__
    __builtin_cpu_init();
    if (WIDEST >= 256 && __builtin_cpu_supports("avx2"))
        one = normalise_avx2;
#endif
    for (int64_t i = 0; i < pictures; i++)
        one((const uint32_t *)pixels + count * i, count, mean, std, found + 3 * count * i);
}
