/* A small generator for reproducible noise (xorshift32, Marsaglia 2003). */
#ifndef OAT_FUZZ_RANDOM_H
#define OAT_FUZZ_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct noise {
    uint32_t state;
};

static inline uint32_t noise_next(struct noise *noise)
{
    noise->state ^= noise->state << 13;
    noise->state ^= noise->state >> 17;
    noise->state ^= noise->state << 5;
    return noise->state;
}

/* Uniform enough below a small bound. */
static inline uint32_t noise_below(struct noise *noise, uint32_t bound)
{
    return noise_next(noise) % bound;
}

/* INPUTS SEED from the command line. */
static inline uint32_t noise_start(struct noise *noise, int argc, char **argv)
{
    uint32_t inputs = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000u;
    noise->state = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1u;
    if (noise->state == 0)
        noise->state = 1; /* from 0 it would never leave */
    printf("inputs %u seed %u\n", inputs, noise->state);
    return inputs;
}

#endif
