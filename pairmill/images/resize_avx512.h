/* The same by 512-bit vectors that multiply bytes (AVX-512 with VBMI and VNNI); included by
   resize.c.

   Rows are taken four at a time: the numbers that they have in one column lie side by side, as do
   four pixels' of one colour, since the processor adds four products of bytes to a sum at once.  A
   weight of 16 bits is two bytes: 256 times the high one and the low one, each with a sign. */

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni")))
#define ROWS 4   /* rows whose numbers lie side by side */
#define BLOCK 64 /* numbers of a row that are made at once */

/* Weights of four places, four of each, cut in two. */
struct cut {
    int8_t high[16], low[16];
};

/* Four places of a row. */
struct four {
    const int64_t *first; /* of each: the first pixel that it is made of */
    int32_t ahead[4];     /* how many bytes that lies behind the first one's, in each byte */
    int32_t near;         /* whether one vector holds all four's pixels */
};

static int has_avx512(void) {
    return WIDEST >= 512 && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vnni");
}

/* Whether all weights can be cut: the high byte of the very largest would be 128. */
static int can_be_cut(const struct axis *axis, int64_t count) {
    for (int64_t i = 0; i < count * axis->taps; i++)
        if (axis->weights[i] >= 127 * 256 + 128)
            return 0;
    return 1;
}

static void cut(int16_t weight, int8_t *high, int8_t *low) {
    *low = (int8_t)(weight & 255);
    *high = (int8_t)((weight - *low) >> 8);
}

/* `count` places, the last ones once more where they are no multiple of four, without weights. */
static void cut_columns(const struct axis *axis, int64_t count, struct four *fours,
                        struct cut *cuts, int64_t *first) {
    for (int64_t i = 0; i < (count + 3) / 4 * 4; i++) {
        int64_t place = i < count ? i : count - 1, steps = axis->taps / 4;
        struct four *four = fours + i / 4;
        first[i] = axis->first[place];
        four->first = first + i / 4 * 4;
        four->ahead[i % 4] = (int32_t)((uint32_t)(4 * (first[i] - four->first[0])) * 0x01010101u);
        four->near = first[i] - four->first[0] <= 12;
        for (int64_t j = 0; j < axis->taps; j++) {
            struct cut *to = cuts + i / 4 * steps + j / 4;
            int64_t at = i % 4 * 4 + j % 4;
            cut(i < count ? axis->weights[place * axis->taps + j] : 0, to->high + at, to->low + at);
        }
    }
}

/* Each 32 bits of the lowest 128 in a lane of its own. */
AVX512 static inline __m512i spread(const void *four) {
    const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    __m512i low = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)four));
    return _mm512_permutexvar_epi32(lanes, low);
}

/* Four pixels of four places. */
AVX512 static inline __m512i apart(const uint8_t *row, const int64_t *first) {
    __m512i found = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(row + 4 * first[0])));
    found = _mm512_inserti32x4(found, _mm_loadu_si128((const void *)(row + 4 * first[1])), 1);
    found = _mm512_inserti32x4(found, _mm_loadu_si128((const void *)(row + 4 * first[2])), 2);
    return _mm512_inserti32x4(found, _mm_loadu_si128((const void *)(row + 4 * first[3])), 3);
}

/* 32-bit sums of the high bytes and of the low ones as numbers of 16 bits, not clamped yet. */
AVX512 static inline __m512i whole(__m512i high, __m512i low, __m128i shift) {
    return _mm512_sra_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low), shift);
}

/* Places of four rows of pixels of four bytes, `wide` pixels long: bytes, those of one column side
   by side. */
AVX512 static void along_avx512(const struct four *fours, int64_t count, const struct cut *cuts,
                                int64_t steps, int32_t by, const uint8_t *const *rows, int64_t wide,
                                uint8_t *found) {
    const __m512i side = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i half = _mm512_set1_epi32(1 << by >> 1);
    const __m128i shift = _mm_cvtsi32_si128(by);
    const uint8_t *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
    for (int64_t i = 0; i < count; i++, fours++, found += 64) {
        __m512i h0 = _mm512_setzero_si512(), h1 = h0, h2 = h0, h3 = h0;
        __m512i l0 = half, l1 = half, l2 = half, l3 = half;
        const __m512i order = _mm512_add_epi8(side, spread(fours->ahead));
        for (int64_t step = 0; step < steps; step++, cuts++) {
            __m512i p0, p1, p2, p3, high = spread(cuts->high), low = spread(cuts->low);
            int64_t at = 4 * step, left = wide - fours->first[0] - at;
            if (fours->near) {
                __mmask16 there = left < 16 ? (__mmask16)((1 << left) - 1) : 0xffff;
                at = 4 * (at + fours->first[0]);
                p0 = _mm512_permutexvar_epi8(order, _mm512_maskz_loadu_epi32(there, r0 + at));
                p1 = _mm512_permutexvar_epi8(order, _mm512_maskz_loadu_epi32(there, r1 + at));
                p2 = _mm512_permutexvar_epi8(order, _mm512_maskz_loadu_epi32(there, r2 + at));
                p3 = _mm512_permutexvar_epi8(order, _mm512_maskz_loadu_epi32(there, r3 + at));
            } else {
                at *= 4;
                p0 = _mm512_shuffle_epi8(apart(r0 + at, fours->first), side);
                p1 = _mm512_shuffle_epi8(apart(r1 + at, fours->first), side);
                p2 = _mm512_shuffle_epi8(apart(r2 + at, fours->first), side);
                p3 = _mm512_shuffle_epi8(apart(r3 + at, fours->first), side);
            }
            h0 = _mm512_dpbusd_epi32(h0, p0, high), l0 = _mm512_dpbusd_epi32(l0, p0, low);
            h1 = _mm512_dpbusd_epi32(h1, p1, high), l1 = _mm512_dpbusd_epi32(l1, p1, low);
            h2 = _mm512_dpbusd_epi32(h2, p2, high), l2 = _mm512_dpbusd_epi32(l2, p2, low);
            h3 = _mm512_dpbusd_epi32(h3, p3, high), l3 = _mm512_dpbusd_epi32(l3, p3, low);
        }
        __m512i two = _mm512_packs_epi32(whole(h0, l0, shift), whole(h1, l1, shift));
        __m512i more = _mm512_packs_epi32(whole(h2, l2, shift), whole(h3, l3, shift));
        _mm512_storeu_si512(found, _mm512_shuffle_epi8(_mm512_packus_epi16(two, more), side));
    }
}

/* A row of `size` numbers of `many` times four rows, whose weights are `cuts`. */
AVX512 static void across_avx512(const int32_t *high, const int32_t *low, int64_t many, int32_t by,
                                 const uint8_t *const *fours, int64_t size, uint8_t *found) {
    const __m512i half = _mm512_set1_epi32(1 << by >> 1);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m128i shift = _mm_cvtsi32_si128(by);
    for (int64_t x = 0; x < size; x += BLOCK) {
        __m512i h0 = _mm512_setzero_si512(), h1 = h0, h2 = h0, h3 = h0;
        __m512i l0 = half, l1 = half, l2 = half, l3 = half;
        for (int64_t j = 0; j < many; j++) {
            const uint8_t *from = fours[j] + ROWS * x;
            __m512i h = _mm512_set1_epi32(high[j]), l = _mm512_set1_epi32(low[j]);
            __m512i p0 = _mm512_loadu_si512(from), p1 = _mm512_loadu_si512(from + 64);
            __m512i p2 = _mm512_loadu_si512(from + 128), p3 = _mm512_loadu_si512(from + 192);
            h0 = _mm512_dpbusd_epi32(h0, p0, h), l0 = _mm512_dpbusd_epi32(l0, p0, l);
            h1 = _mm512_dpbusd_epi32(h1, p1, h), l1 = _mm512_dpbusd_epi32(l1, p1, l);
            h2 = _mm512_dpbusd_epi32(h2, p2, h), l2 = _mm512_dpbusd_epi32(l2, p2, l);
            h3 = _mm512_dpbusd_epi32(h3, p3, h), l3 = _mm512_dpbusd_epi32(l3, p3, l);
        }
        __m512i two = _mm512_packs_epi32(whole(h0, l0, shift), whole(h1, l1, shift));
        __m512i more = _mm512_packs_epi32(whole(h2, l2, shift), whole(h3, l3, shift));
        __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packus_epi16(two, more));
        int64_t left = size - x;
        __mmask64 there = left < BLOCK ? ((__mmask64)1 << left) - 1 : ~(__mmask64)0;
        _mm512_mask_storeu_epi8(found + x, there, bytes);
    }
}

/* As `resize`; 0 where memory was short. */
static int resize_avx512(const struct picture *picture, const struct wanted *wanted,
                         const struct axis *rows, const struct axis *columns, uint8_t *found) {
    int64_t wide = picture->width > columns->taps ? picture->width : columns->taps;
    int64_t count = (wanted->width + 3) / 4, steps = columns->taps / 4, size = 4 * wanted->width;
    int64_t long_row = (size + BLOCK - 1) / BLOCK * BLOCK * ROWS, many = rows->taps / 4 + 2;
    struct four *fours = malloc((size_t)count * sizeof *fours);
    struct cut *cuts = malloc((size_t)(count * steps) * sizeof *cuts);
    int64_t *first = malloc((size_t)count * 4 * sizeof *first);
    uint8_t *own = calloc((size_t)wide, 4 * ROWS), *made = aligned_alloc(64, many * long_row);
    int32_t *high = malloc((size_t)many * 2 * sizeof *high), *low = high + many;
    const uint8_t **window = malloc((size_t)many * sizeof *window);
    int sound = fours && cuts && first && own && made && high && window;
    if (sound)
        cut_columns(columns, wanted->width, fours, cuts, first);
    int64_t last = picture->height - 1, next = 0;
    for (int64_t y = 0; sound && y < wanted->height; y++) {
        int64_t begin = rows->first[y], from = begin / ROWS, end = begin + rows->taps - 1, k = 0;
        end = (end < last ? end : last) / ROWS;
        for (next = next > from ? next : from; next <= end; next++) {
            const uint8_t *four[ROWS];
            for (int64_t i = 0; i < ROWS; i++) {
                int64_t row = ROWS * next + i < last ? ROWS * next + i : last;
                four[i] = widened(picture, row, columns->taps, own + 4 * wide * i);
            }
            along_avx512(fours, count, cuts, steps, columns->shift, four, wide,
                         made + next % many * long_row);
        }
        for (int64_t four = from; four <= end; four++, k++) {
            int8_t *to = (int8_t *)(high + k), *less = (int8_t *)(low + k);
            window[k] = made + four % many * long_row;
            for (int64_t i = 0; i < ROWS; i++) {
                int64_t tap = ROWS * four + i - begin;
                int there = tap >= 0 && tap < rows->taps;
                cut(there ? rows->weights[y * rows->taps + tap] : 0, to + i, less + i);
            }
        }
        across_avx512(high, low, k, rows->shift, window, size, found + y * size);
    }
    void *const taken[] = {fours, cuts, first, own, made, high, window};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        free(taken[i]);
    return sound;
}
