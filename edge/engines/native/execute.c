/* Runs a program: each operation in turn, on memory that others own. */
#include "elementwise.h"
#include "products.h"
#include "rows.h"

typedef void kernel(const struct operation *op, char *const *bases);

static kernel *const KERNELS[KINDS] = {
    [ADD] = add, [SUBTRACT] = subtract, [MULTIPLY] = multiply, [DIVIDE] = divide, [POWER] = power,
    [MINIMUM] = minimum, [MAXIMUM] = maximum, [SQUARE_ROOT] = square_root, [ERF] = erf_all,
    [TANH] = tanh_all, [SOFTPLUS] = softplus_all, [SIGMOID] = sigmoid_all,
    [QUANTIZE] = quantize, [DEQUANTIZE] = dequantize, [EQUAL] = equal, [GREATER] = greater,
    [LESS] = less, [SELECT] = choose_float, [SELECT_INT] = choose_int, [COPY] = move_float,
    [COPY_INT] = move_int, [MATMUL] = matmul, [DENSE] = dense, [DENSE_HALF] = dense_half,
    [DENSE_INT8] = dense_int8, [DENSE_LEVELS] = dense_levels, [SOFTMAX] = softmax, [LAYER_NORM] = layer_norm, [MEAN] = mean_rows,
    [ARG_MAX] = arg_max,
};

int32_t oat_run(const struct operation *operations, int32_t count, char *const *bases)
{
    for (int32_t i = 0; i < count; i++) {
        const struct operation *op = operations + i;
        if (op->kind != GATHER)
            KERNELS[op->kind](op, bases);
        else if (!gather(op, bases))
            return i;
    }
    return -1;
}

int32_t oat_operation_size(void) { return (int32_t)sizeof(struct operation); }

int32_t oat_kinds(void) { return KINDS; }

int32_t oat_has_integer_products(void) { return HAS_INTEGER_PRODUCTS; }
