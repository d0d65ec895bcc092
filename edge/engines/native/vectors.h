/* The widest vectors of this processor, and what they do that C has no words for. */
#ifndef OAT_VECTORS_H
#define OAT_VECTORS_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { WIDTH = 16, TILE = 4 };
#elif defined(__AVX2__)
enum { WIDTH = 8, TILE = 2 };
#else
enum { WIDTH = 4, TILE = 4 };
#endif
enum { VECTORS = 4, PASS = VECTORS * WIDTH }; /* what the accumulators of a tile's row hold */

typedef float vector __attribute__((vector_size(WIDTH * 4), aligned(4)));
typedef _Float16 half_vector __attribute__((vector_size(WIDTH * 2), aligned(2)));
typedef int8_t int8_vector __attribute__((vector_size(WIDTH), aligned(1)));
typedef int32_t int_vector __attribute__((vector_size(WIDTH * 4), aligned(4)));

/* Adds four products to each sum: the levels of four neighbours in a row of activations, times
 * the four weights of each column. */
#if defined(__AVX512VNNI__)
#include <immintrin.h>
enum { HAS_INTEGER_PRODUCTS = 1 };
static inline int_vector add_four(int_vector sums, const uint8_t *levels, const int8_t *weights)
{
    int32_t four;
    memcpy(&four, levels, sizeof four);
    __m512i w = _mm512_loadu_si512(weights);
    return (int_vector)_mm512_dpbusd_epi32((__m512i)sums, _mm512_set1_epi32(four), w);
}
#else
enum { HAS_INTEGER_PRODUCTS = 0 };
static inline int_vector add_four(int_vector sums, const uint8_t *levels, const int8_t *weights)
{
    for (int i = 0; i < WIDTH; i++)
        for (int k = 0; k < 4; k++) sums[i] += levels[k] * weights[4 * i + k];
    return sums;
}
#endif

#endif
