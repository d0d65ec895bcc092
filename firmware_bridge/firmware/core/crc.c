#include "crc.h"

/* Remainders of the 16 nibbles: a 64-byte table instead of a kilobyte. */
static const uint32_t autosar_nibbles[16] = {
    0x00000000u, 0x2B2C2BEEu, 0x565857DCu, 0x7D747C32u, 0xACB0AFB8u, 0x879C8456u,
    0xFAE8F864u, 0xD1C4D38Au, 0xC8DF352Fu, 0xE3F31EC1u, 0x9E8762F3u, 0xB5AB491Du,
    0x646F9A97u, 0x4F43B179u, 0x3237CD4Bu, 0x191BE6A5u,
};

static const uint16_t umts_nibbles[16] = {
    0x0000u, 0x8005u, 0x800Fu, 0x000Au, 0x801Bu, 0x001Eu, 0x0014u, 0x8011u,
    0x8033u, 0x0036u, 0x003Cu, 0x8039u, 0x0028u, 0x802Du, 0x8027u, 0x0022u,
};

uint32_t oat_crc32_feed(uint32_t crc, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ autosar_nibbles[crc & 0xFu];
        crc = crc >> 4 ^ autosar_nibbles[crc & 0xFu];
    }
    return crc;
}

uint16_t oat_crc16(uint16_t crc, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        crc = (uint16_t)(crc ^ data[i] << 8);
        crc = (uint16_t)(crc << 4 ^ umts_nibbles[crc >> 12]);
        crc = (uint16_t)(crc << 4 ^ umts_nibbles[crc >> 12]);
    }
    return crc;
}
