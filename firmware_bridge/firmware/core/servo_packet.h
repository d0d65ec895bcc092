/* Dynamixel Protocol 2.0 packets (e-manual): building instructions and finding answers. */
#ifndef OAT_SERVO_PACKET_H
#define OAT_SERVO_PACKET_H

#include "bytes.h"

#define OAT_SERVO_BROADCAST 0xFEu
#define OAT_SERVO_MAX_PACKET 512u
#define OAT_SERVO_ALERT 0x80u /* in the error byte: the servo's hardware error status is not zero */

enum oat_servo_instruction {
    OAT_SERVO_READ = 0x02,
    OAT_SERVO_WRITE = 0x03,
    OAT_SERVO_STATUS = 0x55,
    OAT_SERVO_SYNC_READ = 0x82,
    OAT_SERVO_SYNC_WRITE = 0x83,
    OAT_SERVO_FAST_SYNC_READ = 0x8A,
};

/* A packet under construction; parameters are stuffed as they are put in. */
struct oat_servo_packet {
    uint8_t data[OAT_SERVO_MAX_PACKET];
    size_t length;
    uint8_t match; /* how much of FF FF FD the last bytes are */
    bool overflowed;
};

void oat_servo_begin(struct oat_servo_packet *packet, uint8_t id, uint8_t instruction);
void oat_servo_put_u8(struct oat_servo_packet *packet, uint8_t value);
void oat_servo_put_u16(struct oat_servo_packet *packet, uint16_t value);
void oat_servo_put_u32(struct oat_servo_packet *packet, uint32_t value);

/* Sets length and CRC. False if it does not fit; it must not be sent then. */
bool oat_servo_finish(struct oat_servo_packet *packet);

/* Finds packets with a good CRC in a stream of bytes. */
struct oat_servo_parser {
    uint8_t data[OAT_SERVO_MAX_PACKET];
    size_t length;
};

/* One status packet; data without stuffing and without the error byte. */
struct oat_servo_status {
    uint8_t id;
    uint8_t error;
    const uint8_t *data;
    size_t length;
};

/* Takes one byte. True if it completes a status packet; `status` is good until the next byte. The
 * common answer to a fast sync read has the broadcast id; its data then begins with the first id. */
bool oat_servo_parse(struct oat_servo_parser *parser, uint8_t byte,
                     struct oat_servo_status *status);

#endif
