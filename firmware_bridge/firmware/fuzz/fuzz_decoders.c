/* Noise, and good frames with damage, into every decoder: no crash, and nothing damaged passes. */
#include "cobs.h"
#include "random.h"
#include "servo_packet.h"
#include "wire.h"

#define SESSION 0x12345678u
#define MAX_NOISE 200u
#define FRAME_ROOM (OAT_MAX_FRAME + 1u)

static struct oat_link link_of(struct noise *noise)
{
    struct oat_link link = {.has_key = (noise_next(noise) & 1u) != 0};
    for (size_t i = 0; i < sizeof link.key; i++)
        link.key[i] = (uint8_t)noise_next(noise);
    return link;
}

static size_t make_payload(struct noise *noise, const struct oat_link *link, uint8_t *payload)
{
    uint8_t body[OAT_MAX_BODY];
    struct oat_frame frame = {
        .type = (uint8_t)noise_below(noise, OAT_WELCOME), /* a WELCOME's time stands in its body */
        .sequence = (uint16_t)noise_next(noise),
        .time_us = noise_next(noise),
        .body = body,
        .body_length = noise_below(noise, OAT_MAX_BODY + 1u),
    };
    for (size_t i = 0; i < frame.body_length; i++)
        body[i] = (uint8_t)(noise_below(noise, 3) ? noise_next(noise) : 0);
    return oat_seal(link, SESSION, &frame, payload);
}

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void check_good_and_damaged(struct noise *noise)
{
    uint8_t payload[OAT_MAX_PAYLOAD], encoded[FRAME_ROOM];
    struct oat_link link = link_of(noise);
    struct oat_frame frame;
    size_t length = make_payload(noise, &link, payload);
    expect(oat_open(&link, SESSION, 0, payload, length, &frame), "a good payload was refused");
    size_t end = oat_cobs_encode(encoded, payload, length);
    for (size_t i = 0; i < end; i++)
        expect(encoded[i] != 0, "a zero inside a frame");
    expect(oat_cobs_decode(encoded, end) == length && oat_same(encoded, payload, length),
           "COBS does not come back");
    payload[noise_below(noise, (uint32_t)length)] ^= (uint8_t)(1u << noise_below(noise, 8));
    expect(!oat_open(&link, SESSION, 0, payload, length, &frame), "one flipped bit was accepted");
}

static void check_noise(struct noise *noise, struct oat_deframer *deframer,
                        struct oat_servo_parser *parser)
{
    struct oat_link link = link_of(noise);
    struct oat_frame frame;
    struct oat_servo_status status;
    uint32_t count = noise_below(noise, MAX_NOISE);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t kind = noise_below(noise, 8);
        uint8_t byte = kind == 0 ? 0 : kind < 3 ? 0xFF : kind == 3 ? 0xFD : (uint8_t)noise_next(noise);
        size_t length = oat_deframe(deframer, byte);
        if (length != 0)
            (void)oat_open(&link, SESSION, noise_next(noise), deframer->frame, length, &frame);
        if (oat_servo_parse(parser, byte, &status))
            expect(status.length < OAT_SERVO_MAX_PACKET, "a status without bounds");
    }
}

/* A stuffed instruction looks to the parser like the status it is made to be. */
static void check_servo_round_trip(struct noise *noise)
{
    struct oat_servo_packet packet;
    struct oat_servo_parser parser = {.length = 0};
    struct oat_servo_status status;
    uint8_t data[40];
    oat_servo_begin(&packet, (uint8_t)noise_below(noise, 253), OAT_SERVO_STATUS);
    for (size_t i = 0; i < sizeof data; i++) {
        static const uint8_t marks[] = {0xFF, 0xFF, 0xFD, 0x00};
        data[i] = noise_below(noise, 2) ? marks[noise_below(noise, 4)] : (uint8_t)noise_next(noise);
        oat_servo_put_u8(&packet, data[i]);
    }
    expect(oat_servo_finish(&packet), "a short packet does not fit");
    bool found = false;
    for (size_t i = 0; i < packet.length; i++)
        found = oat_servo_parse(&parser, packet.data[i], &status);
    expect(found && status.error == data[0] && status.length == sizeof data - 1 &&
               oat_same(status.data, data + 1, status.length),
           "a servo packet does not come back");
}

int main(int argc, char **argv)
{
    struct noise noise;
    struct oat_deframer deframer = {.length = 0};
    struct oat_servo_parser parser = {.length = 0};
    for (uint32_t left = noise_start(&noise, argc, argv); left > 0; left--) {
        check_good_and_damaged(&noise);
        check_noise(&noise, &deframer, &parser);
        check_servo_round_trip(&noise);
    }
    return 0;
}
