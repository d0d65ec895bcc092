/* What takes a whole run along the last axis, and rows of a table. */
#ifndef OAT_ROWS_H
#define OAT_ROWS_H

#include "memory.h"
#include "scalar_math.h"
#include "vectors.h"

/* Runs lie one after the other: ``rows`` of them, ``columns`` long. */
#define EACH_ROW(type)                                                                         \
    int32_t n = op->columns;                                                                   \
    const float *a = at(bases, &op->a);                                                        \
    type *out = at(bases, &op->out);                                                           \
    for (int32_t row = 0; row < op->rows; row++, a += n)

static inline float sum_of(const float *x, int32_t n)
{
    float sum = 0;
    for (int32_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

/* What is not a number is never larger than a number; it may hide some behind it. */
static inline float largest(const float *x, int32_t n)
{
    float top = x[0];
    int32_t i = 0;
    if (n >= PASS) {
        float tops[PASS];
        memcpy(tops, x, sizeof tops);
        for (i = PASS; i + PASS <= n; i += PASS)
            for (int j = 0; j < PASS; j++) tops[j] = x[i + j] > tops[j] ? x[i + j] : tops[j];
        for (int j = 0; j < PASS; j++) top = tops[j] > top ? tops[j] : top;
    }
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

static void softmax(const struct operation *op, char *const *bases)
{
    EACH_ROW(float)
    {
        float top = largest(a, n);
        for (int32_t i = 0; i < n; i++) out[i] = exp_float(a[i] - top);
        float scale = 1.0f / sum_of(out, n);
        for (int32_t i = 0; i < n; i++) out[i] *= scale;
        out += n;
    }
}

/* values[0]: epsilon; b, c: gain and shift, one per column. */
static void layer_norm(const struct operation *op, char *const *bases)
{
    const float *gain = at(bases, &op->b), *offset = at(bases, &op->c);
    EACH_ROW(float)
    {
        float mean = sum_of(a, n) / (float)n, square = 0;
        for (int32_t i = 0; i < n; i++) square += (a[i] - mean) * (a[i] - mean);
        float scale = 1.0f / sqrtf(square / (float)n + op->values[0]);
        for (int32_t i = 0; i < n; i++) out[i] = (a[i] - mean) * scale * gain[i] + offset[i];
        out += n;
    }
}

static void mean_rows(const struct operation *op, char *const *bases)
{
    EACH_ROW(float) *out++ = sum_of(a, n) / (float)n;
}

/* The first of the largest, as ONNX has it. */
static void arg_max(const struct operation *op, char *const *bases)
{
    EACH_ROW(int64_t)
    {
        float top = largest(a, n);
        int32_t best = 0;
        while (best < n - 1 && a[best] != top) best++;
        *out++ = best;
    }
}

/* ``rows`` rows of ``columns`` floats by the indices b; the table a has ``depth`` rows. */
static int gather(const struct operation *op, char *const *bases)
{
    const int64_t *indices = at(bases, &op->b);
    const float *table = at(bases, &op->a);
    float *out = at(bases, &op->out);
    for (int32_t row = 0; row < op->rows; row++, out += op->columns) {
        int64_t index = indices[row] < 0 ? indices[row] + op->depth : indices[row];
        if (index < 0 || index >= op->depth)
            return 0;
        memcpy(out, table + index * op->columns, (size_t)op->columns * sizeof *out);
    }
    return 1;
}

#endif
