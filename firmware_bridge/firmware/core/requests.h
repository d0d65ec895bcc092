/* What the state machine and the message handlers of the controller share. */
#ifndef OAT_REQUESTS_H
#define OAT_REQUESTS_H

#include "controller.h"

/* Stops motion for good, until ARM or DISARM. */
void oat_controller_latch(struct oat_controller *controller, enum oat_latch reason);

/* Judges a SETPOINTS, and queues or counts it. */
void oat_controller_setpoints(struct oat_controller *controller, const struct oat_frame *frame,
                              uint64_t now_us);

/* Takes CONFIG, ARM, DISARM or ESTOP. */
void oat_controller_request(struct oat_controller *controller, const struct oat_frame *frame,
                            uint64_t now_us);

/* Sends the ACK of the last request. */
void oat_controller_answer(struct oat_controller *controller, uint64_t now_us);

/* Sends TELEMETRY, if somebody listens. */
void oat_controller_report(struct oat_controller *controller, uint64_t now_us);

/* Seals a body and hands it to the line; `session` frames only after the first HELLO. */
void oat_controller_send(struct oat_controller *controller, enum oat_type type,
                         const uint8_t *body, size_t length, uint64_t now_us);

#endif
