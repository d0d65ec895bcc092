/* Consistent overhead byte stuffing (Cheshire and Baker, 1999) and the cutting of a stream. */
#ifndef OAT_COBS_H
#define OAT_COBS_H

#include "bytes.h"
#include "wire.h"

#define OAT_COBS_MAX_RUN 254u
#define OAT_MAX_FRAME (OAT_MAX_PAYLOAD + 1u) /* COBS adds one byte to up to 254 */

/* Encodes at most OAT_MAX_PAYLOAD bytes into `to` and returns the length, delimiter not included. */
size_t oat_cobs_encode(uint8_t *to, const uint8_t *data, size_t length);

/* Decodes in place. Returns the length, or 0 for what cannot have been encoded (or nothing). */
size_t oat_cobs_decode(uint8_t *data, size_t length);

struct oat_deframer {
    uint8_t frame[OAT_MAX_FRAME];
    uint16_t length;
    bool overflowed;
    uint16_t damaged; /* frames that COBS or their length refused */
};

/* Takes one byte. Returns the length of the payload that it completes in `frame`, else 0. */
size_t oat_deframe(struct oat_deframer *deframer, uint8_t byte);

#endif
