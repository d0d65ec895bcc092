/* The controller on QEMU's lm3s6965evb: UART0 is the host link, UART1 the motor bus. */
#include "board.h"
#include "controller.h"

static struct oat_controller controller;

int main(void)
{
    uint8_t byte;
    board_start();
    oat_controller_start(&controller, board_entropy(), NULL, board_now_us());
    for (;;) {
        while (oat_fifo_pop(board_received(BOARD_MOTOR_UART), &byte))
            oat_controller_motor_byte(&controller, byte);
        while (oat_fifo_pop(board_received(BOARD_HOST_UART), &byte))
            oat_controller_host_byte(&controller, byte, board_now_us());
        oat_controller_poll(&controller, board_now_us());
        bool motors_sent = board_send(BOARD_MOTOR_UART, &controller.to_motors);
        bool host_sent = board_send(BOARD_HOST_UART, &controller.to_host);
        if (motors_sent && host_sent)
            board_sleep();
    }
}
