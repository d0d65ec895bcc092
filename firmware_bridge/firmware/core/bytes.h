/* Little-endian numbers in byte arrays, and byte copies without a C library. */
#ifndef OAT_BYTES_H
#define OAT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint16_t oat_get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | (uint16_t)at[1] << 8);
}

static inline int16_t oat_get_i16(const uint8_t *at)
{
    return (int16_t)oat_get_u16(at);
}

static inline uint32_t oat_get_u32(const uint8_t *at)
{
    return (uint32_t)oat_get_u16(at) | (uint32_t)oat_get_u16(at + 2) << 16;
}

static inline uint8_t *oat_put_u8(uint8_t *at, uint8_t value)
{
    *at = value;
    return at + 1;
}

static inline uint8_t *oat_put_u16(uint8_t *at, uint16_t value)
{
    return oat_put_u8(oat_put_u8(at, (uint8_t)value), (uint8_t)(value >> 8));
}

static inline uint8_t *oat_put_u32(uint8_t *at, uint32_t value)
{
    return oat_put_u16(oat_put_u16(at, (uint16_t)value), (uint16_t)(value >> 16));
}

static inline void oat_copy(uint8_t *to, const uint8_t *from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        to[i] = from[i];
}

/* Constant time: what is compared may be a secret. */
static inline bool oat_same(const uint8_t *a, const uint8_t *b, size_t length)
{
    uint8_t difference = 0;
    for (size_t i = 0; i < length; i++)
        difference |= (uint8_t)(a[i] ^ b[i]);
    return difference == 0;
}

/* True if `a` comes after `b` on a counter that wraps. */
static inline bool oat_is_after_u16(uint16_t a, uint16_t b)
{
    uint16_t ahead = (uint16_t)(a - b);
    return ahead != 0 && ahead < 0x8000u;
}

static inline bool oat_is_after_u32(uint32_t a, uint32_t b)
{
    uint32_t ahead = a - b;
    return ahead != 0 && ahead < 0x80000000u;
}

#endif
