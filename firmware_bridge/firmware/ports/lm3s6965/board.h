/* The LM3S6965 as QEMU's lm3s6965evb has it: clock, timer and two UARTs. */
#ifndef OAT_BOARD_H
#define OAT_BOARD_H

#include "fifo.h"

enum board_uart { BOARD_HOST_UART, BOARD_MOTOR_UART, BOARD_UARTS };

/* Starts clock, 1 kHz wake-up and UARTs; interrupts are on afterwards. */
void board_start(void);

/* Microseconds since the start, from a free-running counter; ask more often than once a second. */
uint64_t board_now_us(void);

/* Differs from one reset to the next, and a little from one start to the next. */
uint32_t board_entropy(void);

/* Bytes that a UART has received and nobody has taken. */
struct oat_fifo *board_received(enum board_uart uart);

/* Sends what the UART takes at once; true if nothing is left. */
bool board_send(enum board_uart uart, struct oat_fifo *fifo);

/* Sleeps until the next interrupt, unless bytes wait. */
void board_sleep(void);

/* Interrupt handlers. */
void board_host_uart_interrupt(void);
void board_motor_uart_interrupt(void);
void board_timer_interrupt(void);

#endif
