/* One result from each element, or from two or three that are broadcast to the same shape. */
#ifndef OAT_ELEMENTWISE_H
#define OAT_ELEMENTWISE_H

#include "memory.h"
#include "scalar_math.h"

#define UNARY_OF(name, in_type, out_type, result)                                              \
    static void name(const struct operation *op, char *const *bases)                           \
    {                                                                                          \
        const float *v = op->values;                                                           \
        (void)v;                                                                               \
        out_type *restrict out = at(bases, &op->out);                                          \
        int32_t n = inner(op);                                                                 \
        ptrdiff_t step = inner_stride(op, &op->a);                                             \
        for (struct walk w = begin(op); !w.done; next(op, &w), out += n) {                     \
            const in_type *a = (const in_type *)at(bases, &op->a) + w.a;                       \
            if (step == 1)                                                                     \
                for (int32_t i = 0; i < n; i++) { float x = a[i]; out[i] = result; }           \
            else                                                                               \
                for (int32_t i = 0; i < n; i++) { float x = a[i * step]; out[i] = result; }    \
        }                                                                                      \
    }
#define UNARY(name, result) UNARY_OF(name, float, float, result)

#define BINARY(name, in_type, out_type, result)                                                \
    static void name(const struct operation *op, char *const *bases)                           \
    {                                                                                          \
        out_type *restrict out = at(bases, &op->out);                                          \
        int32_t n = inner(op);                                                                 \
        ptrdiff_t sa = inner_stride(op, &op->a), sb = inner_stride(op, &op->b);                \
        for (struct walk w = begin(op); !w.done; next(op, &w), out += n) {                     \
            const in_type *a = (const in_type *)at(bases, &op->a) + w.a;                       \
            const in_type *b = (const in_type *)at(bases, &op->b) + w.b;                       \
            if (sa == 1 && sb == 1)                                                            \
                for (int32_t i = 0; i < n; i++) { in_type x = a[i], y = b[i]; out[i] = result; } \
            else if (sa == 1 && sb == 0) {                                                     \
                in_type y = b[0];                                                              \
                for (int32_t i = 0; i < n; i++) { in_type x = a[i]; out[i] = result; }         \
            } else                                                                             \
                for (int32_t i = 0; i < n; i++) {                                              \
                    in_type x = a[i * sa], y = b[i * sb];                                      \
                    out[i] = result;                                                           \
                }                                                                              \
        }                                                                                      \
    }

#define CHOOSE(name, type)                                                                     \
    static void name(const struct operation *op, char *const *bases)                           \
    {                                                                                          \
        type *restrict out = at(bases, &op->out);                                              \
        int32_t n = inner(op);                                                                 \
        ptrdiff_t sa = inner_stride(op, &op->a), sb = inner_stride(op, &op->b);                \
        ptrdiff_t sc = inner_stride(op, &op->c);                                               \
        for (struct walk w = begin(op); !w.done; next(op, &w), out += n) {                     \
            const uint8_t *test = (const uint8_t *)at(bases, &op->a) + w.a;                    \
            const type *yes = (const type *)at(bases, &op->b) + w.b;                           \
            const type *no = (const type *)at(bases, &op->c) + w.c;                            \
            if (sa == 0 && sb == 1 && sc == 1)                                                 \
                memcpy(out, test[0] ? yes : no, (size_t)n * sizeof *out);                      \
            else                                                                               \
                for (int32_t i = 0; i < n; i++)                                                \
                    out[i] = test[i * sa] ? yes[i * sb] : no[i * sc];                          \
        }                                                                                      \
    }

#define MOVE(name, type)                                                                       \
    static void name(const struct operation *op, char *const *bases)                           \
    {                                                                                          \
        int32_t n = inner(op);                                                                 \
        ptrdiff_t so = inner_stride(op, &op->out), sa = inner_stride(op, &op->a);              \
        for (struct walk w = begin(op); !w.done; next(op, &w)) {                               \
            type *out = (type *)at(bases, &op->out) + w.out;                                   \
            const type *a = (const type *)at(bases, &op->a) + w.a;                             \
            if (so == 1 && sa == 1)                                                            \
                memcpy(out, a, (size_t)n * sizeof *a);                                         \
            else                                                                               \
                for (int32_t i = 0; i < n; i++) out[i * so] = a[i * sa];                       \
        }                                                                                      \
    }

BINARY(add, float, float, x + y)
BINARY(subtract, float, float, x - y)
BINARY(multiply, float, float, x *y)
BINARY(divide, float, float, x / y)
BINARY(power, float, float, powf(x, y))
BINARY(minimum, float, float, x < y || x != x ? x : y) /* what is not a number stays none */
BINARY(maximum, float, float, x > y || x != x ? x : y)
BINARY(equal, int64_t, uint8_t, x == y)
BINARY(greater, int64_t, uint8_t, x > y)
BINARY(less, int64_t, uint8_t, x < y)

UNARY(square_root, sqrtf(x))
UNARY(erf_all, erf_float(x))
UNARY(tanh_all, tanh_float(x))
UNARY(softplus_all, softplus_float(x))
UNARY(sigmoid_all, sigmoid_float(x))

/* A level: an integer of eight bits, counted from the lowest; what is no number is the lowest. */
static inline uint8_t level(float x, float low, float high)
{
    x = x > low ? x : low;
    return (uint8_t)((x < high ? x : high) - low);
}

/* values: step, zero point, lowest and highest integer. */
UNARY_OF(quantize, float, uint8_t, level(rintf(x / v[0]) + v[1], v[2], v[3]))
UNARY_OF(dequantize, uint8_t, float, (x + v[2] - v[1]) * v[0])

CHOOSE(choose_float, float)
CHOOSE(choose_int, int64_t)
MOVE(move_float, float)
MOVE(move_int, int64_t)

#endif
