#include "cobs.h"

#define DELIMITER 0u

size_t oat_cobs_encode(uint8_t *to, const uint8_t *data, size_t length)
{
    size_t code_at = 0;
    size_t end = 1;
    for (size_t i = 0; i < length; i++) {
        if (data[i] != DELIMITER)
            to[end++] = data[i];
        bool full = end - code_at > OAT_COBS_MAX_RUN;
        if (data[i] == DELIMITER || (full && i + 1 < length)) {
            to[code_at] = (uint8_t)(end - code_at);
            code_at = end++;
        }
    }
    to[code_at] = (uint8_t)(end - code_at);
    return end;
}

size_t oat_cobs_decode(uint8_t *data, size_t length)
{
    size_t written = 0;
    for (size_t at = 0; at < length;) {
        size_t code = data[at];
        if (code == 0 || at + code > length)
            return 0;
        for (size_t i = 1; i < code; i++) {
            if (data[at + i] == DELIMITER)
                return 0;
            data[written++] = data[at + i];
        }
        at += code;
        if (code <= OAT_COBS_MAX_RUN && at < length)
            data[written++] = DELIMITER;
    }
    return written;
}

static size_t finish(struct oat_deframer *deframer)
{
    size_t length = deframer->length;
    bool whole = !deframer->overflowed;
    deframer->length = 0;
    deframer->overflowed = false;
    if (whole && length == 0)
        return 0; /* an empty frame: the sender cleared the line */
    size_t payload = whole ? oat_cobs_decode(deframer->frame, length) : 0;
    if (payload == 0)
        deframer->damaged++;
    return payload;
}

size_t oat_deframe(struct oat_deframer *deframer, uint8_t byte)
{
    if (byte == DELIMITER)
        return finish(deframer);
    if (deframer->length < sizeof deframer->frame)
        deframer->frame[deframer->length++] = byte;
    else
        deframer->overflowed = true;
    return 0;
}
