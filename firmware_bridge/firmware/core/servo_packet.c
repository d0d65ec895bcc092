#include "servo_packet.h"

#include "crc.h"

#define ID_AT 4u
#define LENGTH_AT 5u
#define BODY_AT 7u
#define CRC_LENGTH 2u
#define MIN_BODY 3u /* instruction and CRC */
#define STUFF_MARK_LENGTH 3u
#define STUFFING 0xFDu

static const uint8_t header[] = {0xFF, 0xFF, 0xFD, 0x00};

/* Follows FF FF FD through a stream: how many of its bytes the stream ends with. */
static uint8_t next_match(uint8_t match, uint8_t byte)
{
    if (byte == 0xFF)
        return match == 0 ? 1 : 2;
    return match == 2 && byte == STUFFING ? STUFF_MARK_LENGTH : 0;
}

static void append(struct oat_servo_packet *packet, uint8_t byte)
{
    if (packet->length + CRC_LENGTH < sizeof packet->data)
        packet->data[packet->length++] = byte;
    else
        packet->overflowed = true;
}

void oat_servo_begin(struct oat_servo_packet *packet, uint8_t id, uint8_t instruction)
{
    oat_copy(packet->data, header, sizeof header);
    packet->data[ID_AT] = id;
    packet->length = BODY_AT;
    packet->match = 0;
    packet->overflowed = false;
    append(packet, instruction);
}

void oat_servo_put_u8(struct oat_servo_packet *packet, uint8_t value)
{
    append(packet, value);
    packet->match = next_match(packet->match, value);
    if (packet->match == STUFF_MARK_LENGTH) {
        append(packet, STUFFING);
        packet->match = 0;
    }
}

void oat_servo_put_u16(struct oat_servo_packet *packet, uint16_t value)
{
    oat_servo_put_u8(packet, (uint8_t)value);
    oat_servo_put_u8(packet, (uint8_t)(value >> 8));
}

void oat_servo_put_u32(struct oat_servo_packet *packet, uint32_t value)
{
    oat_servo_put_u16(packet, (uint16_t)value);
    oat_servo_put_u16(packet, (uint16_t)(value >> 16));
}

bool oat_servo_finish(struct oat_servo_packet *packet)
{
    (void)oat_put_u16(packet->data + LENGTH_AT,
                      (uint16_t)(packet->length - BODY_AT + CRC_LENGTH));
    uint16_t crc = oat_crc16(0, packet->data, packet->length);
    (void)oat_put_u16(packet->data + packet->length, crc);
    packet->length += CRC_LENGTH;
    return !packet->overflowed;
}

/* Drops bytes until what is left could be the beginning of a packet. */
static void resynchronise(struct oat_servo_parser *parser, size_t from)
{
    for (size_t at = from; at < parser->length; at++) {
        size_t left = parser->length - at;
        size_t compared = left < sizeof header ? left : sizeof header;
        if (oat_same(parser->data + at, header, compared)) {
            oat_copy(parser->data, parser->data + at, left);
            parser->length = left;
            return;
        }
    }
    parser->length = 0;
}

/* Whole length of the packet that begins in the buffer; 0 while unknown. */
static size_t expected(const struct oat_servo_parser *parser)
{
    if (parser->length < BODY_AT)
        return 0;
    return BODY_AT + oat_get_u16(parser->data + LENGTH_AT);
}

static size_t unstuff(uint8_t *data, size_t length)
{
    size_t written = 0;
    uint8_t match = 0;
    for (size_t at = 0; at < length; at++) {
        data[written++] = data[at];
        match = next_match(match, data[at]);
        if (match == STUFF_MARK_LENGTH) {
            match = 0;
            if (at + 1 < length && data[at + 1] == STUFFING)
                at++;
        }
    }
    return written;
}

/* Servos send the common answer to a fast sync read without stuffing. */
static bool take(struct oat_servo_parser *parser, size_t length, struct oat_servo_status *status)
{
    uint8_t *parameters = parser->data + BODY_AT + 1;
    size_t count = length - BODY_AT - 1 - CRC_LENGTH;
    uint16_t crc = oat_crc16(0, parser->data, length - CRC_LENGTH);
    if (crc != oat_get_u16(parser->data + length - CRC_LENGTH) ||
        parser->data[BODY_AT] != OAT_SERVO_STATUS || count == 0)
        return false;
    status->id = parser->data[ID_AT];
    if (status->id != OAT_SERVO_BROADCAST)
        count = unstuff(parameters, count);
    status->error = parameters[0];
    status->data = parameters + 1;
    status->length = count - 1;
    return true;
}

bool oat_servo_parse(struct oat_servo_parser *parser, uint8_t byte,
                     struct oat_servo_status *status)
{
    parser->data[parser->length++] = byte;
    if (parser->length <= sizeof header)
        resynchronise(parser, 0);
    size_t length = expected(parser);
    bool impossible = length != 0 && (length < BODY_AT + MIN_BODY || length > sizeof parser->data);
    if (impossible) {
        resynchronise(parser, 1);
        return false;
    }
    if (length == 0 || parser->length < length)
        return false;
    if (take(parser, length, status)) {
        parser->length = 0;
        return true;
    }
    resynchronise(parser, 1);
    return false;
}
