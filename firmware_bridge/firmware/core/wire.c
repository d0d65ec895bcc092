#include "wire.h"

#include "crc.h"

#define SESSION_AT 1u
#define SEQUENCE_AT 3u
#define TIME_AT 5u
#define WELCOME_TIME_HIGH_AT (OAT_HEADER_LENGTH + 8u)

static bool is_sessionless(uint8_t type)
{
    return type == OAT_HELLO || type == OAT_WELCOME;
}

static uint32_t crc_of(uint32_t session, const uint8_t *covered, size_t length)
{
    uint8_t implicit[4];
    (void)oat_put_u32(implicit, session);
    uint32_t crc = oat_crc32_feed(OAT_CRC32_START, implicit, sizeof implicit);
    return oat_crc32_finish(oat_crc32_feed(crc, covered, length));
}

static void tag_of(const struct oat_link *link, uint32_t session, uint64_t time_us,
                   const uint8_t *covered, size_t length, uint8_t digest[OAT_DIGEST_LENGTH])
{
    uint8_t context[8];
    (void)oat_put_u32(oat_put_u32(context, session), (uint32_t)(time_us >> 32));
    oat_blake2s(digest, link->key, context, sizeof context, covered, length);
}

size_t oat_seal(const struct oat_link *link, uint32_t session, const struct oat_frame *frame,
                uint8_t *payload)
{
    if (frame->body_length > OAT_MAX_BODY)
        return 0;
    if (is_sessionless(frame->type))
        session = OAT_NO_SESSION;
    uint8_t *at = oat_put_u8(payload, (uint8_t)(OAT_VERSION << 4 | frame->type));
    at = oat_put_u16(at, (uint16_t)session);
    at = oat_put_u16(at, frame->sequence);
    at = oat_put_u32(at, (uint32_t)frame->time_us);
    oat_copy(at, frame->body, frame->body_length);
    at += frame->body_length;
    if (link->has_key) {
        uint8_t digest[OAT_DIGEST_LENGTH];
        tag_of(link, session, frame->time_us, payload, (size_t)(at - payload), digest);
        oat_copy(at, digest, OAT_TAG_LENGTH);
        at += OAT_TAG_LENGTH;
    }
    at = oat_put_u32(at, crc_of(session, payload, (size_t)(at - payload)));
    return (size_t)(at - payload);
}

/* The 64-bit time nearest to now with these low 32 bits. */
static uint64_t restore_time(uint32_t low, uint64_t now_us)
{
    int32_t difference = (int32_t)(low - (uint32_t)now_us);
    if (difference < 0 && now_us < (uint64_t)(-(int64_t)difference))
        return low;
    return now_us + (uint64_t)(int64_t)difference;
}

static uint64_t sent_at(uint8_t type, const uint8_t *payload, size_t body_end, uint64_t now_us)
{
    uint32_t low = oat_get_u32(payload + TIME_AT);
    if (type == OAT_HELLO)
        return low;
    if (type == OAT_WELCOME && body_end >= WELCOME_TIME_HIGH_AT + 4)
        return (uint64_t)oat_get_u32(payload + WELCOME_TIME_HIGH_AT) << 32 | low;
    return restore_time(low, now_us);
}

static bool has_true_tag(const struct oat_link *link, uint32_t session, uint64_t time_us,
                         const uint8_t *payload, size_t body_end)
{
    if (!link->has_key)
        return true;
    uint8_t digest[OAT_DIGEST_LENGTH];
    tag_of(link, session, time_us, payload, body_end, digest);
    return oat_same(digest, payload + body_end, OAT_TAG_LENGTH);
}

bool oat_open(const struct oat_link *link, uint32_t session, uint64_t now_us,
              const uint8_t *payload, size_t length, struct oat_frame *frame)
{
    size_t trailer = OAT_CRC_LENGTH + (link->has_key ? OAT_TAG_LENGTH : 0u);
    if (length < OAT_HEADER_LENGTH + trailer || length > OAT_MAX_PAYLOAD)
        return false;
    size_t body_end = length - trailer;
    uint8_t type = payload[0] & 0x0Fu;
    if (payload[0] >> 4 != OAT_VERSION)
        return false;
    if (is_sessionless(type))
        session = OAT_NO_SESSION;
    if (oat_get_u16(payload + SESSION_AT) != (uint16_t)session)
        return false;
    size_t covered = length - OAT_CRC_LENGTH;
    if (oat_get_u32(payload + covered) != crc_of(session, payload, covered))
        return false;
    frame->time_us = sent_at(type, payload, body_end, now_us);
    if (!has_true_tag(link, session, frame->time_us, payload, body_end))
        return false;
    frame->type = type;
    frame->sequence = oat_get_u16(payload + SEQUENCE_AT);
    frame->body = payload + OAT_HEADER_LENGTH;
    frame->body_length = body_end - OAT_HEADER_LENGTH;
    return true;
}
