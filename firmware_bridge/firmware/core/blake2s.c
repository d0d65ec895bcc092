#include "blake2s.h"

#include "bytes.h"

#define WORDS 8u
#define ROUNDS 10u
#define PARAMETERS (0x01010000u | OAT_KEY_LENGTH << 8 | OAT_DIGEST_LENGTH) /* one leaf, no tree */

static const uint32_t start[WORDS] = {
    0x6A09E667u, 0xBB67AE85u, 0x3C6EF372u, 0xA54FF53Au,
    0x510E527Fu, 0x9B05688Cu, 0x1F83D9ABu, 0x5BE0CD19u,
};

static const uint8_t sigma[ROUNDS][16] = {
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
};

struct state {
    uint32_t hash[WORDS];
    uint32_t counted; /* bytes so far; messages stay far below 4 GiB */
    uint8_t block[OAT_BLAKE2S_BLOCK];
    size_t used;
};

static uint32_t rotate_right(uint32_t word, unsigned bits)
{
    return word >> bits | word << (32u - bits);
}

static void mix(uint32_t *v, const uint8_t lane[4], uint32_t x, uint32_t y)
{
    uint32_t a = v[lane[0]], b = v[lane[1]], c = v[lane[2]], d = v[lane[3]];
    a += b + x;
    d = rotate_right(d ^ a, 16);
    c += d;
    b = rotate_right(b ^ c, 12);
    a += b + y;
    d = rotate_right(d ^ a, 8);
    c += d;
    b = rotate_right(b ^ c, 7);
    v[lane[0]] = a, v[lane[1]] = b, v[lane[2]] = c, v[lane[3]] = d;
}

static void compress(struct state *state, uint32_t is_last)
{
    static const uint8_t lanes[8][4] = {
        {0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
        {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14},
    };
    uint32_t message[16];
    uint32_t v[16];
    for (size_t i = 0; i < 16; i++)
        message[i] = oat_get_u32(state->block + 4 * i);
    for (size_t i = 0; i < WORDS; i++) {
        v[i] = state->hash[i];
        v[WORDS + i] = start[i];
    }
    v[12] ^= state->counted;
    v[14] ^= is_last;
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < 8; i++)
            mix(v, lanes[i], message[sigma[round][2 * i]], message[sigma[round][2 * i + 1]]);
    for (size_t i = 0; i < WORDS; i++)
        state->hash[i] ^= v[i] ^ v[WORDS + i];
    state->used = 0;
}

static void feed(struct state *state, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (state->used == OAT_BLAKE2S_BLOCK)
            compress(state, 0);
        state->block[state->used++] = data[i];
        state->counted++;
    }
}

void oat_blake2s(uint8_t digest[OAT_DIGEST_LENGTH], const uint8_t key[OAT_KEY_LENGTH],
                 const uint8_t *head, size_t head_length, const uint8_t *tail, size_t tail_length)
{
    static const uint8_t zero = 0;
    struct state state = {.counted = 0, .used = 0};
    for (size_t i = 0; i < WORDS; i++)
        state.hash[i] = start[i];
    state.hash[0] ^= PARAMETERS;
    feed(&state, key, OAT_KEY_LENGTH);
    while (state.used < OAT_BLAKE2S_BLOCK)
        feed(&state, &zero, 1);
    feed(&state, head, head_length);
    feed(&state, tail, tail_length);
    for (size_t i = state.used; i < OAT_BLAKE2S_BLOCK; i++)
        state.block[i] = 0;
    compress(&state, 0xFFFFFFFFu);
    for (size_t i = 0; i < WORDS; i++)
        (void)oat_put_u32(digest + 4 * i, state.hash[i]);
}
