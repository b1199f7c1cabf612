/* BLAKE2b (RFC 7693) of the rows of columns and of whole columns, four at a time.

   A row's message is `before`, then of each part, if `marked`, a byte 1 and its length in eight
   bytes (a byte 0 where it is null), and its bytes.  Columns are Arrow's buffers as they lie:
   bytes, offsets of 64 bits, bits of validity.  Built where pairmill is installed, if there is a
   compiler; hash_columns.py has the same in Python. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__GNUC__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GCC or clang, and little-endian numbers, are taken for granted"
#endif

#define LANES 4
#define BLOCK 128
typedef uint64_t words __attribute__((vector_size(8 * LANES)));

static const uint64_t START[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
static const uint8_t SIGMA[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3}};

#define TURN(x, n) (((x) >> (n)) | ((x) << (64 - (n))))
#define MIX(a, b, c, d, x, y)                                                                      \
    a += b + (x), d = TURN(d ^ a, 32), c += d, b = TURN(b ^ c, 24);                                \
    a += b + (y), d = TURN(d ^ a, 16), c += d, b = TURN(b ^ c, 63)

/* One block of each lane; `sizes`: bytes so far, `last`: all ones where the block is the last. */
#define COMPRESS(name, target)                                                                     \
    target static void name(words *h, const uint8_t *const *blocks, const words *sizes,            \
                            const words *last) {                                                   \
        words m[16], v[16];                                                                        \
        for (int i = 0; i < 16; i++)                                                               \
            for (int lane = 0; lane < LANES; lane++) {                                             \
                uint64_t word;                                                                     \
                memcpy(&word, blocks[lane] + 8 * i, 8);                                            \
                m[i][lane] = word;                                                                 \
            }                                                                                      \
        for (int i = 0; i < 8; i++) {                                                              \
            v[i] = h[i];                                                                           \
            v[8 + i] = (words){0} + START[i];                                                      \
        }                                                                                          \
        v[12] ^= *sizes;                                                                           \
        v[14] ^= *last;                                                                            \
        _Pragma("GCC unroll 12") for (int round = 0; round < 12; round++) {                        \
            const uint8_t *s = SIGMA[round];                                                       \
            MIX(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);                                        \
            MIX(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);                                        \
            MIX(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);                                       \
            MIX(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);                                       \
            MIX(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);                                       \
            MIX(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);                                     \
            MIX(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);                                      \
            MIX(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);                                      \
        }                                                                                          \
        for (int i = 0; i < 8; i++)                                                                \
            h[i] ^= v[i] ^ v[8 + i];                                                               \
    }

typedef void compress(words *, const uint8_t *const *, const words *, const words *);
COMPRESS(compress_anywhere, )
#ifdef __x86_64__
COMPRESS(compress_avx2, __attribute__((target("avx2"))))
COMPRESS(compress_avx512, __attribute__((target("avx2,avx512f,avx512vl"))))
#endif

static compress *fastest(void) {
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        return compress_avx512;
    if (__builtin_cpu_supports("avx2"))
        return compress_avx2;
#endif
    return compress_anywhere;
}

/* The digest of one lane. */
static void give(const words *h, int lane, int32_t size, uint8_t *found) {
    uint64_t digest[8];
    for (int w = 0; w < 8; w++)
        digest[w] = h[w][lane];
    memcpy(found, digest, (size_t)size);
}

struct column {
    const uint8_t *data; /* 0 where all rows are null */
    const int64_t *offsets;
    const uint8_t *valid; /* 0 where none is null */
    int64_t first;        /* bit of the first row */
};

static int is_null(const struct column *c, int64_t row) {
    int64_t bit = c->first + row;
    return !c->data || (c->valid && !(c->valid[bit >> 3] >> (bit & 7) & 1));
}

static uint64_t length_of(const struct column *c, int64_t row) {
    return (uint64_t)(c->offsets[row + 1] - c->offsets[row]);
}

struct lane {
    uint8_t *message;
    size_t capacity, size, blocks;
};

/* The message of a row, with zeros up to the end of its last block; 0 where memory is short. */
static int take(struct lane *lane, const struct column *columns, int32_t parts, int64_t row,
                const uint8_t *before, size_t before_size, int32_t marked) {
    size_t size = before_size;
    for (int32_t p = 0; p < parts; p++)
        if (is_null(columns + p, row))
            size += marked ? 1 : 0;
        else
            size += (marked ? 9 : 0) + length_of(columns + p, row);
    size_t blocks = size ? (size + BLOCK - 1) / BLOCK : 1;
    if (blocks * BLOCK > lane->capacity) {
        uint8_t *more = realloc(lane->message, 2 * blocks * BLOCK);
        if (!more)
            return 0;
        lane->message = more;
        lane->capacity = 2 * blocks * BLOCK;
    }
    uint8_t *at = lane->message;
    memcpy(at, before, before_size);
    at += before_size;
    for (int32_t p = 0; p < parts; p++) {
        if (is_null(columns + p, row)) {
            if (marked)
                *at++ = 0;
            continue;
        }
        uint64_t length = length_of(columns + p, row);
        if (marked) {
            *at++ = 1;
            memcpy(at, &length, 8);
            at += 8;
        }
        memcpy(at, columns[p].data + columns[p].offsets[row], length);
        at += length;
    }
    memset(at, 0, blocks * BLOCK - size);
    lane->size = size;
    lane->blocks = blocks;
    return 1;
}

/* Digests of `digest_size` bytes (1 to 64), one after another, into `found`.  1, or 0 where memory
   was short. */
int32_t hash_rows(int64_t rows, int32_t parts, const struct column *columns, const uint8_t *before,
                  int64_t before_size, int32_t marked, int32_t digest_size, uint8_t *found) {
    static const uint8_t nothing[BLOCK];
    compress *step = fastest();
    struct lane lanes[LANES] = {{0}};
    int32_t sound = 1;
    for (int64_t row = 0; row < rows && sound; row += LANES) {
        int count = rows - row < LANES ? (int)(rows - row) : LANES;
        size_t most = 0;
        for (int i = 0; i < count && sound; i++) {
            sound = take(lanes + i, columns, parts, row + i, before, (size_t)before_size, marked);
            most = lanes[i].blocks > most ? lanes[i].blocks : most;
        }
        words h[8];
        for (int i = 0; i < 8; i++)
            h[i] = (words){0} + START[i];
        h[0] ^= 0x01010000 ^ (uint64_t)digest_size;
        for (size_t block = 0; block < most && sound; block++) {
            const uint8_t *blocks[LANES];
            words sizes, last;
            for (int i = 0; i < LANES; i++) {
                int within = i < count && block < lanes[i].blocks;
                int ends = within && block + 1 == lanes[i].blocks;
                blocks[i] = within ? lanes[i].message + block * BLOCK : nothing;
                sizes[i] = ends ? lanes[i].size : (block + 1) * BLOCK;
                last[i] = ends ? ~(uint64_t)0 : 0;
            }
            step(h, blocks, &sizes, &last);
            for (int i = 0; i < count; i++)
                if (last[i])
                    give(h, i, digest_size, found + (row + i) * digest_size);
        }
    }
    for (int i = 0; i < LANES; i++)
        free(lanes[i].message);
    return sound;
}

struct stream {
    const uint8_t *const *pieces; /* where they lie, one after another one message */
    const int64_t *sizes;
    int64_t count;
};

struct reader {
    const struct stream *stream;
    int64_t piece, place;
    size_t left, done;
    uint8_t block[BLOCK];
};

/* The next block of a message: where it lies, or gathered, with zeros up to its end. */
static const uint8_t *next_block(struct reader *r) {
    const struct stream *s = r->stream;
    size_t wanted = r->left < BLOCK ? r->left : BLOCK, have = 0;
    while (r->piece < s->count && r->place == s->sizes[r->piece])
        r->piece++, r->place = 0;
    r->left -= wanted;
    r->done += wanted;
    if (wanted == BLOCK && s->sizes[r->piece] - r->place >= BLOCK) {
        r->place += BLOCK;
        return s->pieces[r->piece] + r->place - BLOCK;
    }
    while (have < wanted) {
        size_t there = (size_t)(s->sizes[r->piece] - r->place);
        size_t taken = there < wanted - have ? there : wanted - have;
        memcpy(r->block + have, s->pieces[r->piece] + r->place, taken);
        have += taken;
        r->place += (int64_t)taken;
        if (taken == there)
            r->piece++, r->place = 0;
    }
    memset(r->block + have, 0, BLOCK - have);
    return r->block;
}

/* Digests of `digest_size` bytes of at most four messages, one after another, into `found`. */
void hash_streams(int32_t count, const struct stream *streams, int32_t digest_size,
                  uint8_t *found) {
    static const uint8_t nothing[BLOCK];
    compress *step = fastest();
    struct reader readers[LANES];
    int open = count;
    for (int i = 0; i < count; i++) {
        readers[i] = (struct reader){.stream = streams + i};
        for (int64_t p = 0; p < streams[i].count; p++)
            readers[i].left += (size_t)streams[i].sizes[p];
    }
    words h[8];
    for (int i = 0; i < 8; i++)
        h[i] = (words){0} + START[i];
    h[0] ^= 0x01010000 ^ (uint64_t)digest_size;
    int ended[LANES] = {0};
    while (open) {
        const uint8_t *blocks[LANES];
        words sizes = {0}, last = {0};
        for (int i = 0; i < LANES; i++) {
            if (i >= count || ended[i]) {
                blocks[i] = nothing;
                continue;
            }
            blocks[i] = next_block(readers + i);
            sizes[i] = readers[i].done;
            last[i] = readers[i].left ? 0 : ~(uint64_t)0;
        }
        step(h, blocks, &sizes, &last);
        for (int i = 0; i < count; i++)
            if (last[i]) {
                give(h, i, digest_size, found + i * digest_size);
                ended[i] = 1;
                open--;
            }
    }
}
