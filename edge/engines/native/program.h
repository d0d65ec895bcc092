/* A graph as a flat list of operations on memory that was laid out beforehand.
 *
 * Mirrored by operations.py, which fills the list; oat_operation_size() guards against drift.
 * Every address is a base (constants, scratch, or one input or output) and an offset, so that one
 * list serves every set of inputs and outputs. Strides count elements; an axis of stride 0 repeats.
 */
#ifndef OAT_PROGRAM_H
#define OAT_PROGRAM_H

#include <stdint.h>

enum {
    MAX_AXES = 6,
    BLOCK = 64, /* columns of a packed weight block */
    GROUP = 4,  /* rows that an integer product takes at once */
};

enum kind {
    ADD, SUBTRACT, MULTIPLY, DIVIDE, POWER, MINIMUM, MAXIMUM,             /* float, float -> float */
    SQUARE_ROOT, ERF, TANH, SOFTPLUS, SIGMOID,                            /* float -> float */
    QUANTIZE, DEQUANTIZE,                                                 /* float -> level, back */
    EQUAL, GREATER, LESS,                                                 /* int64, int64 -> bool */
    SELECT, SELECT_INT,                                                   /* bool, x, x -> x */
    COPY, COPY_INT,
    MATMUL,                                                               /* any strides */
    DENSE, DENSE_HALF, DENSE_INT8, DENSE_LEVELS,                          /* packed constant weights */
    SOFTMAX, LAYER_NORM, MEAN, ARG_MAX,                                   /* over the last axis */
    GATHER,                                                               /* rows of a table */
    KINDS
};

struct operand {
    int32_t base;
    int32_t offset; /* bytes */
    int32_t strides[MAX_AXES];
};

struct operation {
    int32_t kind;
    int32_t axes;           /* how many of dims count; of products: batch axes */
    int32_t dims[MAX_AXES]; /* of the result; of products: batch sizes */
    int32_t rows, columns, depth;
    float values[4];
    struct operand out, a, b, c;
};

/* All return the index of the first operation that failed (a row that the table does not have), or
 * -1. Nothing is allocated. */
int32_t oat_run(const struct operation *operations, int32_t count, char *const *bases);
int32_t oat_operation_size(void);
int32_t oat_kinds(void);
int32_t oat_has_integer_products(void); /* whether DENSE_LEVELS is the fastest for INT8 weights */

#endif
