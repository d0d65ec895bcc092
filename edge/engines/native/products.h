/* Matrix products: activations with activations, and activations with packed constant weights.
 *
 * Packed weights: columns in blocks of BLOCK, the last one filled up with zeros; a block holds its
 * rows one after the other. A product of few rows is bound by reading weights, so these stay as
 * narrow in memory as they came: FP32, FP16 where that is exact, or INT8 with a step per column.
 *
 * INT8 weights that meet quantized activations (levels, see elementwise.h) are summed in integers:
 * four rows of a block lie column by column then, and before them stands where each sum begins,
 * which takes off what the levels' zero point adds.
 */
#ifndef OAT_PRODUCTS_H
#define OAT_PRODUCTS_H

#include "memory.h"
#include "vectors.h"

/* ``rows`` times PASS columns: x (row stride ``sx``) times w (BLOCK apart from row to row). */
#define TILE_OF(name, type, loaded)                                                            \
    static inline __attribute__((always_inline)) void name(                                    \
        const float *x, ptrdiff_t sx, const type *w, int32_t depth, int rows,                  \
        float sums[TILE][PASS])                                                                \
    {                                                                                          \
        vector acc[TILE][VECTORS] = {0};                                                       \
        for (int32_t k = 0; k < depth; k++, w += BLOCK)                                        \
            for (int j = 0; j < VECTORS; j++) {                                                \
                vector weights = __builtin_convertvector(*(const loaded *)(w + j * WIDTH), vector); \
                for (int r = 0; r < rows; r++) acc[r][j] += x[r * sx + k] * weights;           \
            }                                                                                  \
        for (int r = 0; r < rows; r++) memcpy(sums[r], acc[r], sizeof acc[r]);                 \
    }

TILE_OF(float_tile, float, vector)
TILE_OF(half_tile, _Float16, half_vector)
TILE_OF(int8_tile, int8_t, int8_vector)

/* The same of levels; the sums fit for every depth below 2^16. */
static inline __attribute__((always_inline)) void levels_tile(
    const uint8_t *x, ptrdiff_t sx, const int8_t *w, int32_t depth, int rows,
    float sums[TILE][PASS])
{
    int_vector acc[TILE][VECTORS];
    for (int r = 0; r < rows; r++) memcpy(acc[r], w, sizeof acc[r]);
    w += GROUP * BLOCK;
    for (int32_t k = 0; k < depth; k += GROUP, w += GROUP * BLOCK)
        for (int j = 0; j < VECTORS; j++)
            for (int r = 0; r < rows; r++)
                acc[r][j] = add_four(acc[r][j], x + r * sx + k, w + GROUP * j * WIDTH);
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < VECTORS; j++) {
            vector sum = __builtin_convertvector(acc[r][j], vector);
            memcpy(sums[r] + j * WIDTH, &sum, sizeof sum);
        }
}

/* values[0]: -1 or 1, the sign of the product; c: what it is added to, or base -1 for nothing.
 * b: the packed weights; their steps follow them, one per column, where they are INT8.
 * Elements of ``type`` lie ``group`` together in a column of a block, which begins with ``extra``
 * rows that are no weights. */
#define DENSE_OF(name, in_type, type, group, extra, tile, scaled)                              \
    static inline void name##_rows(const struct operation *op, const in_type *x, const type *w, \
                                   const float *steps, const float *start, ptrdiff_t sc,       \
                                   float *out, int rows, int32_t column)                       \
    {                                                                                          \
        float sums[TILE][PASS];                                                                \
        ptrdiff_t sx = op->a.strides[MAX_AXES - 2], so = op->out.strides[MAX_AXES - 2];        \
        if (rows == TILE)                                                                      \
            tile(x, sx, w, op->depth, TILE, sums);                                             \
        else if (rows == 2)                                                                    \
            tile(x, sx, w, op->depth, 2, sums);                                                \
        else                                                                                   \
            for (int r = 0; r < rows; r++) tile(x + r * sx, sx, w, op->depth, 1, sums + r);    \
        int32_t n = op->columns - column < PASS ? op->columns - column : PASS;                 \
        (void)steps;                                                                           \
        for (int r = 0; r < rows; r++)                                                         \
            for (int32_t i = 0; i < n; i++) {                                                  \
                float y = sums[r][i];                                                          \
                out[r * so + i] = scaled;                                                      \
            }                                                                                  \
        if (start)                                                                             \
            for (int r = 0; r < rows; r++)                                                     \
                for (int32_t i = 0; i < n; i++)                                                \
                    out[r * so + i] = start[r * sc + i] + op->values[0] * out[r * so + i];     \
    }                                                                                          \
    static void name(const struct operation *op, char *const *bases)                           \
    {                                                                                          \
        ptrdiff_t sx = op->a.strides[MAX_AXES - 2], so = op->out.strides[MAX_AXES - 2];        \
        ptrdiff_t sc = op->c.strides[MAX_AXES - 2];                                            \
        int32_t blocks = (op->columns + BLOCK - 1) / BLOCK;                                    \
        for (struct walk walk = begin(op); !walk.done; advance(op, &walk, op->axes)) {         \
            const in_type *x = (const in_type *)at(bases, &op->a) + walk.a;                    \
            const type *w = (const type *)at(bases, &op->b) + walk.b;                          \
            ptrdiff_t size = (ptrdiff_t)BLOCK * (op->depth + extra);                           \
            const float *steps = (const float *)(w + blocks * size);                           \
            float *out = (float *)at(bases, &op->out) + walk.out;                              \
            const float *start = op->c.base < 0 ? 0 : (const float *)at(bases, &op->c) + walk.c; \
            for (int32_t column = 0; column < op->columns; column += PASS) {                   \
                const type *block = w + column / BLOCK * size + column % BLOCK * group;        \
                for (int32_t row = 0; row < op->rows; row += TILE) {                           \
                    int rows = op->rows - row < TILE ? op->rows - row : TILE;                  \
                    name##_rows(op, x + row * sx, block, steps + column,                       \
                                start ? start + row * sc + column : 0, sc,                     \
                                out + row * so + column, rows, column);                        \
                }                                                                              \
            }                                                                                  \
        }                                                                                      \
    }

DENSE_OF(dense, float, float, 1, 0, float_tile, y)
DENSE_OF(dense_half, float, _Float16, 1, 0, half_tile, y)
DENSE_OF(dense_int8, float, int8_t, 1, 0, int8_tile, y *steps[i])
DENSE_OF(dense_levels, uint8_t, int8_t, GROUP, GROUP, levels_tile, y *steps[i])

static inline float dot(const float *a, const float *b, int32_t n)
{
    vector sums = {0};
    int32_t k = 0;
    for (; k + WIDTH <= n; k += WIDTH)
        sums += *(const vector *)(a + k) * *(const vector *)(b + k);
    float sum = 0;
    for (int i = 0; i < WIDTH; i++) sum += sums[i];
    for (; k < n; k++) sum += a[k] * b[k];
    return sum;
}

/* One row of a product whose right side has its columns one after the other. */
static inline void row_by_rows(float *restrict out, const float *restrict a, ptrdiff_t ak,
                               const float *restrict b, ptrdiff_t bk, int32_t columns, int32_t depth)
{
    for (int32_t j = 0; j < columns; j++) out[j] = 0;
    for (int32_t k = 0; k < depth; k++) {
        float x = a[k * ak];
        const float *row = b + k * bk;
        for (int32_t j = 0; j < columns; j++) out[j] += x * row[j];
    }
}

static void matmul(const struct operation *op, char *const *bases)
{
    ptrdiff_t ai = op->a.strides[MAX_AXES - 2], ak = op->a.strides[MAX_AXES - 1];
    ptrdiff_t bk = op->b.strides[MAX_AXES - 2], bj = op->b.strides[MAX_AXES - 1];
    ptrdiff_t so = op->out.strides[MAX_AXES - 2];
    for (struct walk w = begin(op); !w.done; advance(op, &w, op->axes)) {
        const float *a = (const float *)at(bases, &op->a) + w.a;
        const float *b = (const float *)at(bases, &op->b) + w.b;
        float *out = (float *)at(bases, &op->out) + w.out;
        for (int32_t i = 0; i < op->rows; i++, a += ai, out += so)
            if (ak == 1 && bk == 1)
                for (int32_t j = 0; j < op->columns; j++) out[j] = dot(a, b + j * bj, op->depth);
            else if (bj == 1)
                row_by_rows(out, a, ak, b, bk, op->columns, op->depth);
            else
                for (int32_t j = 0; j < op->columns; j++) {
                    float sum = 0;
                    for (int32_t k = 0; k < op->depth; k++) sum += a[k * ak] * b[k * bk + j * bj];
                    out[j] = sum;
                }
    }
}

#endif
