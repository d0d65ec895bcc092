/* The core as a shared library: tests and other languages drive it with a clock of their own. */
#include "controller.h"
#include "crc.h"

size_t oat_library_controller_size(void)
{
    return sizeof(struct oat_controller);
}

static size_t take(struct oat_fifo *fifo, uint8_t *to, size_t room)
{
    size_t taken = 0;
    while (taken < room && oat_fifo_pop(fifo, &to[taken]))
        taken++;
    return taken;
}

void oat_library_from_host(struct oat_controller *controller, const uint8_t *data, size_t length,
                           uint64_t now_us)
{
    for (size_t i = 0; i < length; i++)
        oat_controller_host_byte(controller, data[i], now_us);
}

void oat_library_from_motors(struct oat_controller *controller, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        oat_controller_motor_byte(controller, data[i]);
}

size_t oat_library_to_host(struct oat_controller *controller, uint8_t *to, size_t room)
{
    return take(&controller->to_host, to, room);
}

size_t oat_library_to_motors(struct oat_controller *controller, uint8_t *to, size_t room)
{
    return take(&controller->to_motors, to, room);
}

int32_t oat_library_command(const struct oat_controller *controller, size_t joint)
{
    return controller->path.command[joint];
}

uint32_t oat_library_crc32(const uint8_t *data, size_t length)
{
    return oat_crc32_finish(oat_crc32_feed(OAT_CRC32_START, data, length));
}

size_t oat_library_seal(const uint8_t *key, uint32_t session, uint8_t type, uint16_t sequence,
                        uint64_t time_us, const uint8_t *body, size_t length, uint8_t *payload)
{
    struct oat_link link = {.has_key = key != NULL};
    if (key != NULL)
        oat_copy(link.key, key, OAT_KEY_LENGTH);
    struct oat_frame frame = {type, sequence, time_us, body, length};
    return oat_seal(&link, session, &frame, payload);
}

/* Returns the length of the body that was found, or -1. */
int oat_library_open(const uint8_t *key, uint32_t session, uint64_t now_us, const uint8_t *payload,
                     size_t length, uint8_t *type, uint16_t *sequence, uint64_t *time_us,
                     uint8_t *body)
{
    struct oat_link link = {.has_key = key != NULL};
    struct oat_frame frame;
    if (key != NULL)
        oat_copy(link.key, key, OAT_KEY_LENGTH);
    if (!oat_open(&link, session, now_us, payload, length, &frame))
        return -1;
    *type = frame.type;
    *sequence = frame.sequence;
    *time_us = frame.time_us;
    oat_copy(body, frame.body, frame.body_length);
    return (int)frame.body_length;
}
