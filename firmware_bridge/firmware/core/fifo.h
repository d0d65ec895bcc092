/* A byte queue for one producer and one consumer, one of which may be an interrupt. */
#ifndef OAT_FIFO_H
#define OAT_FIFO_H

#include "bytes.h"

#define OAT_FIFO_SIZE 1024u /* a power of two: indexes wrap by masking */

struct oat_fifo {
    uint8_t data[OAT_FIFO_SIZE];
    volatile uint16_t head; /* next to write; only the producer moves it */
    volatile uint16_t tail; /* next to read; only the consumer moves it */
};

static inline uint16_t oat_fifo_used(const struct oat_fifo *fifo)
{
    return (uint16_t)(fifo->head - fifo->tail) & (OAT_FIFO_SIZE - 1u);
}

static inline uint16_t oat_fifo_free(const struct oat_fifo *fifo)
{
    return (uint16_t)(OAT_FIFO_SIZE - 1u - oat_fifo_used(fifo));
}

static inline bool oat_fifo_push(struct oat_fifo *fifo, uint8_t byte)
{
    if (oat_fifo_free(fifo) == 0)
        return false;
    fifo->data[fifo->head] = byte;
    fifo->head = (uint16_t)(fifo->head + 1u) & (OAT_FIFO_SIZE - 1u);
    return true;
}

static inline bool oat_fifo_pop(struct oat_fifo *fifo, uint8_t *byte)
{
    if (oat_fifo_used(fifo) == 0)
        return false;
    *byte = fifo->data[fifo->tail];
    fifo->tail = (uint16_t)(fifo->tail + 1u) & (OAT_FIFO_SIZE - 1u);
    return true;
}

/* All or nothing: half a frame on a line only costs the next one. */
static inline bool oat_fifo_write(struct oat_fifo *fifo, const uint8_t *data, size_t length)
{
    if (length > oat_fifo_free(fifo))
        return false;
    for (size_t i = 0; i < length; i++)
        (void)oat_fifo_push(fifo, data[i]);
    return true;
}

#endif
