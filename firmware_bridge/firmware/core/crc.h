/* Checksums of the two wires. */
#ifndef OAT_CRC_H
#define OAT_CRC_H

#include <stddef.h>
#include <stdint.h>

#define OAT_CRC32_START 0xFFFFFFFFu

/* CRC-32/AUTOSAR in pieces: start with OAT_CRC32_START, feed, and finish. */
uint32_t oat_crc32_feed(uint32_t crc, const uint8_t *data, size_t length);

static inline uint32_t oat_crc32_finish(uint32_t crc)
{
    return ~crc;
}

/* CRC-16/UMTS (0x8005, start 0, not reflected), as Dynamixel Protocol 2.0 uses it. */
uint16_t oat_crc16(uint16_t crc, const uint8_t *data, size_t length);

#endif
