/* BLAKE2s with a 32-byte key and digest, of a short message (RFC 7693). */
#ifndef OAT_BLAKE2S_H
#define OAT_BLAKE2S_H

#include <stddef.h>
#include <stdint.h>

#define OAT_KEY_LENGTH 32u
#define OAT_DIGEST_LENGTH 32u
#define OAT_BLAKE2S_BLOCK 64u

/* `head` and `tail` are hashed one after the other. */
void oat_blake2s(uint8_t digest[OAT_DIGEST_LENGTH], const uint8_t key[OAT_KEY_LENGTH],
                 const uint8_t *head, size_t head_length, const uint8_t *tail, size_t tail_length);

#endif
