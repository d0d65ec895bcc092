/* Where operands are, and how an operation walks over all axes but the last. */
#ifndef OAT_MEMORY_H
#define OAT_MEMORY_H

#include <stddef.h>

#include "program.h"

static inline void *at(char *const *bases, const struct operand *operand)
{
    return bases[operand->base] + operand->offset;
}

static inline int32_t inner(const struct operation *op)
{
    return op->axes ? op->dims[op->axes - 1] : 1;
}

static inline ptrdiff_t inner_stride(const struct operation *op, const struct operand *operand)
{
    return op->axes ? operand->strides[op->axes - 1] : 0;
}

/* Offsets, in elements, of one run along the last axis. */
struct walk {
    int done;
    int32_t index[MAX_AXES];
    ptrdiff_t out, a, b, c;
};

static inline struct walk begin(const struct operation *op)
{
    (void)op;
    return (struct walk){0};
}

static inline void shift(const struct operation *op, struct walk *w, int32_t axis, ptrdiff_t by)
{
    w->out += by * op->out.strides[axis];
    w->a += by * op->a.strides[axis];
    w->b += by * op->b.strides[axis];
    w->c += by * op->c.strides[axis];
}

static inline void advance(const struct operation *op, struct walk *w, int32_t axes)
{
    for (int32_t axis = axes - 1; axis >= 0; axis--) {
        shift(op, w, axis, 1);
        if (++w->index[axis] < op->dims[axis])
            return;
        shift(op, w, axis, -(ptrdiff_t)op->dims[axis]);
        w->index[axis] = 0;
    }
    w->done = 1;
}

static inline void next(const struct operation *op, struct walk *w) { advance(op, w, op->axes - 1); }

#endif
