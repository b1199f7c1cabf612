/* The same by 256-bit vectors; included by resize.c. */

#define AVX2 __attribute__((target("avx2")))

/* Of four pixels: red 01 23, green 01 23 | blue 01 23, the fourth 01 23; bytes widened. */
#define ORDER                                                                                      \
    _mm256_setr_epi8(0, -1, 4, -1, 8, -1, 12, -1, 1, -1, 5, -1, 9, -1, 13, -1, 2, -1, 6, -1, 10,   \
                     -1, 14, -1, 3, -1, 7, -1, 11, -1, 15, -1)

/* Sums of a place and four more pixels times their weights, two to each colour side by side. */
AVX2 static inline __m256i summed(__m256i sums, const uint8_t *pixel, const int16_t *weights) {
    int64_t four;
    memcpy(&four, weights, sizeof four);
    __m256i pixels = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)pixel));
    pixels = _mm256_shuffle_epi8(pixels, ORDER);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pixels, _mm256_set1_epi64x(four)));
}

AVX2 static void along_avx2(const struct axis *axis, int64_t count, const uint8_t *row,
                            int16_t *found) {
    const __m256i half = _mm256_set1_epi32(1 << axis->shift >> 2), most = _mm256_set1_epi16(255);
    const __m128i shift = _mm_cvtsi32_si128(axis->shift);
    const int64_t taps = axis->taps;
    for (int64_t next = 0; next < count; next += 4) {
        int64_t i = next + 4 > count ? count - 4 : next;
        const int16_t *weights = axis->weights + i * taps;
        const int64_t *first = axis->first + i;
        const uint8_t *p0 = row + 4 * first[0], *p1 = row + 4 * first[1];
        const uint8_t *p2 = row + 4 * first[2], *p3 = row + 4 * first[3];
        __m256i s0 = half, s1 = half, s2 = half, s3 = half;
        for (int64_t j = 0; j < taps; j += STEP) {
            s0 = summed(s0, p0 + 4 * j, weights + j);
            s1 = summed(s1, p1 + 4 * j, weights + j + taps);
            s2 = summed(s2, p2 + 4 * j, weights + j + 2 * taps);
            s3 = summed(s3, p3 + 4 * j, weights + j + 3 * taps);
        }
        __m256i two = _mm256_sra_epi32(_mm256_hadd_epi32(s0, s1), shift);
        __m256i more = _mm256_sra_epi32(_mm256_hadd_epi32(s2, s3), shift);
        __m256i all = _mm256_min_epu16(_mm256_packus_epi32(two, more), most);
        /* red and green of four places | blue and the fourth */
        all = _mm256_permute4x64_epi64(all, 0xd8);
        all = _mm256_unpacklo_epi32(all, _mm256_bsrli_epi128(all, 8));
        _mm256_storeu_si256((void *)(found + 4 * i), all);
    }
}

AVX2 static void across_avx2(const int16_t *weights, int64_t taps, int32_t shift,
                             const int16_t *const *rows, int64_t size, int32_t *sums,
                             uint8_t *found) {
    const __m256i half = _mm256_set1_epi32(shift ? 1 << (shift - 1) : 0);
    const __m128i by = _mm_cvtsi32_si128(shift);
    (void)sums;
    for (int64_t next = 0; next < size; next += 16) {
        int64_t x = next + 16 > size ? size - 16 : next;
        __m256i low = half, high = half;
        for (int64_t j = 0; j < taps; j += 2) {
            int32_t pair;
            memcpy(&pair, weights + j, sizeof pair);
            __m256i both = _mm256_set1_epi32(pair);
            __m256i one = _mm256_loadu_si256((const void *)(rows[j] + x));
            __m256i other = _mm256_loadu_si256((const void *)(rows[j + 1] + x));
            __m256i lows = _mm256_unpacklo_epi16(one, other);
            __m256i highs = _mm256_unpackhi_epi16(one, other);
            low = _mm256_add_epi32(low, _mm256_madd_epi16(lows, both));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(highs, both));
        }
        __m256i words = _mm256_packs_epi32(_mm256_sra_epi32(low, by), _mm256_sra_epi32(high, by));
        __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0xd8);
        _mm_storeu_si128((void *)(found + x), _mm256_castsi256_si128(bytes));
    }
}
